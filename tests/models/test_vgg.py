"""The backbone: comparison with torchvision, MMPretrain and the paper's numbers; properties."""

import numpy as np
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F
import torchvision
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import DefaultScope, Registry
from mmpretrain.models import VGG as MMPretrainVGG
from mmpretrain.registry import MODELS

import vgg_mm
from vgg_mm.architectures import ARCHITECTURES
from vgg_mm.models.backbones import vgg
from vgg_mm.models.backbones.vgg import ALEXNET_LRN

#: Numbers of parameters with 1000 classes.
PARAMETERS = {
    'A': 132_863_336,
    'A-LRN': 132_863_336,
    'B': 133_047_848,
    'C': 133_638_952,
    'D': 138_357_544,
    'E': 143_667_240,
}


def classifier(num_classes=1000, head=None, **backbone):
    return MODELS.build(
        dict(
            type='ImageClassifier',
            backbone=dict(type='vgg_mm.VGG', **backbone),
            head=dict(type='vgg_mm.ConvHead', num_classes=num_classes, **(head or {})),
        )
    )


def small(arch='D', **kwargs):
    torch.manual_seed(0)
    net = vgg_mm.models.VGG(arch, base_channels=4, **kwargs)
    net.init_weights()
    return net


@pytest.mark.parametrize('arch', PARAMETERS)
def test_parameter_counts_equal_the_papers(arch):
    with torch.device('meta'):
        model = classifier(arch=arch)
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[arch]


def test_5x5_control_replaces_each_pair_of_3x3():
    control, b = small('B-5x5'), small('B')
    assert control.layer_names == [f'conv{i}_1' for i in range(1, 6)]
    weight = control.conv3_1.weight
    assert weight.shape == (*b.conv3_1.weight.shape[:2], 5, 5)


@pytest.mark.parametrize('norm', [False, True])
@pytest.mark.parametrize('arch, depth', [('A', 11), ('B', 13), ('D', 16), ('E', 19)])
def test_logits_equal_torchvision(arch, depth, norm):
    torch.manual_seed(depth)
    theirs = getattr(torchvision.models, f'vgg{depth}' + ('_bn' if norm else ''))().eval()
    ours = classifier(arch=arch, norm_cfg=dict(type='BN') if norm else None).eval()
    for buffer in theirs.buffers():
        if buffer.ndim:
            buffer.uniform_(0.5, 1.5)
    # Both state dicts are in the order from input to output.
    copy_in_order(theirs, ours)
    x = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        expected, found = theirs(x), ours(x)
    assert (expected - found).abs().max() <= 1e-4 * expected.abs().max()


def copy_in_order(source, target):
    targets = list(target.state_dict().values())
    sources = list(source.state_dict().values())
    assert len(targets) == len(sources)
    with torch.no_grad():
        for t, s in zip(targets, sources):
            t.copy_(s.reshape(t.shape))


