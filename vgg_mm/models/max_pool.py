"""Max pooling that keeps nothing but its input, which the layer before keeps anyway."""

from typing import Union

import torch
import torch.nn as nn
import torch.nn.functional as F

from .eager import is_recorded

#: Below, single channels cost more than the numbers in them.
MIN_CHANNELS = 16


def max_of_pairs(x: torch.Tensor) -> torch.Tensor:
    """Max pooling of 2x2 windows with stride 2: (N, C, H, W) -> (N, C, H // 2, W // 2)."""
    x = x[:, :, : x.shape[2] // 2 * 2, : x.shape[3] // 2 * 2]
    rows = torch.maximum(x[:, :, ::2], x[:, :, 1::2])
    return torch.maximum(rows[..., ::2], rows[..., 1::2])


class _MaxPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, pool):
        ctx.save_for_backward(x)
        ctx.pool = pool
        return pool.without_indices(x)

    @staticmethod
    def backward(ctx, grad):
        (x,), pool = ctx.saved_tensors, ctx.pool
        window = pool.kernel_size, pool.stride, pool.padding, pool.dilation
        _, indices = F.max_pool2d(x.detach(), *window, pool.ceil_mode, return_indices=True)
        input_grad = torch.ops.aten.max_pool2d_with_indices_backward(
            grad, x, *map(_pair, window), pool.ceil_mode, indices
        )
        return input_grad, None


def _pair(size: Union[int, tuple[int, int]]) -> list[int]:
    return [size, size] if isinstance(size, int) else list(size)


class LeanMaxPool2d(nn.MaxPool2d):
    """torch's MaxPool2d, but finds again in the backward pass where the maxima were.

    torch keeps a 64-bit index for each output: for VGG's five poolings 12 MB an image of 224 x 224,
    an eighth of what training holds. To look for them again takes about a hundredth of an
    iteration. On the CPU in channels_last the maxima alone are found faster than with their places.
    On GPUs, where to look again takes a fourteenth of an iteration, and in tracing, exporting and
    compiling it is torch's own pooling.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.return_indices or x.device.type == 'cuda' or is_recorded():
            return super().forward(x)
        if x.requires_grad and torch.is_grad_enabled():
            return _MaxPool.apply(x, self)
        return self.without_indices(x)

    def without_indices(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> its maxima, in whatever way is fastest."""
        if self._halves() and _is_channels_last(x) and x.shape[1] >= MIN_CHANNELS:
            return max_of_pairs(x)
        return super().forward(x)

    def _halves(self) -> bool:
        window = _pair(self.kernel_size), _pair(self.stride), _pair(self.padding)
        return window == ([2, 2], [2, 2], [0, 0]) and self.dilation == 1 and not self.ceil_mode


def _is_channels_last(x: torch.Tensor) -> bool:
    """Whether it is a CPU's tensor that has all channels of a pixel side by side."""
    is_map = x.device.type == 'cpu' and x.dim() == 4 and min(x.shape[2:]) > 1
    return is_map and x.is_contiguous(memory_format=torch.channels_last)
