"""Local response normalisation, compared with torch's own."""

import pytest
import torch
import torch.nn as nn
from hypothesis import given, settings
from hypothesis import strategies as st

from vgg_mm.kernels import BandLocalResponseNorm


def both(layer, x, grad):
    """Output and gradient."""
    x = x.detach().requires_grad_()
    y = layer(x)
    y.backward(grad)
    return y, x.grad


@settings(deadline=None, max_examples=30)
@given(
    size=st.integers(1, 7), channels=st.integers(1, 12), beta=st.sampled_from([0.75, 0.5, 1.3]),
    alpha=st.floats(1e-4, 1), k=st.floats(0.5, 3), last=st.booleans(),
)  # fmt: skip
def test_it_equals_torchs(size, channels, beta, alpha, k, last):
    torch.manual_seed(0)
    x, grad = torch.randn(2, 2, channels, 3, 5, dtype=torch.float64)
    if last:
        x = x.to(memory_format=torch.channels_last)
    own, torchs = (
        both(kind(size, alpha, beta, k), x, grad)
        for kind in (BandLocalResponseNorm, nn.LocalResponseNorm)
    )
    torch.testing.assert_close(own, torchs)


def test_its_gradient_equals_finite_differences():
    x = (10 * torch.randn(1, 7, 2, 3, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(BandLocalResponseNorm(5, 0.1, 0.75, 2.0), x)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_is_summed_in_float32(dtype):
    """torch's own layer does not support half precision on CPUs."""
    x = (100 * torch.randn(1, 8, 3, 3)).to(dtype)
    y = BandLocalResponseNorm(5, 5e-4, 0.75, 2.0)(x)
    assert y.dtype == dtype
    exact = nn.LocalResponseNorm(5, 5e-4, 0.75, 2.0)(x.float())
    torch.testing.assert_close(y, exact.to(dtype))


def test_autocast_does_not_change_it():
    x, grad = 100 * torch.randn(2, 1, 8, 4, 4)
    layer = BandLocalResponseNorm(5, 5e-4, 0.75, 2.0)
    exact = both(layer, x, grad)
    with torch.autocast('cpu', torch.bfloat16):
        torch.testing.assert_close(both(layer, x, grad), exact, rtol=0, atol=0)


def test_exporting_sees_torchs_layer():
    layer = BandLocalResponseNorm(5, 5e-4, 0.75, 2.0)
    graph = torch.export.export(layer, (torch.randn(1, 8, 4, 4),)).graph
    assert any('avg_pool3d' in str(node.target) for node in graph.nodes)
