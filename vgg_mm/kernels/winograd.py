"""3x3 convolutions by minimal filtering (Winograd), for the CPU.

F(4x4, 3x3) of Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (CVPR 2016, arXiv
1509.09308): a tile of 4x4 outputs takes 36 products a channel pair instead of 144. With x the 36
inputs of a tile and w a 3x3 kernel, both as columns,

    y = A ((G w) * (B x)),    A, B, G: Kronecker squares of the 1-d transforms,

so that for all tiles the sum over channels is 36 matrix products, and each transform is one.

The interpolation points are 0, +-2/3, +-3/2 and infinity: in float32 they are 2.2 times more exact
than the usual 0, +-1, +-2, and within 1.5 times of a direct convolution's rounding.
"""

import math
import threading
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Optional

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

from vgg_mm.registry import MODELS

from .conditions import ScriptedAsPlain, can_accelerate

#: Outputs of a tile, along each side.
TILE = 4

KERNEL = 3

#: Inputs of a tile, along each side.
WINDOW = TILE + KERNEL - 1

POINTS = (Fraction(0), Fraction(2, 3), Fraction(-2, 3), Fraction(3, 2), Fraction(-3, 2))

#: Tiles that are transformed at a time: enough that the 36 matrix products run at the machine's
#: rate, few enough that the intermediate results stay in the cache.
TILES_AT_ONCE = 256

#: What transforming a tile costs for a channel, and a kernel for a channel pair, in products of a
#: direct convolution (measured with AVX2).
TILE_COST, KERNEL_COST = 6000, 2000

#: What a product costs in torch's gradient in the weight, which is slower than the convolution.
DIRECT_WEIGHT_GRAD = 2.0

#: Below, it never pays.
MIN_CHANNELS = 16

_THREAD = threading.local()


