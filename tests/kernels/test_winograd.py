"""3x3 convolutions by minimal filtering, compared with torch's own in float64."""

import statistics
from fractions import Fraction

import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from vgg_mm.kernels import WinogradConv2d, accelerate
from vgg_mm.kernels.winograd import (
    POINTS,
    conv3x3,
    conv3x3_weight_grad,
    toom_cook,
)
from vgg_mm.models import VGG

SIZES = dict(
    n=st.integers(1, 3),
    in_channels=st.integers(1, 5),
    out_channels=st.integers(1, 5),
    height=st.integers(1, 19),
    width=st.integers(1, 19),
)


def close(found: torch.Tensor, expected: torch.Tensor) -> bool:
    return bool((found - expected).norm() <= 5e-6 * expected.norm() + 1e-6)


def plain(layer: nn.Conv2d) -> nn.Conv2d:
    """torch's layer with the same weights."""
    copy = nn.Conv2d(layer.in_channels, layer.out_channels, 3, padding=1)
    copy.load_state_dict(layer.state_dict())
    return copy


@given(st.lists(st.fractions(-3, 3, max_denominator=5), min_size=5, max_size=5, unique=True))
@settings(max_examples=30, deadline=None)
def test_any_points_give_the_correlation(points):
    a, b, g = toom_cook(points, outputs=4, kernel=3)
    torch.manual_seed(0)
    x, w = torch.randn(6, dtype=torch.float64), torch.randn(3, dtype=torch.float64)
    expected = F.conv1d(x[None, None], w[None, None])[0, 0]
    assert torch.allclose(a @ ((g @ w) * (b @ x)), expected, rtol=1e-6, atol=1e-6)


def test_the_points_are_more_accurate_than_the_usual_ones():
    def error(points):
        a, b, g = (torch.kron(m, m).float() for m in toom_cook(points, 4, 3))
        torch.manual_seed(0)
        x, w = torch.randn(2000, 36).relu(), torch.randn(2000, 9)
        y = ((x @ b.t()) * (w @ g.t())) @ a.t()
        exact = F.conv2d(
            x.double().view(1, 2000, 6, 6), w.double().view(2000, 1, 3, 3), groups=2000
        )
        return (y - exact.flatten(2)[0]).norm() / exact.norm()

    assert error(POINTS) < 0.7 * error([Fraction(p) for p in (0, 1, -1, 2, -2)])


@given(**SIZES)
@settings(max_examples=60, deadline=None)
def test_convolution_and_gradients(n, in_channels, out_channels, height, width):
    torch.manual_seed(0)
    x = torch.randn(n, in_channels, height, width, requires_grad=True)
    weight = torch.randn(out_channels, in_channels, 3, 3, requires_grad=True)
    bias = torch.randn(out_channels)
    expected = F.conv2d(x.double(), weight.double(), bias.double(), padding=1)
    grad = torch.randn(expected.shape)
    expected.backward(grad.double())
    with torch.no_grad():
        assert close(conv3x3(x, weight, bias), expected)
        assert close(conv3x3(x, weight, None), expected - bias[:, None, None])
        assert close(conv3x3_weight_grad(x, grad), weight.grad)


@pytest.mark.parametrize('channels_last', [False, True])
def test_layer_where_it_is_faster(channels_last):
    torch.manual_seed(0)
    layer = WinogradConv2d(128, 128, 3, padding=1)
    own, reference = torch.randn(4, 128, 30, 29), plain(layer).double()
    if channels_last:
        layer.to(memory_format=torch.channels_last)
        own = own.contiguous(memory_format=torch.channels_last)
    x, twin = own.requires_grad_(), own.detach().double().requires_grad_()
    out, expected = layer(x).relu_(), reference(twin).relu()
    assert out.grad_fn.next_functions[0][0].name() == '_Conv3x3Backward'
    assert close(out, expected)
    grad = torch.randn(out.shape)
    out.backward(grad)
    expected.backward(grad.double())
    assert close(x.grad, twin.grad)
    for name, parameter in layer.named_parameters():
        assert close(parameter.grad, reference.get_parameter(name).grad), name


