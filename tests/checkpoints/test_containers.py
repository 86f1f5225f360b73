"""State dicts in containers, with prefixes, averaged weights, arrays, and parts of a net."""

import pytest
import torch

from tests.checkpoints import source_nets as sources
from vgg_mm.apis.convert_weights import read_weights
from vgg_mm.checkpoints import load_checkpoint, weights_digest
from vgg_mm.checkpoints.layouts import to_own_layout

TINY = sources.Size((2, 4, 8, 16, 16), 8, 2, 3)
OPTIMIZER = {'state': {0: {'momentum_buffer': torch.zeros(3)}}, 'param_groups': []}


@pytest.fixture(scope='module')
def state():
    return sources.torchvision_net('vgg16', TINY)[0].state_dict()


@pytest.fixture(scope='module')
def own(state):
    return to_own_layout(state)['state_dict']


def converted(path, content):
    torch.save(content, path)
    return read_weights(str(path))


def check(found, own, part=''):
    """The weights found are exactly those whose names begin with ``part``."""
    expected = {name: tensor for name, tensor in own.items() if name.startswith(part)}
    assert found.weights.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found.weights[name], tensor), name


@pytest.mark.parametrize(
    'prefix',
    ['module.', 'model.', 'net.', '_orig_mod.', 'model.net.', 'module._orig_mod.', 'a.b.vgg16.'],
)
def test_any_common_prefix(prefix, state, own, tmp_path):
    check(converted(tmp_path / 'x.pth', {prefix + n: t for n, t in state.items()}), own)
    inside = {n.replace('features.', 'features._orig_mod.'): t for n, t in state.items()}
    check(converted(tmp_path / 'x.pth', {prefix + n: t for n, t in inside.items()}), own)
    # This package's own layout, as wrapped by other training frameworks.
    check(converted(tmp_path / 'x.pth', {prefix + n: t for n, t in own.items()}), own)
    bare = {prefix + n.split('.', 1)[1]: t for n, t in own.items()}
    check(converted(tmp_path / 'x.pth', bare), own)


@pytest.mark.parametrize(
    'container',
    ['state_dict', 'model', 'net', 'model_state_dict', 'weights', 'network', 'params', 'student'],
)
def test_one_level_down(container, state, own, tmp_path):
    for weights in (state, {f'model.{n}': t for n, t in state.items()}, own):
        content = {'epoch': 3, container: weights, 'optimizer': OPTIMIZER, 'best': torch.ones(1)}
        check(converted(tmp_path / 'x.pth', content), own)
        # mmengine loads the weights of a model from this key.
        loaded = load_checkpoint(tmp_path / 'x.pth')
        assert loaded['state_dict'].keys() == own.keys()


def test_container_with_the_net_is_used(state, own, tmp_path):
    other = {'layer1.weight': torch.zeros(2, 2)}
    check(converted(tmp_path / 'x.pth', {'model': other, 'perceptual': state}), own)


@pytest.mark.parametrize(
    'plain, averaged',
    [
        ('model', 'model_ema'),  # torchvision's training script
        ('state_dict', 'state_dict_ema'),  # timm's
        ('params', 'params_ema'),  # BasicSR's
    ],
)
def test_averaged_weights_beside_plain_ones(plain, averaged, state, own, tmp_path):
    ema = {f'module.{n}': t * 2 for n, t in state.items()}
    content = {averaged: {**ema, 'n_averaged': torch.tensor(3)}, plain: state}
    for flag, factor in ((False, 1), (True, 2)):
        found = to_own_layout(content, averaged=flag)['state_dict']
        assert all(torch.equal(found[n], factor * t) for n, t in own.items())
    # In one state dict.
    mixed = {f'model.{n}': t for n, t in state.items()}
    mixed |= {f'ema_model.{n}': t * 2 for n, t in state.items()}
    for flag, factor in ((False, 1), (True, 2)):
        found = to_own_layout({'state_dict': mixed}, averaged=flag)['state_dict']
        assert all(torch.equal(found[n], factor * t) for n, t in own.items())
    # Chosen by an option, and reported.
    for one in (content, {'state_dict': mixed}):
        torch.save(one, tmp_path / 'x.pth')
        for flag, factor in ((False, 1), (True, 2)):
            converted = read_weights(str(tmp_path / 'x.pth'), ema=flag)
            assert all(torch.equal(converted.weights[n], factor * t) for n, t in own.items())
            assert converted.averaged.startswith('averaged' if flag else 'plain; ema=True uses')
    torch.save(state, tmp_path / 'x.pth')
    with pytest.raises(ValueError, match='contains no EMA weights'):
        read_weights(str(tmp_path / 'x.pth'), ema=True)
    # Without plain weights, the averaged ones are used.
    found = to_own_layout({averaged: ema})['state_dict']
    assert all(torch.equal(found[n], 2 * t) for n, t in own.items())


