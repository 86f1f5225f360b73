"""The convolutional part of the VGG networks (paper, Section 2)."""

from collections.abc import Sequence
from typing import Optional, Union

import torch
import torch.nn as nn
from mmcv.cnn import build_activation_layer, build_conv_layer, build_norm_layer
from mmengine.utils.dl_utils.parrots_wrapper import _BatchNorm
from mmpretrain.models.backbones.base_backbone import BaseBackbone
from torch.utils.checkpoint import checkpoint

from vgg_mm.architectures import (
    ARCHITECTURES,
    BASE_CHANNELS,
    BLOCK_WIDTHS,
    NUM_BLOCKS,
    resolve_arch,
)
from vgg_mm.registry import MODELS

from ..conv_relu import conv_relu, fuses, is_autocast_to_bfloat16
from ..eager import is_recorded
from ..initialisers import InitCfg, resolve_init_cfg
from ..lrn import alexnet_lrn
from ..max_pool import LeanMaxPool2d
from ..winograd import WinogradConv2d
from .vgg_arguments import check_pools, check_sizes

#: With ``with_cp``, so many images of the paper's crop size are recomputed together in block 1,
#: and maps of as many numbers in the others.
RECOMPUTED, CROP_SIZE = 8, 224

#: torch's convolution, faster on CPUs; conv_cfg=dict(type='Conv2d') is torch's alone.
CONV_CFG = dict(type='vgg_mm.WinogradConv2d')