def test_second_derivatives():
    torch.manual_seed(0)
    layer = WinogradConv2d(64, 64, 3, padding=1)
    x = torch.randn(2, 64, 16, 16, requires_grad=True)

    def penalty(layer):
        out = layer(x.to(layer.weight.dtype)).square().sum()
        (grad,) = torch.autograd.grad(out, x, create_graph=True)
        return torch.autograd.grad(grad.square().sum(), layer.weight)[0]

    reference = plain(layer)
    assert torch.allclose(penalty(layer), penalty(reference), rtol=1e-3, atol=1.0)


@pytest.mark.parametrize(
    ('layer', 'dtype', 'autocast'),
    [
        (dict(kernel_size=1), torch.float32, False),
        (dict(kernel_size=3), torch.float32, False),
        (dict(kernel_size=3, padding=2, dilation=2), torch.float32, False),
        (dict(kernel_size=3, padding=1, stride=2), torch.float32, False),
        (dict(kernel_size=3, padding=1, groups=2), torch.float32, False),
        (dict(kernel_size=3, padding=1, padding_mode='reflect'), torch.float32, False),
        (dict(kernel_size=3, padding=1), torch.float64, False),
        (dict(kernel_size=3, padding=1), torch.float32, True),
    ],
)
def test_other_layers_use_torchs_convolution(layer, dtype, autocast):
    torch.manual_seed(0)
    own = WinogradConv2d(32, 32, **layer).to(dtype)
    reference = nn.Conv2d(32, 32, **layer).to(dtype)
    reference.load_state_dict(own.state_dict())
    x = torch.randn(2, 32, 9, 9, dtype=dtype)
    with torch.autocast('cpu', enabled=autocast):
        assert torch.equal(own(x), reference(x))


def test_wrong_number_of_channels_is_torchs_error():
    with pytest.raises(RuntimeError, match='channels'):
        WinogradConv2d(32, 32, 3, padding=1)(torch.randn(1, 16, 8, 8))


def test_traced_and_frozen():
    layer = WinogradConv2d(64, 64, 3, padding=1).requires_grad_(False)
    x = torch.randn(2, 64, 24, 24)
    assert close(torch.jit.trace(layer, x)(x), layer(x))
    moving = x.clone().requires_grad_()
    layer(moving).sum().backward()
    assert layer.weight.grad is None and moving.grad is not None


def test_vgg_trains_as_with_torchs_convolutions():
    """Net A's losses and gradients in 30 training steps are those of torch at the same weights.

    The weights are copied in each step, because any two float32 implementations diverge: where
    rounding changes the sign of an activation or the maximum of a window, gradients change. Such a
    step changes a parameter's gradients by 0.1 to 1 %, with torch's own float32 as well.
    """
    torch.manual_seed(0)
    reference = VGG('A', base_channels=32).double()
    own = accelerate(VGG('A', base_channels=32))
    optimizer = torch.optim.SGD(reference.parameters(), lr=0.01, momentum=0.9)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(8, 3, 64, 64, generator=generator)
    labels = torch.randint(10, (8,), generator=generator)

    def loss_and_gradients(net, x):
        scores = net(x)[0].mean((2, 3))[:, :10]
        loss = F.cross_entropy(scores, labels)
        net.zero_grad()
        loss.backward()
        return loss.item(), [parameter.grad for parameter in net.parameters()]

    losses, worst_errors = [], []
    for _ in range(30):
        own.load_state_dict(reference.state_dict())
        loss, gradients = loss_and_gradients(reference, images.double())
        found, own_gradients = loss_and_gradients(own, images)
        assert found == pytest.approx(loss, rel=2e-6)
        losses.append(loss)
        pairs = zip(own_gradients, gradients)
        assert all(g.any() for g in gradients)
        worst_errors.append(max(((f - g).norm() / g.norm()).item() for f, g in pairs))
        optimizer.step()
    assert losses[-1] < 0.9 * losses[0]
    assert statistics.median(worst_errors) < 2e-5
    assert max(worst_errors) < 0.05