def test_state_dict_of_mmengine_is_the_averaged_one(own):
    """EMAHook puts the averaged weights into state_dict, the plain ones into ema_state_dict."""
    content = {'state_dict': own, 'ema_state_dict': {f'module.{n}': t * 2 for n, t in own.items()}}
    for flag in (False, True):
        assert to_own_layout(content, averaged=flag)['state_dict'] is own


def test_numpy_arrays(state, own, tmp_path):
    arrays = {name: tensor.numpy().astype('>f4') for name, tensor in state.items()}
    check(converted(tmp_path / 'x.pth', {'model': arrays}), own)


def test_two_nets_in_a_file_are_rejected(state, tmp_path):
    both = {f'{net}.{n}': t for net in ('first', 'second') for n, t in state.items()}
    torch.save(both, tmp_path / 'x.pth')
    assert load_checkpoint(tmp_path / 'x.pth').keys() == both.keys()  # any model can be loaded
    with pytest.raises(ValueError, match=r'contains several nets \(first., second.\): give a file'):
        read_weights(str(tmp_path / 'x.pth'))


# Parts of a net.


def test_torchvision_of_2017(state, own, tmp_path):
    """A dropout precedes fc6 and fc7, so the classifier has layers 1, 4 and 6."""
    old = {'classifier.0': 'classifier.1', 'classifier.3': 'classifier.4'}
    content = {old.get(n[:12], n[:12]) + n[12:]: t for n, t in state.items()}
    assert 'classifier.4.weight' in content
    found = converted(tmp_path / 'x.pth', content)
    check(found, own)
    assert not found.left_out


@pytest.mark.parametrize('names', ['features.', '', 'vgg.', 'slice'])
def test_convolutions_alone(names, state, own, tmp_path):
    content = {}
    for name, tensor in state.items():
        if name.startswith('features.'):
            number = int(name.split('.')[1])
            before = f'slice{number // 7 + 1}.' if names == 'slice' else names
            content[before + name.removeprefix('features.')] = tensor
    found = converted(tmp_path / 'x.pth', content)
    check(found, own, 'backbone.')
    assert found.net.head_config() is None
    assert str(found.net) == 'D (VGG-16), no norm, width 2, without fully-connected layers'


@pytest.mark.parametrize('names', ['', 'features.', 'vgg.', 'backbone.features.'])
def test_reduced_fc6_and_fc7_of_ssd(names, state, own, tmp_path):
    fc6, fc7 = torch.randn(8, 16, 3, 3), torch.randn(8, 8, 1, 1)
    reduced = {
        '31.weight': fc6,
        '31.bias': fc6[:, 0, 0, 0],
        '33.weight': fc7,
        '33.bias': fc7[0, :, 0, 0],
    }
    convs = {n.removeprefix('features.'): t for n, t in state.items() if 'features' in n}
    content = {names + n: t for n, t in (convs | reduced).items()}
    content['extras.0.weight'] = torch.zeros(4, 8, 1, 1)
    found = converted(tmp_path / 'x.pth', content)
    assert found.left_out == ['extras.0.weight']
    assert found.net.head_config() is None and found.net.is_reduced
    assert torch.equal(found.weights['head.fc6.weight'], fc6.flatten(1))
    assert torch.equal(found.weights['head.fc7.weight'], fc7.flatten(1))
    assert "fc6/fc7 8/8 (SSD's and DeepLab's, fc6 3x3), without fc8" in str(found.net)


