"""LeanMaxPool2d, compared with torch's MaxPool2d."""

import pytest
import torch
import torch.nn as nn
from hypothesis import given, settings
from hypothesis import strategies as st

from vgg_mm.kernels import accelerate
from vgg_mm.kernels.max_pool import LeanMaxPool2d, max_of_pairs
from vgg_mm.models import VGG


@settings(deadline=None)
@given(
    kernel=st.integers(1, 3),
    stride=st.integers(1, 3),
    padded=st.booleans(),
    ceil_mode=st.booleans(),
    shape=st.tuples(
        st.integers(1, 3), st.sampled_from([1, 3, 16, 18]), st.integers(3, 9), st.integers(3, 9)
    ),
    channels_last=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
)
def test_values_and_gradients_equal_torchs(
    kernel, stride, padded, ceil_mode, shape, channels_last, dtype
):
    torch.manual_seed(0)
    shape_of_window = dict(stride=stride, padding=padded * (kernel // 2), ceil_mode=ceil_mode)
    # Few different values, so that many windows have two equal maxima.
    x = torch.randint(4, shape).to(dtype)
    if channels_last:
        x = x.to(memory_format=torch.channels_last)
    found = []
    for kind in (nn.MaxPool2d, LeanMaxPool2d):
        leaf = x.clone().requires_grad_()
        out = kind(kernel, **shape_of_window)(leaf)
        weights = torch.arange(out.numel(), dtype=dtype).view_as(out)
        (grad,) = torch.autograd.grad((out * weights).sum(), leaf)
        found.append((out.detach(), grad))
        with torch.no_grad():
            assert torch.equal(kind(kernel, **shape_of_window)(x), out)
    for expected, actual in zip(*found):
        assert torch.equal(expected, actual)


@settings(deadline=None)
@given(height=st.integers(2, 9), width=st.integers(2, 9), nan=st.booleans())
def test_pairs_of_a_single_image(height, width, nan):
    x = torch.randn(1, 16, height, width).to(memory_format=torch.channels_last)
    if nan:
        x[0, 3, 1, 1] = torch.nan
    expected = nn.MaxPool2d(2)(x)
    assert torch.equal(max_of_pairs(x).nan_to_num(9), expected.nan_to_num(9))
    assert torch.equal(LeanMaxPool2d(2)(x).nan_to_num(9), expected.nan_to_num(9))


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_gradients_in_parts(dtype, monkeypatch):
    """Gradients that are not finite only affect their own positions."""
    monkeypatch.setattr('vgg_mm.kernels.max_pool.PART', 2 * 4 * 8 * 8 // torch.get_num_threads())
    x = torch.randint(-2, 2, (5, 4, 8, 8)).to(dtype).requires_grad_()
    weights = torch.randn(5, 4, 4, 4).to(dtype)
    weights[0, 0, 0] = torch.tensor([torch.inf, -torch.inf, torch.nan, -0.0])
    expected, actual = (
        torch.autograd.grad(pool(x), x, weights)[0] for pool in (nn.MaxPool2d(2), LeanMaxPool2d(2))
    )
    assert torch.equal(expected.nan_to_num(9), actual.nan_to_num(9))


def test_gradients_of_no_image():
    x = torch.randn(0, 2, 6, 6, requires_grad=True)
    (grad,) = torch.autograd.grad(LeanMaxPool2d(2)(x).sum(), x)
    assert grad.shape == x.shape


def test_gradients_of_a_part_of_a_tensor():
    """Pairs of 16-bit numbers that do not start at a multiple of 32 bits."""
    whole = torch.randn(1 + 2 * 6 * 6).bfloat16().requires_grad_()
    x = whole[1:].view(1, 2, 6, 6)
    weights = torch.randn(1, 2, 3, 3).bfloat16()
    expected, actual = (
        torch.autograd.grad(pool(x), whole, weights, retain_graph=True)[0]
        for pool in (nn.MaxPool2d(2), LeanMaxPool2d(2))
    )
    assert torch.equal(expected, actual)


def test_gradients_of_a_single_channel_with_odd_strides():
    """Contiguous in both memory formats: the stride of the only channel is 1."""
    x = torch.randn(1, 1, 4, 4).bfloat16().to(memory_format=torch.channels_last).requires_grad_()
    expected, actual = (
        torch.autograd.grad(pool(x).sum(), x)[0] for pool in (nn.MaxPool2d(2), LeanMaxPool2d(2))
    )
    assert torch.equal(expected, actual)


def saved_bytes(net, x):
    """Bytes of the tensors saved for the backward pass, counting each storage once; the outputs."""
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        outs = net(x)
    return sum(kept.values()), outs


def test_only_the_input_is_kept():
    layers = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(inplace=True), LeanMaxPool2d(2, 2))
    x = torch.randn(2, 3, 34, 34)
    plain = nn.Sequential(*layers[:2])
    assert saved_bytes(layers, x)[0] == saved_bytes(plain, x)[0]
    layers[2] = nn.MaxPool2d(2, 2)
    assert saved_bytes(layers, x)[0] == saved_bytes(plain, x)[0] + 8 * 2 * 8 * 16 * 16


def test_vgg_keeps_no_indices():
    net = accelerate(VGG('A', base_channels=16))
    kept, _ = saved_bytes(net, torch.randn(2, 3, 64, 64))
    for name, layer in list(net.named_children()):
        if isinstance(layer, nn.MaxPool2d):
            setattr(net, name, nn.MaxPool2d(2, 2))
    with_indices, _ = saved_bytes(net, torch.randn(2, 3, 64, 64))
    outputs = sum(w * (32 >> i) ** 2 for i, w in enumerate((16, 32, 64, 128, 128)))
    assert with_indices - kept == 8 * 2 * outputs


def test_second_derivatives():
    x = torch.randn(1, 2, 6, 6, dtype=torch.float64, requires_grad=True)
    pool = LeanMaxPool2d(2, 2)
    assert torch.autograd.gradcheck(pool, x)
    assert torch.autograd.gradgradcheck(pool, x)


@pytest.mark.filterwarnings('ignore::DeprecationWarning', 'ignore::FutureWarning')
def test_traced_and_exported_as_torchs_own():
    x = torch.randn(1, 2, 6, 6, requires_grad=True)
    traced = torch.jit.trace(LeanMaxPool2d(2), x)
    assert 'aten::max_pool2d' in str(traced.graph)
    exported = torch.export.export(LeanMaxPool2d(2), (x,))
    assert any('max_pool2d' in str(node.target) for node in exported.graph.nodes)


def test_indices_can_be_returned():
    x = torch.randn(1, 2, 6, 6, requires_grad=True)
    expected = nn.MaxPool2d(2, return_indices=True)(x)
    actual = LeanMaxPool2d(2, return_indices=True)(x)
    assert all(torch.equal(e, a) for e, a in zip(expected, actual))
