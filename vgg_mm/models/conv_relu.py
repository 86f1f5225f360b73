"""A convolution with its ReLU, on GPUs in bfloat16.

torch adds the bias and takes the ReLU each in a pass of its own over the map, and VGG's early maps
are so large for what is computed of them that such passes take as long as the convolutions. cuDNN
does all three in one.
"""

from typing import Any, Optional

import torch
import torch.nn as nn
from torch.autograd.function import once_differentiable

from .eager import is_recorded
from .winograd import KERNEL, WinogradConv2d

ONE = (1, 1)


def fuses(conv: nn.Module, activation: nn.Module, x: torch.Tensor) -> bool:
    """Whether :func:`conv_relu` does what the two layers do with x, (N, C, H, W), and faster.

    Layers with hooks run by themselves, so that the hooks see what is between them.
    """
    return (
        is_autocast_to_bfloat16(x)
        and type(conv) in (nn.Conv2d, WinogradConv2d)
        and type(activation) is nn.ReLU
        and conv.kernel_size == (KERNEL, KERNEL)
        and conv.stride == conv.padding == conv.dilation == ONE
        and conv.groups == 1
        and conv.padding_mode == 'zeros'
        and conv.bias is not None
        and not (_has_hooks(conv) or _has_hooks(activation))
    )


def is_autocast_to_bfloat16(x: torch.Tensor) -> bool:
    """Whether x is on a GPU and what is computed of it is to be in bfloat16."""
    return (
        x.device.type == 'cuda'
        and torch.is_autocast_enabled('cuda')
        and torch.get_autocast_dtype('cuda') == torch.bfloat16
        and not is_recorded()
    )


def _has_hooks(module: nn.Module) -> bool:
    hooks = ('_forward_hooks', '_forward_pre_hooks', '_backward_hooks', '_backward_pre_hooks')
    return any(getattr(module, name) for name in hooks)


def conv_relu(x: torch.Tensor, conv: nn.Conv2d) -> torch.Tensor:
    """(N, C, H, W) -> ReLU of a 3x3 convolution, (N, K, H, W) in bfloat16 and channels_last."""
    return _ConvReLU.apply(x, conv.weight, conv.bias)


class _ConvReLU(torch.autograd.Function):
    @staticmethod
    @torch.amp.custom_fwd(device_type='cuda', cast_inputs=torch.bfloat16)
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor
    ) -> torch.Tensor:
        x, weight = (t.contiguous(memory_format=torch.channels_last) for t in (x, weight))
        out = torch.cudnn_convolution_relu(x, weight, bias, ONE, ONE, ONE, 1)
        ctx.save_for_backward(x, weight, out)
        return out

    @staticmethod
    @once_differentiable
    @torch.amp.custom_bwd(device_type='cuda')
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Optional[torch.Tensor], ...]:
        x, weight, out = ctx.saved_tensors
        grad = torch.ops.aten.threshold_backward(grad, out, 0)
        return torch.ops.aten.convolution_backward(
            grad, x, weight, [len(weight)], ONE, ONE, ONE, False, (0, 0), 1, ctx.needs_input_grad
        )
