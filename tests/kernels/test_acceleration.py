"""``accelerate``: which layers it replaces in which models, and that it can be undone."""

import pickle
from copy import deepcopy

import pytest
import torch
import torch.nn as nn
import torchvision

from vgg_mm.kernels import BandLocalResponseNorm, LeanMaxPool2d, WinogradConv2d, accelerate
from vgg_mm.models import SSDVGG, VGG
from vgg_mm.registry import MODELS

FASTER = (WinogradConv2d, LeanMaxPool2d, BandLocalResponseNorm)


def kinds(model):
    return [type(module) for module in model.modules()]


def net(arch='A-LRN', **kwargs):
    torch.manual_seed(0)
    return VGG(arch, base_channels=16, init_cfg='kaiming', **kwargs)


def test_a_plain_net_has_torchs_layers_and_none_is_in_place():
    layers = list(net().children())
    assert {type(layer).__module__.split('.')[0] for layer in layers} == {'torch'}
    assert not any(getattr(layer, 'inplace', False) for layer in layers)


@pytest.mark.parametrize('make', [net, lambda: SSDVGG('D', base_channels=16, fc_channels=8)])
def test_it_can_be_undone(make):
    model = make()
    plain, state = kinds(model), model.state_dict()
    parameters = list(model.parameters())
    assert accelerate(model) is model
    assert sum(kind in FASTER for kind in kinds(model)) > 10
    faster = kinds(model)
    assert kinds(accelerate(model)) == faster, 'twice is once'
    assert isinstance(model, make().__class__) and type(model).__name__ == make().__class__.__name__
    assert model.state_dict().keys() == state.keys()
    assert all(one is other for one, other in zip(parameters, model.parameters()))
    assert kinds(accelerate(model, on=False)) == plain
    assert kinds(accelerate(model, on=False)) == plain


@pytest.mark.parametrize('copy', [deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_are_faster_too(copy):
    model, x = accelerate(net()), torch.randn(1, 3, 64, 64)
    twin = copy(model)
    assert kinds(twin) == kinds(model)
    assert torch.equal(twin(x)[0], model(x)[0])
    accelerate(twin, on=False)
    assert kinds(twin) == kinds(net()) != kinds(model)


def test_only_suitable_layers_are_replaced():
    class Own(nn.Conv2d):
        pass

    model = nn.Sequential(
        nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 1),
        nn.Conv2d(16, 16, 3, padding=1, stride=2), Own(16, 16, 3, padding=1), nn.ReLU(),
    )  # fmt: skip
    before = kinds(model)
    accelerate(model)
    assert [i for i, (a, b) in enumerate(zip(before, kinds(model))) if a is not b] == [1]


def test_any_model():
    torch.manual_seed(0)
    model, x = torchvision.models.resnet18(num_classes=4).eval(), torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = model(x)
        found = accelerate(model)(x)
    assert sum(kind is WinogradConv2d for kind in kinds(model)) == 13
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_torchscript_compiles_torchs_layers():
    layers = nn.Conv2d(16, 16, 3, padding=1), nn.MaxPool2d(2), nn.LocalResponseNorm(5)
    model, x = nn.Sequential(*layers), torch.randn(2, 16, 8, 8)
    expected = model(x)
    assert [type(layer) for layer in accelerate(model)] == list(FASTER)
    for _ in range(2):
        assert torch.equal(torch.jit.script(model)(x), expected)


def test_maps_are_in_the_default_memory_format():
    """On the CPU, convolutions prefer another format, but mmcv's operators need the default."""
    model, x = accelerate(net(out_indices=('conv4_1', 4))), torch.randn(2, 3, 64, 96)
    for given in (x, x.contiguous(memory_format=torch.channels_last)):
        assert all(out.is_contiguous() for out in model(given))


@pytest.mark.parametrize('last', [False, True])
def test_a_single_layer_keeps_torchs_memory_format(last):
    conv = nn.Conv2d(64, 64, 3, padding=1)
    x = torch.randn(2, 64, 32, 32)
    if last:
        x = x.contiguous(memory_format=torch.channels_last)
    expected, found = conv(x), accelerate(nn.Sequential(conv))(x)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert found.stride() == expected.stride()


def test_configs_can_name_the_convolution():
    model = VGG('A', base_channels=16, conv_cfg=dict(type='vgg_mm.WinogradConv2d'))
    assert type(model.conv2_1) is WinogradConv2d is MODELS.get('WinogradConv2d')
    assert type(accelerate(model, on=False).conv2_1) is nn.Conv2d


def test_another_type_is_one_clear_line():
    with pytest.raises(TypeError, match='expects a torch.nn.Module, got dict'):
        accelerate(dict())