def toom_cook(
    points: Sequence[Fraction], outputs: int, kernel: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The 1-d transforms A (m, n), B (n, n), G (n, r), n = m + r - 1, in float64, such that
    y = A ((G w) * (B x)) is the correlation of x with w, m ``outputs`` of a ``kernel`` of length r.

    ``points`` are n - 1 different numbers; infinity is the last point always.
    """
    numbers = [float(point) for point in points]
    others = [[q for q in numbers if q != p] for p in numbers]

    def values(count: int) -> np.ndarray:
        """Of the powers 0 to count - 1 at the points; at infinity the last one counts."""
        return np.vstack([np.vander(numbers, count, increasing=True), np.eye(count)[-1]])

    lagrange = [math.prod(p - q for q in rest) for p, rest in zip(numbers, others)]
    polynomials = [*(np.append(0, np.poly(rest)) for rest in others), np.poly(numbers)]
    b = np.array(polynomials)[:, ::-1].copy()  # coefficients, constant first
    g = values(kernel) / np.array([*lagrange, 1])[:, None]
    return torch.from_numpy(values(outputs).T), torch.from_numpy(b), torch.from_numpy(g)


@lru_cache(maxsize=1)
@torch.inference_mode(False)  # they outlive the call
def _transforms() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A (16, 36), B (36, 36) and G (36, 9), in float32."""
    a, b, g = (torch.kron(m, m).float() for m in toom_cook(POINTS, TILE, KERNEL))
    return a, b, g


def conv3x3(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: Optional[torch.Tensor],
    memory_format: torch.memory_format = torch.channels_last,
) -> torch.Tensor:
    """Convolution with 3x3 kernels, stride 1, padding 1: (N, C, H, W) -> (N, K, H, W).

    On the CPU in float32; ``weight`` is (K, C, 3, 3), ``bias`` (K,) or None; best with x and the
    output's ``memory_format`` channels_last.
    """
    n, _, height, width = x.shape
    out_channels, in_channels = weight.shape[:2]
    columns = weight.permute(2, 3, 1, 0).reshape(KERNEL**2, -1)
    kernels = _scratch(WINDOW**2, in_channels, out_channels)
    torch.mm(_transforms()[2], columns, out=kernels.view(WINDOW**2, -1))
    shape = n, out_channels, height, width
    out = torch.empty(shape, dtype=x.dtype, device='cpu', memory_format=memory_format)
    for images in _groups(n, height, width):
        windows = _windows(x[images])
        for rows in _rows(height, width):
            inputs = windows[:, :, :, rows]
            products = torch.bmm(_transform_inputs(inputs), kernels)
            outputs = (_transforms()[0] @ products.view(WINDOW**2, -1)).view(
                TILE, TILE, *inputs.shape[2:5], out_channels
            )
            if bias is not None:
                outputs += bias
            _write_tiles(outputs, out.permute(0, 2, 3, 1)[images], rows.start * TILE)
    return out


def _write_tiles(tiles: torch.Tensor, out: torch.Tensor, top: int) -> None:
    """Tiles (4, 4, N, tiles down, tiles across, K) -> the rows of out (N, H, W, K) from top on."""
    n, down, across, channels = tiles.shape[2:]
    rows = out[:, top : top + down * TILE]
    height, width = rows.shape[1:3]
    ordered = tiles.permute(2, 3, 0, 4, 1, 5)
    if (height, width) == (down * TILE, across * TILE):
        rows.view(ordered.shape).copy_(ordered)
    else:
        rows.copy_(ordered.reshape(n, down * TILE, across * TILE, channels)[:, :height, :width])


def conv3x3_weight_grad(x: torch.Tensor, grad: torch.Tensor) -> torch.Tensor:
    """Gradient of :func:`conv3x3` in its weight, (K, C, 3, 3).

    Of its input x, (N, C, H, W), and the gradient in its output, (N, K, H, W).
    """
    a, _, g = _transforms()
    n, in_channels, height, width = x.shape
    out_channels = grad.shape[1]
    down, across = _tiles(height, width)
    border = (0, 0, 0, across * TILE - width, 0, down * TILE - height)
    kernels = _scratch(WINDOW**2, in_channels, out_channels).zero_()
    for images in _groups(n, height, width):
        windows = _windows(x[images])
        padded = F.pad(grad[images].permute(0, 2, 3, 1), border)
        tiles = padded.view(-1, down, TILE, across, TILE, out_channels).permute(2, 4, 0, 1, 3, 5)
        for rows in _rows(height, width):
            inputs = _transform_inputs(windows[:, :, :, rows])
            columns = tiles[:, :, :, rows].reshape(TILE**2, -1)
            grads = (a.t() @ columns).view(WINDOW**2, -1, out_channels)
            kernels.baddbmm_(inputs.transpose(1, 2), grads)
    weight = (g.t() @ kernels.view(WINDOW**2, -1)).view(KERNEL, KERNEL, in_channels, out_channels)
    return weight.permute(3, 2, 0, 1)


def _scratch(*shape: int) -> torch.Tensor:
    """Memory of this thread, uninitialised, that lasts until the next call.

    Kernels of 512 x 512 channels are larger than what malloc reuses: new memory, whose pages the
    system has to clear, took longer than all the rest on small maps.
    """
    size = math.prod(shape)
    held = getattr(_THREAD, 'scratch', None)
    if held is None or held.numel() < size:
        with torch.inference_mode(False):  # it outlives the pass
            held = torch.empty(size, dtype=torch.float32, device='cpu')
        _THREAD.scratch = held
    return held[:size].view(shape)


def _tiles(height: int, width: int) -> tuple[int, int]:
    """Numbers of tiles, down and across, that cover a map."""
    return -(-height // TILE), -(-width // TILE)


def _windows(x: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) -> its tiles' inputs, (6, 6, N, tiles down, tiles across, C): a view."""
    n, channels, height, width = x.shape
    down, across = _tiles(height, width)
    border = (0, 0, 1, across * TILE + 1 - width, 1, down * TILE + 1 - height)
    padded = F.pad(x.permute(0, 2, 3, 1), border)
    image, row, column, channel = padded.stride()
    return padded.as_strided(
        (WINDOW, WINDOW, n, down, across, channels),
        (row, column, image, row * TILE, column * TILE, channel),
    )


def _groups(n: int, height: int, width: int) -> Iterator[slice]:
    """Images that are padded, which is a copy, and transformed together."""
    size = max(1, TILES_AT_ONCE // math.prod(_tiles(height, width)))
    return (slice(i, i + size) for i in range(0, n, size))


def _rows(height: int, width: int) -> Iterator[slice]:
    """Rows of tiles that hold about TILES_AT_ONCE, of each image of a group together."""
    down, across = _tiles(height, width)
    size = max(1, TILES_AT_ONCE // across)
    return (slice(i, i + size) for i in range(0, down, size))


def _transform_inputs(windows: torch.Tensor) -> torch.Tensor:
    """(6, 6, ..., C) -> (36, tiles, C)."""
    columns = windows.reshape(WINDOW**2, -1)
    return (_transforms()[1] @ columns).view(WINDOW**2, -1, windows.shape[-1])


class _Conv3x3(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        if _pays(x, weight):
            return conv3x3(x, weight, bias, _format_of(x, weight))
        return F.conv2d(x, weight, bias, padding=1)

    @staticmethod
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        in_x, in_weight, in_bias = ctx.needs_input_grad
        input_grad = weight_grad = None
        # A second derivative is to come where gradients are recorded.
        first = not torch.is_grad_enabled() and can_accelerate(x, weight, grad)
        with torch.autocast('cpu', enabled=False):  # the loss may be in its region
            if in_x and first and _pays(grad, weight):
                kernels = weight.flip(2, 3).transpose(0, 1)
                input_grad = conv3x3(grad, kernels, None, _format_of(x, weight))
            elif in_x:
                input_grad = torch.nn.grad.conv2d_input(x.shape, weight, grad, padding=1)
            if in_weight and first and _pays(x, weight, DIRECT_WEIGHT_GRAD):
                weight_grad = conv3x3_weight_grad(x, grad)
            elif in_weight:
                weight_grad = torch.nn.grad.conv2d_weight(x, weight.shape, grad, padding=1)
            return input_grad, weight_grad, grad.sum((0, 2, 3)) if in_bias else None


def _pays(x: torch.Tensor, weight: torch.Tensor, direct: float = 1.0) -> bool:
    """Whether minimal filtering is less work, if the direct way costs ``direct`` a product."""
    n, _, height, width = x.shape
    out_channels, in_channels = weight.shape[:2]
    tiles = n * math.prod(_tiles(height, width))
    transforms = TILE_COST * (in_channels + out_channels) / (in_channels * out_channels)
    cost = tiles * (WINDOW**2 + transforms) + KERNEL_COST
    return cost < direct * KERNEL**2 * n * height * width


def _format_of(x: torch.Tensor, weight: torch.Tensor) -> torch.memory_format:
    """The output's, by torch's rule: channels_last if either is so."""
    last = torch.channels_last
    either = any(t.is_contiguous(memory_format=last) and not t.is_contiguous() for t in (x, weight))
    return last if either else torch.contiguous_format


@MODELS.register_module()
class WinogradConv2d(ScriptedAsPlain, nn.Conv2d):
    """torch's Conv2d; on the CPU in float32, a 3x3 kernel's by minimal filtering where it pays.

    Everything else (other kernels, strides, paddings, dilations; GPUs; autocast; narrow layers;
    few and small maps; what :func:`~vgg_mm.kernels.conditions.can_accelerate` excludes) is torch's
    own convolution.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight, bias = self.weight, self.bias
        if self.suits(self) and _can_filter(x, weight, bias) and x.shape[1] == self.in_channels:
            return _Conv3x3.apply(x, weight, bias)
        return self._conv_forward(x, weight, bias)

    @staticmethod
    def suits(conv: nn.Conv2d) -> bool:
        """Whether it is a convolution of the kind that can be filtered minimally."""
        return is_plain_3x3(conv) and conv.in_channels >= MIN_CHANNELS


def is_plain_3x3(conv: nn.Conv2d) -> bool:
    """Whether it is a convolution of the kind that VGG has."""
    return (
        conv.kernel_size == (KERNEL, KERNEL)
        and conv.stride == conv.padding == conv.dilation == (1, 1)
        and conv.groups == 1
        and conv.padding_mode == 'zeros'
    )


def _can_filter(x: torch.Tensor, weight: torch.Tensor, bias: Optional[torch.Tensor]) -> bool:
    """Whether a layer with these weights filters x, (N, in_channels, H, W), minimally."""
    tensors = [x, weight] if bias is None else [x, weight, bias]
    if not can_accelerate(*tensors) or torch.is_autocast_enabled('cpu') or x.dim() != 4:
        return False
    return all(t.device.type == 'cpu' and t.dtype == torch.float32 for t in tensors)
