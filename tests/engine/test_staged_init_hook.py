"""Staged initialisation: what is copied, what is not, and errors."""

import logging
from types import SimpleNamespace

import pytest
import torch
from mmengine.registry import HOOKS

from tests.models.test_vgg import classifier
from vgg_mm.architectures import STAGED_LAYERS
from vgg_mm.engine import CheckpointCheckHook, StagedInitHook


def net(arch, seed, num_classes=7, base_channels=4, **kwargs):
    torch.manual_seed(seed)
    model = classifier(
        num_classes,
        arch=arch,
        base_channels=base_channels,
        head=dict(in_channels=8 * base_channels, fc_channels=16, kernel_size=2),
        **kwargs,
    )
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            torch.nn.init.normal_(tensor)
    return model


def runner(model, iteration=0):
    return SimpleNamespace(model=model, iter=iteration, logger=logging.getLogger('staged'))


@pytest.fixture
def checkpoint(tmp_path):
    def save(model, name='a.pth'):
        path = tmp_path / name
        torch.save(dict(state_dict=model.state_dict(), meta=dict(epoch=1)), path)
        return str(path)

    return save


def changed(model, before):
    return {n for n, t in model.state_dict().items() if not torch.equal(t, before[n])}


def copy_of(model):
    return {n: t.clone() for n, t in model.state_dict().items()}


@pytest.mark.parametrize('arch', ['B', 'C', 'D', 'E'])
def test_copies_the_papers_layers_and_nothing_else(checkpoint, arch, caplog):
    a, deep = net('A', 1), net(arch, 2)
    before = copy_of(deep)
    path = checkpoint(a)
    with caplog.at_level(logging.INFO):
        StagedInitHook(path).before_train(runner(deep))
    layers = {n.split('.')[1] for n in changed(deep, before)}
    assert layers == set(STAGED_LAYERS)
    source, target = a.state_dict(), deep.state_dict()
    for name in changed(deep, before):
        assert torch.equal(source[name], target[name])
    report = caplog.text
    assert f'staged initialisation from {path}' in report
    assert 'head.fc6.weight -> head.fc6.weight (16, 128)' in report
    assert report.count('->') == 14


def test_other_layers(checkpoint):
    a, deep = net('A', 1), net('D', 2)
    before = copy_of(deep)
    StagedInitHook(checkpoint(a), layers=['conv5_1']).before_train(runner(deep))
    assert changed(deep, before) == {'backbone.conv5_1.weight', 'backbone.conv5_1.bias'}


def test_conv_form_checkpoints(checkpoint):
    a, deep = net('A', 1), net('D', 2)
    state = a.state_dict()
    state['head.fc6.weight'] = state['head.fc6.weight'].reshape(16, 32, 2, 2)
    StagedInitHook(checkpoint(SimpleNamespace(state_dict=lambda: state))).before_train(runner(deep))
    assert torch.equal(deep.head.fc6.weight, a.head.fc6.weight)


def test_norms_are_copied_with_their_convolutions(checkpoint):
    bn = dict(norm_cfg=dict(type='BN'))
    a, deep = net('A', 1, **bn), net('D', 2, **bn)
    StagedInitHook(checkpoint(a)).before_train(runner(deep))
    assert torch.equal(deep.backbone.bn3_2.running_mean, a.backbone.bn3_2.running_mean)
    assert torch.equal(deep.backbone.bn3_2.weight, a.backbone.bn3_2.weight)


def test_norms_of_any_kind(checkpoint):
    gn = dict(norm_cfg=dict(type='GN', num_groups=2))
    deep, a = net('D', 2, **gn), checkpoint(net('A', 1, **gn))
    before = copy_of(deep)
    StagedInitHook(a).before_train(runner(deep))
    assert 'backbone.gn1_1.weight' in changed(deep, before)
    for other in ({}, dict(norm_cfg=dict(type='BN'))):
        deep = net('D', 2, **other)
        before = copy_of(deep)
        with pytest.raises(ValueError, match='a.pth has group norms, the model has '):
            StagedInitHook(a).before_train(runner(deep))
        assert not changed(deep, before)


def test_other_number_of_classes_leaves_fc8(checkpoint, caplog):
    deep = net('D', 2, num_classes=3)
    before = copy_of(deep)
    with caplog.at_level(logging.INFO):
        StagedInitHook(checkpoint(net('A', 1))).before_train(runner(deep))
    assert {n.split('.')[1] for n in changed(deep, before)} == set(STAGED_LAYERS) - {'fc8'}
    assert 'leaves fc8 as initialised' in caplog.text
    assert 'has 7 classes, the model 3' in caplog.text


def test_acts_once_and_never_on_resume(checkpoint):
    deep = net('D', 2)
    hook = StagedInitHook(checkpoint(net('A', 1)))
    before = copy_of(deep)
    hook.before_train(runner(deep, iteration=1))
    assert not changed(deep, before)
    hook.before_train(runner(deep))
    before = copy_of(net('D', 3))
    deep.load_state_dict(before)
    hook.before_train(runner(deep))
    assert not changed(deep, before)
    StagedInitHook(None).before_train(runner(deep))
    assert not changed(deep, before)


def test_nothing_is_copied_unless_everything_fits(checkpoint):
    a, deep = net('A', 1), net('D', 2)
    state = a.state_dict()
    del state['head.fc7.weight']
    before = copy_of(deep)
    with pytest.raises(ValueError, match='has no head.fc7.weight'):
        StagedInitHook(checkpoint(SimpleNamespace(state_dict=lambda: state))).before_train(
            runner(deep)
        )
    assert not changed(deep, before)