def test_last_layer_with_another_name_or_none(state, own, tmp_path):
    renamed = {n.replace('classifier.6', 'classifier.6.1'): t for n, t in state.items()}
    check(converted(tmp_path / 'x.pth', renamed), own)
    without = {n: t for n, t in state.items() if not n.startswith('classifier.6')}
    found = converted(tmp_path / 'x.pth', without)
    assert str(found.net).endswith('fc6/fc7 8/8, without fc8')
    assert 'num_classes' not in found.net.head_config()
    # Two layers follow fc7, as in detectors: neither is fc8.
    two = {
        **without,
        'cls_score.weight': torch.zeros(21, 8),
        'bbox_pred.weight': torch.zeros(84, 8),
    }
    found = converted(tmp_path / 'x.pth', two)
    assert found.net.num_classes is None
    assert found.left_out == ['cls_score.weight', 'bbox_pred.weight']


@pytest.mark.parametrize(
    'names, sizes',
    [
        (('classifier.6.0', 'classifier.6.3'), (5, 3)),  # a small net in the place of fc8
        (('classifier.6', 'classifier.8'), (7, 3)),  # layers after it
        (('classifier.6', 'fc'), (7, 3)),
    ],
)
def test_a_layer_that_others_follow_is_not_fc8(names, sizes, state, tmp_path):
    content = {n: t for n, t in state.items() if not n.startswith('classifier.6')}
    for name, inputs, outputs in zip(names, (8, sizes[0]), sizes):
        content[f'{name}.weight'] = torch.zeros(outputs, inputs)
        content[f'{name}.bias'] = torch.zeros(outputs)
    found = converted(tmp_path / 'x.pth', content)
    assert str(found.net).endswith('fc6/fc7 8/8, without fc8')
    assert found.left_out == [f'{name}.{kind}' for name in names for kind in ('weight', 'bias')]


@pytest.mark.parametrize(
    'head',
    [
        {'classifier.0': (5, 64)},
        {'classifier.0': (6, 64), 'classifier.3': (5, 6)},
        {
            'classifier.0': (8, 64),
            'classifier.1': (8,),
            'classifier.3': (8, 8),
            'classifier.6': (3, 8),
        },
        {'fc': (5, 16)},
    ],
    ids=['one layer', 'two layers', 'norms between', 'global average'],
)
def test_other_classifiers_are_left_out_and_listed(head, state, own, tmp_path):
    """Only the convolutions are read; the layers of another classifier are listed."""
    content = {n: t for n, t in state.items() if n.startswith('features.')}
    content |= {f'{layer}.weight': torch.zeros(shape) for layer, shape in head.items()}
    found = converted(tmp_path / 'x.pth', content)
    check(found, own, 'backbone.')
    assert found.left_out == [f'{layer}.weight' for layer in head]


def test_digest_of_any_type():
    """Of names, shapes, types and bytes; numpy has no bfloat16."""
    types = (torch.float32, torch.bfloat16, torch.int64, torch.bool)
    digests = {weights_digest({'a': torch.ones(2, 2, dtype=dtype)}) for dtype in types}
    assert len(digests) == len(types)
    turned = torch.arange(6.0).reshape(2, 3).T
    assert weights_digest({'a': turned}) == weights_digest({'a': turned.contiguous()})
    assert weights_digest({'a': torch.tensor(1)}) != weights_digest({'a': torch.ones(0)})