@pytest.mark.parametrize('depth', [11, 16])
@pytest.mark.parametrize(
    'options',
    [
        {},
        dict(out_indices=(0, 1, 2, 3, 4)),
        dict(ceil_mode=True, out_indices=(3, 4)),
        dict(act_cfg=None),
        dict(with_last_pool=False),
        dict(dilations=(1, 1, 1, 1, 2)),
        dict(num_stages=3, dilations=(1, 1, 1), out_indices=(2,)),
        dict(norm_cfg=dict(type='BN')),
        dict(act_cfg=dict(type='LeakyReLU')),
        dict(num_classes=10, out_indices=(4, 5)),
    ],
)
def test_maps_equal_mmpretrain(depth, options):
    torch.manual_seed(0)
    theirs = MMPretrainVGG(depth, **options)
    theirs.eval()  # its eval() returns None
    ours = vgg_mm.models.VGG(depth=depth, **options).eval()
    copy_in_order(theirs, ours)
    size = 224 if 'num_classes' in options else 75
    x = torch.randn(1, 3, size, size)
    with torch.no_grad():
        for expected, found in zip(theirs(x), ours(x), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_classifier_inside_the_backbone_as_in_mmpretrain():
    with torch.device('meta'):
        net = vgg_mm.models.VGG('D', num_classes=1000)
    assert net.out_indices == (5,)
    assert sum(p.numel() for p in net.parameters()) == PARAMETERS['D']


def test_layer_names_give_outputs_after_relu():
    assert small(out_indices=3).out_indices == (3,)
    assert small(out_indices='conv4_3').out_indices == ('conv4_3',)
    net = small(out_indices=('conv4_3', 3, 'conv5_2')).eval()
    conv4_3, pool4, conv5_2 = net(torch.randn(1, 3, 64, 64))
    assert conv4_3.shape == (1, 32, 8, 8)
    assert conv4_3.min() >= 0
    torch.testing.assert_close(F.max_pool2d(conv4_3, 2), pool4)
    assert conv5_2.shape == (1, 32, 4, 4)


def test_lrn_is_alexnets():
    x = torch.randn(2, 16, 3, 4, dtype=torch.float64) * 20
    squares = np.pad(x.numpy() ** 2, ((0, 0), (2, 2), (0, 0), (0, 0)))
    total = sum(squares[:, i : i + 16] for i in range(5))
    expected = x.numpy() / (2 + 1e-4 * total) ** 0.75
    np.testing.assert_allclose(nn.LocalResponseNorm(**ALEXNET_LRN)(x).numpy(), expected, rtol=1e-9)


def test_lrn_changes_net_a_only_in_its_first_block():
    plain, lrn = small('A', out_indices=('conv1_1', 0)), small('A-LRN', out_indices=('conv1_1', 0))
    x = torch.randn(1, 3, 32, 32) * 100
    normalise = nn.LocalResponseNorm(**ALEXNET_LRN)
    (relu, pooled), (relu_lrn, pooled_lrn) = plain(x), lrn(x)
    torch.testing.assert_close(relu, relu_lrn)
    torch.testing.assert_close(F.max_pool2d(normalise(relu), 2), pooled_lrn)
    assert not torch.allclose(pooled, pooled_lrn)


@pytest.mark.parametrize('at_once', [0, 8])
@pytest.mark.parametrize(
    'norm_cfg', [None, dict(type='BN'), dict(type='IN2d', track_running_stats=True, affine=True)]
)
def test_gradient_checkpointing_changes_nothing(at_once, norm_cfg, monkeypatch):
    """Gradients are the same, also if blocks are recomputed for parts of a batch; so are the
    running averages of norms, which see a batch once.
    """
    monkeypatch.setattr(vgg, 'RECOMPUTED', at_once)
    x = torch.randn(3, 3, 32, 32)
    gradients, averages = [], []
    for with_cp in (False, True):
        net = small(with_cp=with_cp, out_indices=('conv3_2', 4), norm_cfg=norm_cfg).train()
        sum(out.square().sum() for out in net(x)).backward()
        gradients.append([p.grad for p in net.parameters()])
        averages.append(list(net.buffers()))
    for plain, recomputed in zip(*gradients):
        torch.testing.assert_close(plain, recomputed)
    for plain, recomputed in zip(*averages):
        torch.testing.assert_close(plain, recomputed)


def test_frozen_stages_and_norm_eval():
    net = small(norm_cfg=dict(type='BN'), frozen_stages=2, norm_eval=True).train()
    frozen = {n for n, p in net.named_parameters() if not p.requires_grad}
    assert frozen == {n for n, _ in net.named_parameters() if n.split('_')[0][-1] in '12'}
    assert not net.bn2_2.training and not net.bn4_1.training and net.conv4_1.training
    before = net.bn5_1.running_mean.clone()
    net(torch.randn(2, 3, 32, 32))
    assert torch.equal(net.bn5_1.running_mean, before)


def test_channels_last_gives_the_same_result():
    net, x = small().eval(), torch.randn(1, 3, 64, 64)
    expected = net(x)[0]
    found = net.to(memory_format=torch.channels_last)(
        x.contiguous(memory_format=torch.channels_last)
    )
    torch.testing.assert_close(found[0], expected, rtol=1e-4, atol=1e-5)


def test_an_architecture_by_value():
    kernels = ARCHITECTURES['D'].kernels
    for arch in (dict(kernels=[list(block) for block in kernels]), ARCHITECTURES['D']):
        net = small(arch)
        assert net.arch == 'D' and net.state_dict().keys() == small('D').state_dict().keys()
    own = small(dict(kernels=((3, 5), (3,), (1,)), lrn=True), out_indices=('conv1_2', 2))
    assert own.arch == '3-5/3/1 with LRN' and own.layer_names[-1] == 'conv3_1'
    assert own.conv1_2.kernel_size == (5, 5) and isinstance(own.lrn1, nn.LocalResponseNorm)
    assert [out.shape for out in own(torch.randn(1, 3, 32, 40))] == [(1, 4, 32, 40), (1, 16, 4, 5)]


def test_other_numbers_of_input_channels():
    assert small(in_channels=1)(torch.randn(1, 1, 32, 32))[0].shape == (1, 32, 1, 1)
    assert small(in_channels=4).conv1_1.weight.shape == (4, 4, 3, 3)


@pytest.mark.parametrize('norm_cfg', [None, dict(type='BN')])
@pytest.mark.parametrize('depth', [11, 13, 16, 19])
def test_interface_of_mmpretrains_vgg(depth, norm_cfg):
    """A net given by its depth returns all blocks' maps in training; with norm_eval, norms stay in
    evaluation mode."""
    net = small(depth, norm_cfg=norm_cfg, out_indices=(0, 1, 2, 3, 4), norm_eval=True).train()
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    assert not any(norm.training for norm in norms) and bool(norms) == bool(norm_cfg)
    shapes = [tuple(out.shape) for out in net(torch.randn(1, 3, 64, 64))]
    assert shapes == [(1, w, 32 >> i, 32 >> i) for i, w in enumerate((4, 8, 16, 32, 32))]
    assert net(torch.randn(1, 3, 64, 64))[-1].requires_grad
    with pytest.raises(TypeError):
        net.init_weights(pretrained=0)


@pytest.mark.parametrize('scope', ['mmdet', 'mmseg'])
def test_builds_and_runs_from_other_scopes(scope):
    """Like the registries of those packages, the stand-in is a child of mmengine's root."""
    registry = Registry('model', parent=MMENGINE_MODELS, scope=f'{scope}_stand_in')
    with DefaultScope.overwrite_default_scope(f'{scope}_stand_in'):
        net = registry.build(dict(type='vgg_mm.VGG', arch='D', base_channels=4, out_indices=(2, 3)))
        head = registry.build(dict(type='vgg_mm.ConvHead', num_classes=3, in_channels=32))
    assert [out.shape[1] for out in net(torch.randn(1, 3, 64, 64))] == [16, 32]
    assert head.loss_module.__class__.__module__.startswith('mmpretrain')


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(arch='F'), "unknown arch 'F'; choose one of A, A-LRN"),
        (dict(depth=12), 'a depth of 11, 13, 16, 19'),
        (dict(), 'give either arch or depth'),
        (dict(arch='A', depth=11), 'give either arch or depth'),
        (dict(arch=dict(kernels=((3,), (4,)))), '1 to 5 blocks of odd kernel sizes, got'),
        (dict(arch=dict(kernels=((3,),) * 6)), '1 to 5 blocks'),
        (dict(arch=dict(kernels=((3,), ()))), '1 to 5 blocks'),
        (dict(arch=dict(kernel=((3,),))), 'arch by value is dict'),
        (dict(arch=((3,), (3,))), 'arch by value is dict'),
        (dict(arch='A', in_channels=0), 'in_channels must be a positive integer'),
        (dict(arch='A', base_channels=0), 'base_channels must be a positive integer'),
        (dict(arch='A', out_indices=('conv4_3',)), 'choose from .* conv4_1, conv4_2, conv5_1'),
        (dict(arch='A', out_indices=(5,)), 'out_indices'),
        (dict(arch='A', dilations=(1, 1)), 'dilations must contain 5'),
        (dict(arch='A', strides=(2, 2)), 'strides must contain 5 numbers'),
        (dict(arch='A', strides=(2, 2, 2, 2, 3), pool_size=3), 'each 1 or 2'),
        (dict(arch='A', strides=(2, 2, 2, 1, 1)), 'need pool_size=3'),
        (dict(arch='A', pool_size=4), 'pool_size must be 2 or 3, got 4'),
        (dict(arch='A', num_stages=6), 'num_stages must be 1 to 5'),
        (dict(arch='A', frozen_stages=7), 'frozen_stages must be -1 to 5'),
        (dict(arch='A', init_cfg='xavier'), "unknown init_cfg 'xavier'; choose one of normal_var"),
    ],
)
def test_wrong_arguments_are_one_clear_line(options, message):
    with pytest.raises(ValueError, match=message) as error:
        vgg_mm.models.VGG(**options)
    assert '\n' not in str(error.value)


def test_table_has_the_papers_number_of_weight_layers():
    depth = {name: arch.conv_layers + 3 for name, arch in ARCHITECTURES.items()}
    assert depth == {'A': 11, 'A-LRN': 11, 'B': 13, 'B-5x5': 8, 'C': 16, 'D': 16, 'E': 19}
