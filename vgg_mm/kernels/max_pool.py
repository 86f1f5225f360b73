"""Max pooling that stores nothing but its input, which the layer before stores anyway."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.modules.utils import _pair

from .conditions import ScriptedAsPlain, can_accelerate

#: Of channels_last: below, single channels cost more than the numbers in them.
MIN_CHANNELS = 16

#: Numbers of a map that a thread takes at a time, so that what is computed stays in its cache.
PART = 1 << 20


def max_of_pairs(x: torch.Tensor) -> torch.Tensor:
    """Max pooling of 2x2 windows with stride 2: (N, C, H, W) -> (N, C, H // 2, W // 2)."""
    x = x[:, :, : x.shape[2] // 2 * 2, : x.shape[3] // 2 * 2]
    rows = torch.maximum(x[:, :, ::2], x[:, :, 1::2])
    return torch.maximum(rows[..., ::2], rows[..., 1::2])


def gradient_of_pairs(x: torch.Tensor, grad: torch.Tensor) -> torch.Tensor:
    """The gradient of :func:`max_of_pairs`, which goes to the first of equal maxima, as in torch.

    ``x`` is what was pooled, (N, C, H, W) in float32 or bfloat16, contiguous, of even height and
    width; ``grad`` that of the maxima, (N, C, H / 2, W / 2).
    """
    # Dimensions of size 1 may have any strides, odd ones too, which no view as pairs allows.
    x = x.view(-1).view(x.shape)
    out = torch.empty_like(x)
    images = max(1, PART * torch.get_num_threads() // x.shape[1:].numel())
    parts = [tensor.split(images) for tensor in (x, grad.contiguous(), out)]
    spread = _spread_halves if x.dtype == torch.bfloat16 else _spread
    for values, grads, target in zip(*parts):
        spread(values, grads, target.view(torch.int32))
    return out


def _spread(x: torch.Tensor, grad: torch.Tensor, out: torch.Tensor) -> None:
    """Write the gradient to ``out`` as int32: times 0 its bits are 0, where nan times 0 is nan."""
    left, right = x[..., ::2], x[..., 1::2]
    rows = _to_rows(left, right, grad.view(torch.int32))
    torch.mul(rows, left >= right, out=out[..., ::2])
    torch.sub(rows, out[..., ::2], out=out[..., 1::2])


def _spread_halves(x: torch.Tensor, grad: torch.Tensor, out: torch.Tensor) -> None:
    """The same of bfloat16, two neighbours in each 32-bit integer, which are as fast again."""
    pairs = x.view(torch.int32)
    left, right = (part.view(torch.float32) for part in (pairs << 16, pairs & ~0xFFFF))
    rows = _to_rows(left, right, grad.view(torch.int16).to(torch.int32) & 0xFFFF)
    lefts = rows * (left >= right)
    torch.bitwise_or(lefts, (rows - lefts) << 16, out=out)


def _to_rows(left: torch.Tensor, right: torch.Tensor, bits: torch.Tensor) -> torch.Tensor:
    """Gradients of 2x2 windows -> of the larger one of each row's two."""
    row_maxima = torch.maximum(left, right)
    rows = torch.empty(row_maxima.shape, dtype=torch.int32, device='cpu')
    upper, lower = rows[:, :, ::2], rows[:, :, 1::2]
    torch.mul(bits, row_maxima[:, :, ::2] >= row_maxima[:, :, 1::2], out=upper)
    torch.sub(bits, upper, out=lower)
    return rows


class _MaxPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, pool):
        ctx.save_for_backward(x)
        ctx.pool = pool
        return pool.without_indices(x)

    @staticmethod
    def backward(ctx, grad):
        (x,), pool = ctx.saved_tensors, ctx.pool
        # A second derivative is to come where gradients are recorded.
        first = not torch.is_grad_enabled() and can_accelerate(x, grad)
        if first and pool.halves() and _is_of_whole_pairs(x):
            return gradient_of_pairs(x, grad), None
        window = pool.kernel_size, pool.stride, pool.padding, pool.dilation
        _, indices = F.max_pool2d(x.detach(), *window, pool.ceil_mode, return_indices=True)
        input_grad = torch.ops.aten.max_pool2d_with_indices_backward(
            grad, x, *map(_pair, window), pool.ceil_mode, indices
        )
        return input_grad, None


class LeanMaxPool2d(ScriptedAsPlain, nn.MaxPool2d):
    """torch's MaxPool2d, but the places of the maxima are found again in the backward pass.

    torch keeps a 64-bit index for each output: for VGG's five poolings 12 MB an image of 224 x 224,
    an eighth of the memory of training. Finding them again takes about a hundredth of an iteration.
    Windows of 2x2 are computed as maxima of pairs, which takes less time. On GPUs, where finding
    the places takes a fourteenth of an iteration, it is torch's own pooling.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.return_indices or not can_accelerate(x) or x.device.type != 'cpu':
            return super().forward(x)
        if x.requires_grad and torch.is_grad_enabled():
            return _MaxPool.apply(x, self)
        return self.without_indices(x)

    def without_indices(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> its maxima, by the fastest of the ways."""
        if self.halves() and _has_fast_pairs(x):
            return max_of_pairs(x)
        return super().forward(x)

    def halves(self) -> bool:
        """Whether its windows are 2x2, each next to the other."""
        window = _pair(self.kernel_size), _pair(self.stride), _pair(self.padding)
        return window == ((2, 2), (2, 2), (0, 0)) and self.dilation == 1 and not self.ceil_mode


def _has_fast_pairs(x: torch.Tensor) -> bool:
    """Whether these are maps whose neighbours, or many channels, are contiguous in memory."""
    if x.dim() != 4 or min(x.shape[2:]) < 2 or not x.is_floating_point():
        return False
    last = x.is_contiguous(memory_format=torch.channels_last) and x.shape[1] >= MIN_CHANNELS
    return last or x.is_contiguous()


def _is_of_whole_pairs(x: torch.Tensor) -> bool:
    """Whether :func:`gradient_of_pairs` takes it."""
    is_map = x.dim() == 4 and x.is_contiguous()
    even = not any(size % 2 for size in (*x.shape[2:], x.storage_offset()))
    return is_map and even and x.dtype in (torch.float32, torch.bfloat16)