def test_errors_are_one_clear_line(checkpoint, tmp_path):
    deep = net('D', 2)
    cases = [
        (StagedInitHook(str(tmp_path / 'no.pth')), FileNotFoundError, 'checkpoint not found'),
        (
            StagedInitHook(checkpoint(net('A', 1, base_channels=8), 'wide.pth')),
            ValueError,
            r'conv1_1.weight of .*wide.pth is \(8, 3, 3, 3\), but .* is \(4, 3, 3, 3\)',
        ),
        (
            StagedInitHook(checkpoint(net('A', 1)), layers=['conv3_3']),
            ValueError,
            'has no layer conv3_3',
        ),
        (
            StagedInitHook(checkpoint(net('E', 1), 'e.pth'), layers=['conv3_4']),
            ValueError,
            'the model has no layer conv3_4; it has conv1_1, conv1_2',
        ),
    ]
    for hook, kind, message in cases:
        with pytest.raises(kind, match=message) as error:
            hook.before_train(runner(deep))
        assert '\n' not in str(error.value)
    for layers in ('conv1_1', [], [1]):
        with pytest.raises(ValueError, match='layers must be a list of names'):
            StagedInitHook('a.pth', layers=layers)


@pytest.mark.parametrize(
    'given, source',
    [
        (dict(_load_from='start.pth'), 'load_from=start.pth'),
        (dict(_has_loaded=True), 'runner.load_checkpoint'),
    ],
)
def test_loaded_weights_are_not_replaced(given, source, checkpoint):
    deep = net('D', 2)
    before = copy_of(deep)
    run = runner(deep)
    vars(run).update(given)
    with pytest.raises(ValueError, match=f'a.pth would replace the weights of {source}: ') as error:
        StagedInitHook(checkpoint(net('A', 1))).before_train(run)
    assert '\n' not in str(error.value) and not changed(deep, before)
    run.cfg = dict(custom_hooks=[dict(type='EMAHook'), dict(type='vgg_mm.StagedInitHook')])
    with pytest.raises(ValueError, match=r'--cfg-options custom_hooks.1.checkpoint=None\)'):
        StagedInitHook(checkpoint(net('A', 1))).before_train(run)
    run._resume, run._has_loaded = True, True  # resumed at iteration 0
    StagedInitHook(checkpoint(net('A', 1))).before_train(run)
    assert not changed(deep, before)


def test_pretrained_weights_are_not_replaced(checkpoint):
    deep = net('D', 2)
    deep.backbone.init_cfg = [dict(type='Pretrained', checkpoint='own.pth')]
    before = copy_of(deep)
    with pytest.raises(ValueError, match=r'that Pretrained \(own.pth\) gave backbone: remove one'):
        StagedInitHook(checkpoint(net('A', 1))).before_train(runner(deep))
    assert not changed(deep, before)
    StagedInitHook(checkpoint(net('A', 1)), layers=['fc6']).before_train(runner(deep))
    assert changed(deep, before) == {'head.fc6.weight', 'head.fc6.bias'}


def test_built_from_a_config():
    hook = HOOKS.build(dict(type='vgg_mm.StagedInitHook', checkpoint='a.pth'))
    assert hook.layers == STAGED_LAYERS


@pytest.mark.parametrize(
    'arch, kwargs, message',
    [
        ('A', {}, 'backbone.conv1_2.bias is missing'),
        ('E', {}, 'backbone.conv3_4.bias is not in the model'),
        ('D', dict(num_classes=3), r'head.fc8.bias is \(3,\), the model expects \(7,\)'),
        ('D', dict(base_channels=8), 'and .* more'),
    ],
)
def test_a_checkpoint_of_another_net_is_rejected(arch, kwargs, message):
    checkpoint = dict(state_dict=net(arch, 1, **kwargs).state_dict())
    with pytest.raises(ValueError, match=f'of another net: .*{message}') as error:
        CheckpointCheckHook().after_load_checkpoint(runner(net('D', 2)), checkpoint)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    'arch, kwargs, message',
    [
        ('E', {}, 'it is of a deeper net: it has conv3_4, conv4_4, conv5_4, the model has not'),
        ('D', dict(norm_cfg=dict(type='BN')), 'it has batch norms, the model has none: give the'),
    ],
)
def test_training_does_not_start_from_another_net(arch, kwargs, message):
    checkpoint = dict(state_dict=net(arch, 1, **kwargs).state_dict())
    hook = CheckpointCheckHook(strict=False)
    with pytest.raises(ValueError, match=f'the checkpoint is of another net: {message}'):
        hook.after_load_checkpoint(runner(net('D', 2)), checkpoint)


def test_fine_tuning_drops_fc8_of_other_classes(caplog):
    checkpoint = dict(state_dict=net('D', 1, num_classes=3).state_dict())
    with caplog.at_level(logging.INFO):
        CheckpointCheckHook(strict=False).after_load_checkpoint(runner(net('D', 2)), checkpoint)
    assert not [n for n in checkpoint['state_dict'] if 'fc8' in n]
    assert 'head.fc8.weight is left as initialised' in caplog.text
    foreign = dict(state_dict={'layer1.weight': torch.zeros(1)})
    with pytest.raises(ValueError, match='no weight has a name of the model'):
        CheckpointCheckHook(strict=False).after_load_checkpoint(runner(net('D', 2)), foreign)
