"""Initialisation of detectors and segmentors from the layers of a classifier."""

import logging
from types import SimpleNamespace

import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from mmengine.model import ImgDataPreprocessor
from mmpretrain.models import ClsDataPreprocessor

from tests.models.test_vgg import classifier
from vgg_mm.checkpoints import Preprocessing, transfer_classifier
from vgg_mm.checkpoints.preprocessing import CENTRED_BGR, CENTRED_RGB
from vgg_mm.checkpoints.weights import adapt_input_channels
from vgg_mm.engine import ClassifierInitHook
from vgg_mm.models.backbones import VGG
from vgg_mm.models.heads.conv_head import FoldedLinear

WIDTH, FC, SIDE = 4, 16, 7


def source(arch='D', **kwargs):
    torch.manual_seed(0)
    head = dict(in_channels=8 * WIDTH, fc_channels=FC, kernel_size=SIDE)
    return classifier(5, arch=arch, base_channels=WIDTH, head=head, **kwargs)


class Net(nn.Module):
    """A backbone, fc6 and fc7 in some form elsewhere in the module tree, and another layer."""

    def __init__(self, fc6, fc7, **backbone):
        super().__init__()
        self.backbone = VGG(**{'arch': 'D', 'base_channels': WIDTH, **backbone})
        self.roi_head = nn.Module()
        self.roi_head.bbox_head = nn.ModuleDict(dict(fc6=fc6, fc7=fc7))
        self.neck = nn.Conv2d(8 * WIDTH, 8, 1)


def kept():
    return nn.Linear(8 * WIDTH * SIDE**2, FC), nn.Linear(FC, FC)


def folded():
    return nn.Conv2d(8 * WIDTH, FC, SIDE), nn.Conv2d(FC, FC, 1)