@MODELS.register_module()
class VGG(BaseBackbone):
    """The networks of Table 1, without their fully-connected layers.

    Input: (N, 3, H, W) float images, already normalised. Output: a tuple of feature maps in the
    order of ``out_indices``; the default is the last block's, (N, 8 * base_channels, H/32, W/32).

    Parameters are named as in the authors' release: ``conv1_1.weight`` ... ``conv5_4.bias``, and
    ``bn1_1`` ... for norms.

    Args:
        arch: 'A', 'A-LRN', 'B', 'B-5x5', 'C', 'D' or 'E', or a depth: 11, 13, 16, 19 mean A, B,
            D, E.
        depth: MMPretrain's name for the same choice; give one of the two.
        base_channels: Width of the first block (64 in the paper); the blocks are 1, 2, 4, 8 and 8
            times as wide.
        num_classes: As in MMPretrain's VGG: above 0, the classifier (:class:`ConvHead`) becomes
            part of the backbone and index 5 of ``out_indices`` is its score. Prefer a ConvHead as
            the model's head.
        num_stages: Number of blocks, 1 to 5.
        strides: Stride of each block's pooling, 1 or 2 (default). Where it is 1, later blocks need
            twice the dilation to see what they saw: DeepLab has strides=(2, 2, 2, 1, 1) and
            dilations=(1, 1, 1, 1, 2).
        dilations: Dilation of the convolutions of each block.
        pool_size: Side of the poolings' windows: 2 as in the paper, or 3, centred (padding 1), as
            in DeepLab; stride 1 needs 3.
        out_indices: Which outputs: a block number 0-4 is the block's output after pooling, a layer
            name such as 'conv4_3' that layer's output after its ReLU. Default: the last block, or
            the score if ``num_classes`` is above 0.
        frozen_stages: The first so many blocks are not trained; -1 or 0 freezes nothing.
        conv_cfg, norm_cfg, act_cfg: Layer types, as in mmcv. Without ``conv_cfg`` the convolutions
            are :class:`vgg_mm.models.winograd.WinogradConv2d`.
        norm_eval: Keep batch norms in eval mode while training.
        ceil_mode: Rounding of the poolings' output size.
        with_last_pool: Whether the last block is pooled.
        with_cp: Gradient checkpointing: recompute each block in the backward pass to save memory.
        init_cfg: One word ('normal_var', 'normal_std', 'glorot', 'kaiming') or mmengine's form.

    Raises:
        ValueError: on any argument that does not fit, with what would.
    """

    def __init__(
        self,
        arch: Union[str, int, None] = None,
        *,
        depth: Optional[int] = None,
        base_channels: int = BASE_CHANNELS,
        num_classes: int = -1,
        num_stages: int = NUM_BLOCKS,
        strides: Optional[Sequence[int]] = None,
        dilations: Sequence[int] = (1, 1, 1, 1, 1),
        pool_size: int = 2,
        out_indices: Optional[Sequence[Union[int, str]]] = None,
        frozen_stages: int = -1,
        conv_cfg: Optional[dict] = None,
        norm_cfg: Optional[dict] = None,
        act_cfg: dict = dict(type='ReLU'),
        norm_eval: bool = False,
        ceil_mode: bool = False,
        with_last_pool: bool = True,
        with_cp: bool = False,
        init_cfg: InitCfg = 'glorot',
    ):
        super().__init__(resolve_init_cfg('VGG', init_cfg))
        given = depth if arch is None else arch
        if given is None or (arch is not None and depth is not None):
            raise ValueError(f'VGG: give either arch or depth, got arch={arch}, depth={depth}')
        self.arch = resolve_arch(given)
        self.base_channels = base_channels
        self.strides = (2,) * num_stages if strides is None else tuple(strides)
        self.dilations = tuple(dilations)
        self.pool_size = pool_size
        halving = set(self.strides) == {2} and pool_size == 2
        self.plain_pools = with_last_pool and not ceil_mode and halving
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.with_cp = with_cp
        check_sizes(base_channels, num_stages, dilations, frozen_stages)
        check_pools(self.strides, num_stages, pool_size)

        self._blocks = self._build_blocks(
            num_stages, dilations, conv_cfg, norm_cfg, act_cfg, ceil_mode, with_last_pool
        )
        if num_classes > 0:
            width = base_channels * BLOCK_WIDTHS[num_stages - 1]
            head = dict(type='vgg_mm.ConvHead', num_classes=num_classes, in_channels=width)
            self.classifier = MODELS.build(head)
        if out_indices is None:
            out_indices = (num_stages if num_classes > 0 else num_stages - 1,)
        self.out_indices = tuple(out_indices)
        self._check_out_indices(num_stages, with_score=num_classes > 0)
        # Now, not only by train(): DistributedDataParallel waits for gradients of what it is given.
        self._freeze()

    def _build_blocks(
        self,
        num_stages: int,
        dilations: Sequence[int],
        conv_cfg: Optional[dict],
        norm_cfg: Optional[dict],
        act_cfg: dict,
        ceil_mode: bool,
        with_last_pool: bool,
    ) -> list[list[tuple[str, list[str]]]]:
        """Add the layers to self; return, for each block, its (layer, module names to run)."""
        kernels, lrn = ARCHITECTURES[self.arch]
        in_channels = 3
        blocks = []
        for block in range(num_stages):
            out_channels = self.base_channels * BLOCK_WIDTHS[block]
            layers = []
            for index, kernel in enumerate(kernels[block]):
                suffix = f'{block + 1}_{index + 1}'
                dilation = dilations[block]
                padding = dilation * (kernel - 1) // 2
                shape = dict(kernel_size=kernel, padding=padding, dilation=dilation)
                conv = build_conv_layer(conv_cfg or CONV_CFG, in_channels, out_channels, **shape)
                layers.append((f'conv{suffix}', self._add_layer(suffix, conv, norm_cfg, act_cfg)))
                if lrn and block == index == 0:
                    self.lrn1 = alexnet_lrn()
                    layers.append(('lrn1', ['lrn1']))
                in_channels = out_channels
            if block < num_stages - 1 or with_last_pool:
                name = f'pool{block + 1}'
                self.add_module(name, self._pool(block, ceil_mode))
                layers.append((name, [name]))
            blocks.append(layers)
        return blocks

    def _pool(self, block: int, ceil_mode: bool) -> nn.MaxPool2d:
        padding = (self.pool_size - 1) // 2
        return LeanMaxPool2d(self.pool_size, self.strides[block], padding, ceil_mode=ceil_mode)

    def _add_layer(
        self, suffix: str, conv: nn.Module, norm_cfg: Optional[dict], act_cfg: dict
    ) -> list[str]:
        """Add a convolution with its norm and activation; return their names in order."""
        modules = [(f'conv{suffix}', conv)]
        if norm_cfg is not None:
            modules.append(build_norm_layer(norm_cfg, conv.out_channels, postfix=suffix))
        modules.append((f'relu{suffix}', build_activation_layer(_saving_memory(act_cfg))))
        for name, module in modules:
            self.add_module(name, module)
        return [name for name, _ in modules]

    def _check_out_indices(self, num_stages: int, with_score: bool) -> None:
        indices = list(range(num_stages + with_score))
        unknown = [i for i in self.out_indices if i not in indices and i not in self.layer_names]
        if unknown or not self.out_indices:
            raise ValueError(
                f'VGG: out_indices={self.out_indices} is not possible for arch {self.arch}; '
                f'choose from {indices} and {", ".join(self.layer_names)}'
            )

    @property
    def layer_names(self) -> list[str]:
        """Names of the convolutional layers, first to last: 'conv1_1', ..."""
        return [name for block in self._blocks for name, _ in block if name.startswith('conv')]

    @property
    def reach(self) -> Optional[int]:
        """How many pixels a position of the last block's map sees on each side of its 32x32 cell.

        None if the net's last output is not a map of such cells: the image can then not be cut.
        """
        if self.out_indices[-1] != NUM_BLOCKS - 1 or not self.plain_pools:
            return None
        kernels = ARCHITECTURES[self.arch].kernels
        return sum(
            2**block * self.dilations[block] * (kernel - 1) // 2
            for block in range(NUM_BLOCKS)
            for kernel in kernels[block]
        )

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(N, 3, H, W) -> the feature maps that ``out_indices`` names, in its order."""
        if not self._is_faster_in_channels_last(x):
            return self._run_blocks(x)
        maps = self._run_blocks(x.contiguous(memory_format=torch.channels_last))
        # mmcv's operators (RoIAlign) read a map's memory as if it were in the default format.
        return tuple(one.contiguous() for one in maps)

    def _is_faster_in_channels_last(self, x: torch.Tensor) -> bool:
        if x.device.type == 'cuda':
            predicts = not (torch.is_grad_enabled() or is_recorded())
            return predicts or is_autocast_to_bfloat16(x)
        return isinstance(self.conv1_1, WinogradConv2d) and self.conv1_1.is_eager(x)

    def _run_blocks(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        outs: dict[Union[int, str], torch.Tensor] = {}
        for index, block in enumerate(self._blocks):
            if self.with_cp and torch.is_grad_enabled() and self.training:
                x, named = self._run_block_twice(index, x)
            else:
                x, named = self._run_block(block, x)
            outs.update(named)
            outs[index] = x
        if hasattr(self, 'classifier'):
            outs[len(self._blocks)] = self.classifier((x,))
        return tuple(outs[index] for index in self.out_indices)

    def _run_block_twice(
        self, index: int, x: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """A block of which only the input is kept; in the backward pass it runs again.

        Without batch norm in parts of the batch, so that little is held at once there, too.
        """
        size = len(x)
        if not any(isinstance(module, _BatchNorm) for module in self.modules()):
            cost = BLOCK_WIDTHS[index] * x.shape[-2] * x.shape[-1]
            size = max(1, RECOMPUTED * CROP_SIZE**2 // cost)
        parts = [
            checkpoint(self._run_block, self._blocks[index], part, use_reentrant=False)
            for part in x.split(max(1, size))
        ]
        maps, named = zip(*parts)
        together = {name: torch.cat([one[name] for one in named]) for name in named[0]}
        return torch.cat(maps), together

    def _run_block(
        self, block: list[tuple[str, list[str]]], x: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        named = {}
        for layer, names in block:
            steps = [getattr(self, name) for name in names]
            if len(steps) == 2 and fuses(steps[0], steps[1], x):
                x = conv_relu(x, steps[0])
            else:
                for step in steps:
                    x = step(x)
            if layer in self.out_indices:
                named[layer] = x
        return x, named

    def train(self, mode: bool = True) -> 'VGG':
        """Set the mode; frozen blocks (and norms under ``norm_eval``) stay in eval mode."""
        super().train(mode)
        self._freeze()
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def _freeze(self) -> None:
        for block in self._blocks[: max(self.frozen_stages, 0)]:
            for _, steps in block:
                for step in steps:
                    getattr(self, step).eval().requires_grad_(False)


def _saving_memory(act_cfg: dict) -> dict:
    return {'inplace': True, **act_cfg} if act_cfg['type'] == 'ReLU' else act_cfg
