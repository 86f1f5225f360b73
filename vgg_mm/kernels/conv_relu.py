"""A convolution with its ReLU: in one pass over the map, or at least in place.

torch computes the ReLU in a pass of its own, which takes time on VGG's large early maps. On GPUs in
bfloat16 cuDNN adds bias and ReLU as it convolves. Elsewhere the ReLU overwrites its input.
"""

from typing import Any, Optional

import torch
import torch.nn as nn

from .conditions import can_accelerate, has_hooks
from .winograd import WinogradConv2d, is_plain_3x3

ONE = (1, 1)

#: What cuDNN's function computes in.
NARROW = torch.bfloat16

CONVOLUTIONS = (nn.Conv2d, WinogradConv2d)

#: Layers whose output is new memory that nothing else needs, not even their own gradient.
GIVES_NEW_MEMORY = (*CONVOLUTIONS, nn.BatchNorm2d, nn.SyncBatchNorm)


def can_fuse(layer: nn.Module, activation: nn.Module, x: torch.Tensor) -> bool:
    """Whether :func:`run_with_relu` does what the two layers do with x, (N, C, H, W).

    Layers with hooks run by themselves, so that hooks get the map between them.
    """
    return (
        can_accelerate(x)
        and type(activation) is nn.ReLU
        and type(layer) in GIVES_NEW_MEMORY
        and not (has_hooks(layer) or has_hooks(activation))
    )


def run_with_relu(layer: Any, x: torch.Tensor) -> torch.Tensor:
    """ReLU of the layer's output."""
    for_cudnn = type(layer) in CONVOLUTIONS and is_plain_3x3(layer) and layer.bias is not None
    if for_cudnn and is_autocast_to_bfloat16(x) and can_accelerate(layer.weight, layer.bias):
        return conv_relu(x, layer)
    return torch.relu_(layer(x))


def is_autocast_to_bfloat16(x: torch.Tensor) -> bool:
    """Whether x is on a GPU and what is computed of it is to be in bfloat16."""
    return (
        can_accelerate(x)
        and x.device.type == 'cuda'
        and torch.is_autocast_enabled('cuda')
        and torch.get_autocast_dtype('cuda') == torch.bfloat16
    )


def conv_relu(x: torch.Tensor, conv: nn.Conv2d) -> torch.Tensor:
    """(N, C, H, W) -> ReLU of a 3x3 convolution, (N, K, H, W) in bfloat16 and channels_last."""
    return _ConvReLU.apply(x, conv.weight, conv.bias)


def _narrow(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to(NARROW).contiguous(memory_format=torch.channels_last)


class _ConvReLU(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor
    ) -> torch.Tensor:
        # cuDNN's function is called directly here, which autocast ignores.
        args = _narrow(x), _narrow(weight), bias.to(NARROW), ONE, ONE, ONE, 1
        out = torch.cudnn_convolution_relu(*args)
        # The input, for second derivatives; x is mostly in bfloat16 already.
        ctx.save_for_backward(x, weight, out)
        return out

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Optional[torch.Tensor], ...]:
        x, weight, out = ctx.saved_tensors
        grad = torch.ops.aten.threshold_backward(grad, out, 0)
        sizes = [len(weight)], ONE, ONE, ONE, False, (0, 0), 1, ctx.needs_input_grad
        return torch.ops.aten.convolution_backward(grad, _narrow(x), _narrow(weight), *sizes)