def sub_sampled():
    return nn.Conv2d(8 * WIDTH, FC // 4, 3), nn.Conv2d(FC // 4, FC // 4, 1)


def initialise_from_classifier(net, weights, where):
    """Copy a classifier's layers into a net; returns the lines of the report."""
    target = net.state_dict()
    transfer = transfer_classifier(weights, target, where)
    with torch.no_grad():
        for name, value in transfer.weights.items():
            target[name].copy_(value)
    return transfer.lines


def test_only_the_backbone_is_copied():
    classifier, net = source(), Net(*kept())
    neck = net.neck.weight.clone()
    initialise_from_classifier(net, classifier.state_dict(), 'd.pth')
    for name, tensor in classifier.backbone.state_dict().items():
        assert torch.equal(net.backbone.state_dict()[name], tensor)
    assert torch.equal(net.neck.weight, neck)


@pytest.mark.parametrize('form', [kept, folded])
def test_kept_and_folded_give_the_classifiers_activations(form):
    classifier, net = source().eval(), Net(*form())
    initialise_from_classifier(net, classifier.state_dict(), 'd.pth')
    feats = torch.randn(2, 8 * WIDTH, SIDE, SIDE)
    layers = net.roi_head.bbox_head
    x = feats if form is folded else feats.flatten(1)
    fc7 = F.relu(layers['fc7'](F.relu(layers['fc6'](x)))).flatten(1)
    torch.testing.assert_close(fc7, classifier.head.pre_logits((feats,)))


@pytest.mark.parametrize(
    'given, wanted, message',
    [
        (dict(arch='E'), {}, 'deeper net: it has conv3_4, conv4_4, conv5_4, the model has not'),
        (
            {},
            dict(arch='A'),
            'is of a deeper net: it has conv1_2, conv2_2, conv3_3, conv4_3',
        ),
        (dict(norm_cfg=dict(type='GN', num_groups=2)), {}, 'has group norms, the model has none: '),
        (
            dict(norm_cfg=dict(type='BN')),
            dict(norm_cfg=dict(type='GN', num_groups=2)),
            r"has batch norms, the model has group norms: .* norm_cfg=dict\(type='BN'\)",
        ),
    ],
)
def test_classifiers_of_other_nets(given, wanted, message):
    net = Net(*kept(), **wanted)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with pytest.raises(ValueError, match=message) as error:
        initialise_from_classifier(net, source(**given).state_dict(), 'd.pth')
    assert '\n' not in str(error.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_fewer_blocks_and_group_norms():
    """A backbone may end before the classifier does; norms of any kind go with convolutions."""
    norm = dict(norm_cfg=dict(type='GN', num_groups=2))
    classifier, backbone = source(**norm), VGG('D', base_channels=WIDTH, num_stages=4, **norm)
    nn.init.normal_(classifier.backbone.gn1_1.weight)
    initialise_from_classifier(backbone, classifier.state_dict(), 'd.pth')
    for name, tensor in backbone.state_dict().items():
        assert torch.equal(tensor, classifier.backbone.state_dict()[name]), name


def test_folded_linear_loads_either_form():
    net = Net(FoldedLinear(8 * WIDTH, FC, SIDE), FoldedLinear(FC, FC, 1))
    weights = source().state_dict()
    for name in ('head.fc6.weight', 'head.fc7.weight'):
        expected = weights[name].clone()
        for form in (expected, expected.reshape(FC, -1, *((SIDE,) * 2 if '6' in name else (1, 1)))):
            initialise_from_classifier(net, {**weights, name: form}, 'd.pth')
            layer = net.roi_head.bbox_head[name.split('.')[1]]
            assert torch.equal(layer.weight, expected)


@pytest.mark.parametrize('in_conv_form', [False, True])
def test_sub_sampling_is_slicing(in_conv_form):
    weights = source().state_dict()
    fc6 = weights['head.fc6.weight'].view(FC, 8 * WIDTH, SIDE, SIDE)
    fc7 = weights['head.fc7.weight']
    if in_conv_form:
        weights.update({'head.fc6.weight': fc6, 'head.fc7.weight': fc7[..., None, None]})
    net = Net(*sub_sampled())
    lines = initialise_from_classifier(net, weights, 'd.pth')
    layers = net.roi_head.bbox_head
    assert torch.equal(layers['fc6'].weight, fc6[::4, :, ::3, ::3])
    assert torch.equal(layers['fc6'].bias, weights['head.fc6.bias'][::4])
    assert torch.equal(layers['fc7'].weight[..., 0, 0], fc7[::4, ::4])
    assert (
        'roi_head.bbox_head.fc6 <- fc6, folded, sub-sampled '
        '(every: filter 4, row and column 3) (4, 32, 3, 3)' in lines
    )


def test_every_layer_is_reported():
    lines = initialise_from_classifier(Net(*kept()), source().state_dict(), 'd.pth')
    assert 'backbone.conv5_3 <- conv5_3, copied (32, 32, 3, 3)' in lines
    assert 'roi_head.bbox_head.fc7 <- fc7, kept (16, 16)' in lines
    assert 'neck: as initialised' in lines
    assert 'not used: fc8' in lines
    assert len(lines) == 13 + 2 + 1 + 1


def test_a_shallower_models_layers_are_reported_as_unused():
    net = Net(*kept(), num_stages=4, dilations=(1, 1, 1, 1))
    lines = initialise_from_classifier(net, source().state_dict(), 'd.pth')
    assert [line for line in lines if line.startswith('not used')] == [
        'not used: conv5_1',
        'not used: conv5_2',
        'not used: conv5_3',
        'not used: fc8',
    ]


def test_batch_norms_are_copied():
    norm = dict(type='BN')
    classifier, net = source(norm_cfg=norm), Net(*kept(), norm_cfg=norm)
    nn.init.normal_(classifier.backbone.bn3_2.running_mean)
    initialise_from_classifier(net, classifier.state_dict(), 'd.pth')
    assert torch.equal(net.backbone.bn3_2.running_mean, classifier.backbone.bn3_2.running_mean)


def wrong_inputs():
    yield (
        'narrower',
        source(),
        Net(*kept(), base_channels=8),
        ('d.pth does not fit the model: conv1_1.weight is (4, 3, 3, 3), the model expects (8, '),
    )
    yield 'shallower', source('A'), Net(*kept()), 'it has no conv1_2.weight'
    yield (
        'norms here',
        source(),
        Net(*kept(), norm_cfg=dict(type='BN')),
        ('d.pth has no batch norms, the model has them: give the backbone norm_cfg=None'),
    )
    yield (
        'norms there',
        source(norm_cfg=dict(type='BN')),
        Net(*kept()),
        ("has batch norms, the model has none: give the backbone norm_cfg=dict(type='BN')"),
    )
    yield (
        'other fc6',
        source(),
        Net(nn.Linear(99, FC), nn.Linear(FC, FC)),
        'fc6.weight is (16, 1568)',
    )
    odd = nn.Conv2d(8 * WIDTH, FC, 4), nn.Conv2d(FC, FC, 1)  # valid: 4 of 7 rows, with stride 2
    initialise_from_classifier(Net(*odd), source().state_dict(), 'd.pth')
    even = nn.Conv2d(8 * WIDTH, FC, 5), nn.Conv2d(FC, FC, 1)
    yield (
        'kernel',
        source(),
        Net(*even),
        'fc6.weight is (16, 1568), the model expects (16, 32, 5, 5)',
    )
    wide = nn.Conv2d(2048, FC, 3), nn.Conv2d(FC, FC, 1)
    yield (
        'more inputs than all of the classifier',
        source(),
        Net(*wide),
        'fc6.weight is (16, 1568), the model expects (16, 2048, 3, 3)',
    )
    single = nn.Conv2d(8 * WIDTH, FC, 1), nn.Conv2d(FC, FC, 1)
    yield (
        'kernel of 1',
        source(),
        Net(*single),
        'fc6.weight is (16, 1568), the model expects (16, 32, 1, 1)',
    )
    yield (
        'filters',
        source(),
        Net(*(nn.Conv2d(32, 5, 3), nn.Conv2d(5, 5, 1))),
        'expects (5, 32, 3, 3)',
    )
    yield 'no VGG', nn.Conv2d(1, 1, 1), Net(*kept()), 'no VGG found in any known layout'
    yield (
        'no VGG here',
        source(),
        nn.Sequential(nn.Conv2d(1, 1, 1)),
        'the model has no layer of a VGG',
    )


@pytest.mark.parametrize('case', list(wrong_inputs()), ids=lambda case: case[0])
def test_mismatches_are_one_line(case):
    _, classifier, net, message = case
    before = {n: t.clone() for n, t in net.state_dict().items()}
    with pytest.raises(ValueError) as error:
        initialise_from_classifier(net, classifier.state_dict(), 'd.pth')
    assert message in str(error.value)
    assert '\n' not in str(error.value)
    assert all(torch.equal(t, before[n]) for n, t in net.state_dict().items())


def runner(model, iteration=0):
    return SimpleNamespace(model=model, iter=iteration, logger=logging.getLogger('init'))


def test_hook_reads_other_layouts_and_reports(tmp_path, caplog):
    net = torchvision.models.VGG(
        torchvision.models.vgg.make_layers([4, 4, 'M', 8, 8, 'M', *[16] * 3, 'M', *[32] * 3, 'M']
                                           + [32] * 3 + ['M']), num_classes=5
    )  # fmt: skip
    net.classifier = nn.Sequential(
        nn.Linear(32 * 49, FC), nn.ReLU(), nn.Dropout(), nn.Linear(FC, FC), nn.ReLU(),
        nn.Dropout(), nn.Linear(FC, 5),
    )  # fmt: skip
    path = tmp_path / 'vgg16.pth'
    torch.save(net.state_dict(), path)
    model = Net(*folded())
    with caplog.at_level(logging.INFO):
        ClassifierInitHook(str(path)).before_train(runner(model))
    assert torch.equal(model.backbone.conv5_3.weight, net.features[28].weight)
    fc6 = model.roi_head.bbox_head['fc6'].weight
    assert torch.equal(fc6.flatten(1), net.classifier[0].weight)
    assert 'backbone.conv5_3 <- conv5_3, copied' in caplog.text


def images_for(model, mean, std):
    """The model with a data preprocessor of BGR images, like a detector."""
    model.data_preprocessor = ImgDataPreprocessor(mean=mean, std=std)
    return model


def written(path, preprocessing):
    """Writes a classifier with random biases and its pre-processing to a file; returns the net."""
    net = source()
    for name, tensor in net.named_parameters():
        if name.endswith('.bias'):
            nn.init.uniform_(tensor, -5, 5)
    meta = dict(preprocessing=preprocessing.to_meta())
    torch.save(dict(state_dict=net.state_dict(), meta=meta), path)
    return net


@pytest.mark.parametrize('std', [58.0, 0.5])
def test_divided_images_only_scale_the_feature_maps(std, tmp_path, caplog):
    net = written(tmp_path / 'd.pth', CENTRED_BGR)
    for tensor in net.backbone.parameters():
        tensor.requires_grad_(False)
    model = images_for(Net(*kept()), CENTRED_BGR.mean, [std] * 3)
    with caplog.at_level(logging.INFO):
        ClassifierInitHook(str(tmp_path / 'd.pth')).before_train(runner(model))
    assert 'pre-processing differs' not in caplog.text
    assert f'd.pth expects std 1, the config has {std:g}: biases of conv' in caplog.text
    images = torch.randint(0, 256, (2, 3, 224, 224)).float()
    mean = torch.tensor(CENTRED_BGR.mean).view(-1, 1, 1)
    (expected,) = net.backbone.eval()(images - mean)
    (maps,) = model.backbone.eval()(model.data_preprocessor(dict(inputs=images))['inputs'])
    torch.testing.assert_close(maps, expected / std, rtol=1e-4, atol=1e-5 * float(expected.max()))
    fc6 = model.roi_head.bbox_head['fc6']
    torch.testing.assert_close(
        fc6(maps.flatten(1)), net.head.fc6(expected).flatten(1), rtol=1e-3, atol=1e-3
    )
    assert torch.equal(model.roi_head.bbox_head['fc7'].weight, net.head.fc7.weight)


@pytest.mark.parametrize('change, mean, std', [
    ({}, CENTRED_BGR.mean, [58.0, 57.0, 58.0]),  # channels are divided differently
    ({}, [0.0] * 3, [58.0] * 3),  # another mean
    # Not homogeneous.
    (dict(norm_cfg=dict(type='BN')), CENTRED_BGR.mean, [58.0] * 3),
    (dict(norm_cfg=dict(type='GN', num_groups=2)), CENTRED_BGR.mean, [58.0] * 3),
    (dict(act_cfg=dict(type='GELU')), CENTRED_BGR.mean, [58.0] * 3),
])  # fmt: skip
def test_other_differences_in_preprocessing_are_reported(change, mean, std, tmp_path, caplog):
    norm = change if 'norm_cfg' in change else {}
    meta = dict(preprocessing=CENTRED_BGR.to_meta())
    torch.save(dict(state_dict=source(**norm).state_dict(), meta=meta), tmp_path / 'd.pth')
    model = images_for(Net(*kept(), **change), mean, std)
    ClassifierInitHook(str(tmp_path / 'd.pth')).before_train(runner(model))
    assert 'pre-processing differs: ' in caplog.text
    weights = source(**norm).state_dict()
    assert torch.equal(model.backbone.conv5_3.weight, weights['backbone.conv5_3.weight'])


@given(by=st.floats(1e-3, 1e3), std=st.floats(0.1, 300))
def test_quotient_inverts_divided(by, std):
    weights = Preprocessing(False, (1.0, 2.0, 3.0), (std, std, 2 * std))
    assert weights.divided(by).quotient(weights) == pytest.approx(by)
    assert weights.divided(by).reversed_channels().quotient(weights) is None


def test_four_channels_are_in_bgr(tmp_path, caplog):
    """A data preprocessor converts only images of three channels to RGB."""
    net = written(tmp_path / 'd.pth', CENTRED_RGB)
    model = Net(*kept(), in_channels=4)
    mean = CENTRED_RGB.for_channels(4).mean
    model.data_preprocessor = ClsDataPreprocessor(mean=mean, std=[1.0] * 4)
    with caplog.at_level(logging.INFO):
        ClassifierInitHook(str(tmp_path / 'd.pth')).before_train(runner(model))
    assert 'pre-processing differs' not in caplog.text
    assert 'conv1_1 is reversed' in caplog.text
    bgr = torch.randint(0, 256, (2, 4, 64, 64)).float()
    rgb = bgr[:, [2, 1, 0]] - torch.tensor(CENTRED_RGB.mean).view(-1, 1, 1)
    expected = net.backbone.eval()(rgb)
    maps = model.backbone.eval()(model.data_preprocessor(dict(inputs=bgr))['inputs'])
    torch.testing.assert_close(maps[-1], expected[-1], rtol=1e-4, atol=1e-3)


def test_hook_acts_once_and_never_on_resume(tmp_path):
    path = tmp_path / 'd.pth'
    torch.save(dict(state_dict=source().state_dict()), path)
    model = Net(*kept())
    before = model.backbone.conv1_1.weight.clone()
    ClassifierInitHook(None).before_train(runner(model))
    ClassifierInitHook(str(path)).before_train(runner(model, iteration=3))
    assert torch.equal(model.backbone.conv1_1.weight, before)
    hook = ClassifierInitHook(str(path))
    hook.before_train(runner(model))
    assert not torch.equal(model.backbone.conv1_1.weight, before)
    nn.init.zeros_(model.backbone.conv1_1.weight)
    hook.before_train(runner(model))
    assert not model.backbone.conv1_1.weight.any()


def test_hook_keeps_weights_of_pretrained(tmp_path, caplog):
    """If Pretrained gives all layers, the file of the hook may be missing."""
    path = tmp_path / 'd.pth'
    torch.save(dict(state_dict=source().state_dict()), path)
    model = Net(*kept())
    model.backbone.init_cfg = dict(type='Pretrained', checkpoint='own.pth')
    before = {name: t.clone() for name, t in model.state_dict().items()}
    ClassifierInitHook(str(path)).before_train(runner(model))
    changed = {name for name, t in model.state_dict().items() if not torch.equal(t, before[name])}
    assert changed == {n for n in before if '.fc6.' in n or '.fc7.' in n}
    assert (
        'keeps the weights of Pretrained: backbone (own.pth); the other layers of VGG'
        in caplog.text
    )
    caplog.clear()
    model.roi_head = nn.Identity()
    ClassifierInitHook('not there.pth').before_train(runner(model))
    assert 'keeps the weights of Pretrained: backbone (own.pth)' in caplog.text


def test_convolutions_alone(tmp_path, caplog):
    weights = {n: t for n, t in source().state_dict().items() if n.startswith('backbone')}
    torch.save(dict(state_dict=weights), tmp_path / 'd.pth')
    model = Net(*kept())
    ClassifierInitHook(str(tmp_path / 'd.pth')).before_train(runner(model))
    assert torch.equal(model.backbone.conv5_3.weight, weights['backbone.conv5_3.weight'])
    assert 'has only convolutions: roi_head.bbox_head.fc6, roi_head.bbox_head.fc7' in caplog.text


def test_run_that_has_loaded_weights_is_rejected():
    run = runner(Net(*kept()))
    run._has_loaded = True
    with pytest.raises(
        ValueError, match='d.pth would replace the weights of runner.load_checkpoint'
    ):
        ClassifierInitHook('d.pth').before_train(run)


def test_transfer_does_not_change_the_model():
    net = Net(*kept())
    before = net.backbone.conv1_1.weight.clone()
    transfer = transfer_classifier(source().state_dict(), net.state_dict(), 'd.pth')
    assert torch.equal(net.backbone.conv1_1.weight, before)
    assert len(transfer.weights) == 2 * 15


def test_required_fc6_and_fc7(tmp_path):
    path = str(tmp_path / 'convs.pth')
    weights = source().state_dict()
    convs = {name: tensor for name, tensor in weights.items() if name.startswith('backbone.')}
    torch.save(dict(state_dict=convs), path)
    model = Net(*kept())
    with pytest.raises(ValueError, match='has no fc6 and fc7, which this config starts from: give'):
        ClassifierInitHook(path, require_fc=True).before_train(runner(model))
    # Accepted: a whole classifier, or a model without fc6 and fc7.
    torch.save(dict(state_dict=weights), tmp_path / 'whole.pth')
    ClassifierInitHook(str(tmp_path / 'whole.pth'), require_fc=True).before_train(runner(model))
    backbone = nn.ModuleDict(dict(backbone=VGG('D', base_channels=WIDTH)))
    ClassifierInitHook(path, require_fc=True).before_train(runner(backbone))
    assert torch.equal(backbone['backbone'].conv1_1.weight, convs['backbone.conv1_1.weight'])


@pytest.mark.parametrize('channels', [1, 4])
def test_grey_images_and_more_channels(channels):
    """A grey image equals three equal channels; a fourth channel does not change the output."""
    weights = source().state_dict()
    net = Net(*kept(), in_channels=channels).eval()
    colour = Net(*kept()).eval()
    for model in (net, colour):
        initialise_from_classifier(model, weights, 'd.pth')
    images = torch.randn(2, channels, 32, 32)
    same = images.expand(-1, 3, -1, -1) if channels == 1 else images[:, :3]
    with torch.no_grad():
        torch.testing.assert_close(net.backbone(images)[-1], colour.backbone(same)[-1])
    weights = {n: t for n, t in weights.items() if n == 'backbone.conv1_1.weight'}
    (notice,) = adapt_input_channels(weights, net.state_dict())
    assert torch.equal(weights['backbone.conv1_1.weight'], net.backbone.conv1_1.weight)
    assert notice.endswith(f'it has 3 input channels, the model {channels}')
