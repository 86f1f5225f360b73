"""The fused convolution and ReLU gives the same results as two layers, and is used only if allowed.

Without a GPU, torch's own function replaces cuDNN's: the calls are tested on any machine, cuDNN's
results only on a GPU.
"""

import contextlib

import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F

from vgg_mm.kernels import accelerate, conv_relu
from vgg_mm.kernels.winograd import WinogradConv2d
from vgg_mm.models import VGG

ON_A_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')


@pytest.fixture
def cudnn_calls(monkeypatch):
    """Uses the GPU's code path on the CPU, with torch's float32 convolution instead of cuDNN's."""
    found = []

    def cudnn_convolution_relu(x, weight, bias, stride, padding, dilation, groups):
        found.append(tuple(weight.shape))
        assert x.is_contiguous(memory_format=torch.channels_last)
        return F.conv2d(x, weight, bias, stride, padding, dilation, groups).relu_()

    monkeypatch.setattr(torch, 'cudnn_convolution_relu', cudnn_convolution_relu, raising=False)
    monkeypatch.setattr(conv_relu, 'is_autocast_to_bfloat16', lambda x: True)
    monkeypatch.setattr(conv_relu, 'NARROW', torch.float32)
    return found


def net(**kwargs):
    torch.manual_seed(0)
    return accelerate(VGG('A', base_channels=4, init_cfg='kaiming', **kwargs))


def train_step(model, x):
    """Feature maps and gradients."""
    maps = model.train()(x)
    sum((one**2).mean() for one in maps).backward()
    return [*maps, *(p.grad for p in model.parameters() if p.grad is not None)]


@pytest.mark.parametrize('options', [
    {},
    dict(with_cp=True),
    dict(frozen_stages=2),
    dict(out_indices=('conv2_1', 'conv4_2', 4)),
])  # fmt: skip
def test_a_net_gives_the_same_results(options, cudnn_calls, monkeypatch):
    x = torch.randn(2, 3, 64, 64)
    fused = train_step(net(**options), x)
    assert len(cudnn_calls) >= 8
    monkeypatch.setattr(conv_relu, 'is_autocast_to_bfloat16', lambda x: False)
    torch.testing.assert_close(fused, train_step(net(**options), x), rtol=1e-4, atol=1e-6)


def test_the_images_gradient_is_the_same(cudnn_calls):
    conv = nn.Conv2d(3, 5, 3, padding=1)
    one, other = (torch.linspace(-1, 1, 216).view(1, 3, 6, 12).requires_grad_() for _ in range(2))
    weights = torch.randn(1, 5, 6, 12)
    (conv_relu.conv_relu(one, conv) * weights).sum().backward()
    (conv(other).relu() * weights).sum().backward()
    torch.testing.assert_close(one.grad, other.grad)


@pytest.mark.parametrize('conv, activation, fused', [
    (nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), True),
    (WinogradConv2d(4, 4, 3, padding=1), nn.ReLU(), True),
    (nn.Conv2d(4, 4, 1), nn.ReLU(), False),
    (nn.Conv2d(4, 4, 5, padding=2), nn.ReLU(), False),
    (nn.Conv2d(4, 4, 3), nn.ReLU(), False),
    (nn.Conv2d(4, 4, 3, padding=2, dilation=2), nn.ReLU(), False),
    (nn.Conv2d(4, 4, 3, padding=1, stride=2), nn.ReLU(), False),
    (nn.Conv2d(4, 4, 3, padding=1, groups=2), nn.ReLU(), False),
    (nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.ReLU(), False),
    (nn.Conv2d(4, 4, 3, padding=1, padding_mode='reflect'), nn.ReLU(), False),
    (nn.Conv2d(4, 4, 3, padding=1), nn.GELU(), False),
    (nn.Conv2d(4, 4, 3, padding=1), nn.LeakyReLU(), False),
])  # fmt: skip
def test_only_suitable_pairs_are_fused(conv, activation, fused, cudnn_calls):
    x = torch.randn(1, 4, 8, 8)
    expected = activation(conv(x))
    if conv_relu.can_fuse(conv, activation, x):
        torch.testing.assert_close(conv_relu.run_with_relu(conv, x), expected)
    assert bool(cudnn_calls) == fused


def test_second_derivatives(cudnn_calls, monkeypatch):
    monkeypatch.setattr(conv_relu, 'NARROW', torch.float64)
    conv = nn.Conv2d(1, 2, 3, padding=1).double()
    x = torch.randn(1, 1, 3, 3, dtype=torch.float64, requires_grad=True)

    def run(x, weight, bias):
        return conv_relu._ConvReLU.apply(x, weight, bias)

    assert torch.autograd.gradcheck(run, (x, conv.weight, conv.bias))
    assert torch.autograd.gradgradcheck(run, (x, conv.weight, conv.bias))


@pytest.mark.parametrize('hook', [
    'register_forward_hook', 'register_forward_pre_hook', 'register_full_backward_hook',
])  # fmt: skip
@pytest.mark.parametrize('layer', ['conv3_1', 'relu3_1'])
def test_hooks_see_their_layers(layer, hook, cudnn_calls):
    model, seen = net(), []
    getattr(getattr(model, layer), hook)(lambda *_: seen.append(layer))
    train_step(model, torch.randn(1, 3, 32, 32))
    assert seen and len(cudnn_calls) == 7, 'the other seven layers are fused'


@pytest.mark.parametrize('context', [
    contextlib.nullcontext(),
    torch.autocast('cpu', torch.bfloat16),
])  # fmt: skip
def test_cpus_run_two_layers(context):
    with context:
        assert not conv_relu.is_autocast_to_bfloat16(torch.zeros(1, 3, 8, 8))


@ON_A_GPU
def test_on_a_gpu_it_is_as_accurate_as_two_layers():
    model, x = net().cuda(), torch.randn(4, 3, 64, 64, device='cuda')

    def step(fused, enabled=True):
        model.zero_grad()
        with pytest.MonkeyPatch.context() as patch:
            if not fused:
                patch.setattr('vgg_mm.kernels.vgg.follows', lambda *_: False)
            with torch.autocast('cuda', torch.bfloat16, enabled=enabled):
                return [one.float().clone() for one in train_step(model, x)]

    exact, plain, fused = step(False, enabled=False), step(False), step(True)
    for truth, one, other in zip(exact, plain, fused):
        assert (other - truth).norm() <= 1.5 * (one - truth).norm() + 1e-3 * truth.norm()
