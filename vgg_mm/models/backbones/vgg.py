"""The convolutional part of the VGG networks (paper, Section 2)."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Optional, Union

import torch
import torch.nn as nn
from mmcv.cnn import build_activation_layer, build_conv_layer, build_norm_layer
from mmengine.utils.dl_utils.parrots_wrapper import _BatchNorm
from mmpretrain.models.backbones.base_backbone import BaseBackbone
from torch.nn.modules.batchnorm import _NormBase
from torch.utils.checkpoint import checkpoint

from vgg_mm.architectures import (
    BASE_CHANNELS,
    BLOCK_WIDTHS,
    NUM_BLOCKS,
    Arch,
    architecture_of,
    resolve_arch,
)
from vgg_mm.registry import MODELS
from vgg_mm.text import check_positive

from ..foreign_weights import ForeignClassifierWeights
from ..initialisers import InitCfg, resolve_init_cfg

#: With ``with_cp``, blocks are recomputed in parts of the batch: of this many images of the paper's
#: crop size in block 1, and of as many values as its maps have in the other blocks.
RECOMPUTED, CROP_SIZE = 8, 224

#: AlexNet's n=5, alpha=1e-4, beta=0.75, k=2. It multiplies the sum of squares by alpha, torch their
#: mean: hence alpha * n.
ALEXNET_LRN: dict[str, Any] = dict(size=5, alpha=5e-4, beta=0.75, k=2.0)

Maps = dict[str, torch.Tensor]


@MODELS.register_module()
class VGG(ForeignClassifierWeights, BaseBackbone):
    """The networks of Table 1, without their fully-connected layers.

    Input: (N, in_channels, H, W) float images, already normalised. Output: a tuple of feature maps
    in the order of ``out_indices``; the default is the last block's, (N, 8 * base_channels, H/32,
    W/32).

    Parameters are named as in the authors' release: ``conv1_1.weight`` ... ``conv5_4.bias``, and
    ``bn1_1`` ... for norms. All layers are torch's; :func:`vgg_mm.kernels.accelerate` replaces them
    by faster ones.

    Args:
        arch: 'A', 'A-LRN', 'B', 'B-5x5', 'C', 'D' or 'E'; a depth: 11, 13, 16, 19 mean A, B, D, E;
            or a net of your own by its kernel sizes, ``dict(kernels=((3, 3), (3, 3), (5,)))``,
            with ``lrn=True`` as A-LRN has it.
        depth: MMPretrain's name for the same choice; give one of the two.
        in_channels: Channels of the images: 3, or 1 for grey ones.
        base_channels: Width of the first block (64 in the paper); the blocks are 1, 2, 4, 8 and 8
            times as wide.
        num_classes: As in MMPretrain's VGG: above 0, the classifier (:class:`ConvHead`) becomes
            part of the backbone and index 5 of ``out_indices`` is its score. Prefer a ConvHead as
            the model's head.
        num_stages: Number of blocks, 1 to 5; by default all that the net has.
        strides: Stride of each block's pooling, 1 or 2 (default). Where it is 1, later blocks need
            twice the dilation to keep their receptive fields: DeepLab has strides=(2, 2, 2, 1, 1)
            and dilations=(1, 1, 1, 1, 2).
        dilations: Dilation of the convolutions of each block; 1 by default.
        pool_size: Side of the poolings' windows: 2 as in the paper, or 3, centred (padding 1), as
            in DeepLab; stride 1 needs 3.
        out_indices: Which outputs: a block number 0-4 is the block's output after pooling, a layer
            name such as 'conv4_3' that layer's output after its ReLU. Default: the last block, or
            the score if ``num_classes`` is above 0.
        frozen_stages: Number of first blocks that are not trained; -1 or 0 freezes nothing.
        conv_cfg, norm_cfg, act_cfg: Layer types, as in mmcv; ``act_cfg=None``: no activation.
        norm_eval: Keep batch norms in eval mode while training.
        ceil_mode: Rounding of the poolings' output size.
        with_last_pool: Whether the last block is pooled.
        with_cp: Gradient checkpointing: recompute each block in the backward pass to save memory.
        init_cfg: One word ('normal_var', 'normal_std', 'glorot', 'kaiming') or mmengine's form.

    Attributes:
        first_block: How many blocks :meth:`forward` leaves out: it then expects the map after them
            (:meth:`frozen_map`) instead of images. 0, except in steps of CachedMapsTrainLoop.

    Raises:
        ValueError: if an argument is invalid.
    """

    first_block = 0

    def __init__(
        self,
        arch: Optional[Arch] = None,
        *,
        depth: Optional[int] = None,
        in_channels: int = 3,
        base_channels: int = BASE_CHANNELS,
        num_classes: int = -1,
        num_stages: Optional[int] = None,
        strides: Optional[Sequence[int]] = None,
        dilations: Optional[Sequence[int]] = None,
        pool_size: int = 2,
        out_indices: Union[int, str, Sequence[Union[int, str]], None] = None,
        frozen_stages: int = -1,
        conv_cfg: Optional[dict] = None,
        norm_cfg: Optional[dict] = None,
        act_cfg: Optional[dict] = dict(type='ReLU'),
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
        self.architecture = architecture_of(given)
        blocks = len(self.architecture.kernels)
        num_stages = blocks if num_stages is None else num_stages
        self.base_channels = base_channels
        self.strides = (2,) * num_stages if strides is None else tuple(strides)
        self.dilations = (1,) * num_stages if dilations is None else tuple(dilations)
        self.pool_size = pool_size
        halving = set(self.strides) == {2} and pool_size == 2
        self.plain_pools = with_last_pool and not ceil_mode and halving
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.with_cp = with_cp
        check_positive('VGG', in_channels=in_channels, base_channels=base_channels)
        self._check_form(num_stages, blocks)

        #: Names of each block's layers, in order.
        self._blocks: list[list[str]] = []
        self._norms: list[str] = []
        #: Output ('conv4_3', or a number of ``out_indices``) -> name of the layer that gives it.
        self._sources: dict[Union[int, str], str] = {}
        for block in range(num_stages):
            self._blocks.append([])
            width = base_channels * BLOCK_WIDTHS[block]
            self._add_convolutions(block, in_channels, width, conv_cfg, norm_cfg, act_cfg)
            if block < num_stages - 1 or with_last_pool:
                self._add(f'pool{block + 1}', self._pool(block, ceil_mode))
            self._sources[block] = self._blocks[block][-1]
            in_channels = width
        if num_classes > 0:
            head = dict(type='vgg_mm.ConvHead', num_classes=num_classes, in_channels=in_channels)
            self.classifier = MODELS.build(head)
            self._sources[num_stages] = 'classifier'
        if out_indices is None:
            out_indices = (num_stages if num_classes > 0 else num_stages - 1,)
        if isinstance(out_indices, (int, str)):
            out_indices = (out_indices,)
        self.out_indices = tuple(out_indices)
        self._check_out_indices()
        # Now, not only by train(): DistributedDataParallel waits for gradients of what it is given.
        self._freeze()

    def _check_form(self, num_stages: int, blocks: int) -> None:
        strides, dilations = self.strides, self.dilations
        if not 1 <= num_stages <= blocks:
            raise ValueError(f'VGG: num_stages must be 1 to {blocks}, got {num_stages}')
        if len(dilations) != num_stages or any(d < 1 for d in dilations):
            raise ValueError(
                f'VGG: dilations must contain {num_stages} positive integers (one a block), '
                f'got {dilations}'
            )
        if not -1 <= self.frozen_stages <= num_stages:
            raise ValueError(
                f'VGG: frozen_stages must be -1 to {num_stages}, got {self.frozen_stages}'
            )
        if len(strides) != num_stages or not set(strides) <= {1, 2}:
            raise ValueError(
                f'VGG: strides must contain {num_stages} numbers (one a block), each 1 or 2, '
                f'got {strides}'
            )
        if self.pool_size not in (2, 3):
            raise ValueError(f'VGG: pool_size must be 2 or 3, got {self.pool_size!r}')
        if 1 in strides and self.pool_size == 2:
            raise ValueError(
                f'VGG: strides={strides} need pool_size=3: a window of 2x2 with stride 1 moves the '
                'map by half a position'
            )

    def _add(self, name: str, layer: nn.Module) -> None:
        """Add a layer to the last block."""
        self.add_module(name, layer)
        self._blocks[-1].append(name)

    def _add_convolutions(
        self,
        block: int,
        in_channels: int,
        width: int,
        conv_cfg: Optional[dict],
        norm_cfg: Optional[dict],
        act_cfg: Optional[dict],
    ) -> None:
        """Add the convolutions of a block, each with its norm and activation."""
        dilation = self.dilations[block]
        for index, kernel in enumerate(self.architecture.kernels[block]):
            suffix = f'{block + 1}_{index + 1}'
            shape = dict(kernel_size=kernel, padding=dilation * (kernel // 2), dilation=dilation)
            conv = build_conv_layer(conv_cfg, in_channels, width, **shape)
            self._add(f'conv{suffix}', conv)
            if norm_cfg is not None:
                name, norm = build_norm_layer(norm_cfg, width, postfix=suffix)
                self._add(name, norm)
                self._norms.append(name)
            relu = nn.Identity() if act_cfg is None else build_activation_layer(act_cfg)
            self._add(f'relu{suffix}', relu)
            self._sources[f'conv{suffix}'] = f'relu{suffix}'
            if self.architecture.lrn and block == index == 0:
                self._add('lrn1', nn.LocalResponseNorm(**ALEXNET_LRN))
            in_channels = width

    def _pool(self, block: int, ceil_mode: bool) -> nn.MaxPool2d:
        padding = (self.pool_size - 1) // 2
        return nn.MaxPool2d(self.pool_size, self.strides[block], padding, ceil_mode=ceil_mode)

    def _check_out_indices(self) -> None:
        if not self.out_indices or any(i not in self._sources for i in self.out_indices):
            indices = [i for i in self._sources if isinstance(i, int)]
            raise ValueError(
                f'VGG: out_indices={self.out_indices} is not possible for arch {self.arch}; '
                f'choose from {indices} and {", ".join(self.layer_names)}'
            )

    @property
    def layer_names(self) -> list[str]:
        """Names of the convolutional layers, first to last: 'conv1_1', ..."""
        return [name for name in self._sources if isinstance(name, str)]

    @property
    def has_cells(self) -> bool:
        """Whether each position of the net's last output is a cell of 32x32 pixels."""
        return self._sources[self.out_indices[-1]] == f'pool{NUM_BLOCKS}' and self.plain_pools

    @property
    def reach(self) -> Optional[int]:
        """How many pixels a position of the last block's map sees on each side of its 32x32 cell.

        None if there are no such cells, or a position sees the whole image through norms that take
        their statistics from it (GN, IN): the image can then not be cut.
        """
        if not self.has_cells or not all(_is_local(getattr(self, name)) for name in self._norms):
            return None
        return sum(
            2**block * self.dilations[block] * (kernel // 2)
            for block in range(NUM_BLOCKS)
            for kernel in self.architecture.kernels[block]
        )

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(N, in_channels, H, W) -> the feature maps that ``out_indices`` names, in its order."""
        first = self.first_block
        maps: Maps = {self._blocks[first - 1][-1]: x} if first else {}
        for block in range(first, len(self._blocks)):
            run = self._run_recomputing if self._recomputes(x) else self._run
            x, found = run(block, x)
            maps.update(found)
        if hasattr(self, 'classifier'):
            maps['classifier'] = self.classifier((x,))
        return tuple(maps[self._sources[index]] for index in self.out_indices)

    def frozen_map(self, images: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) -> the map after the ``frozen_stages`` first blocks."""
        for block in range(max(self.frozen_stages, 0)):
            images, _ = self._run(block, images)
        return images

    def gives_all_from(self, block: int) -> bool:
        """Whether every output of ``out_indices`` is that of this block (0-4) or of a later one."""
        later = {self._blocks[block][-1], 'classifier'}.union(*self._blocks[block + 1 :])
        return all(self._sources[index] in later for index in self.out_indices)

    def _run(self, block: int, x: torch.Tensor) -> tuple[torch.Tensor, Maps]:
        """x through the layers of a block -> its output, and those of the layers asked for."""
        asked_for = {self._sources[index] for index in self.out_indices}
        maps = {}
        for name in self._blocks[block]:
            x = getattr(self, name)(x)
            if name in asked_for:
                maps[name] = x
        return x, maps

    def _recomputes(self, x: torch.Tensor) -> bool:
        # What torch.fx records with is no tensor.
        real = isinstance(x, torch.Tensor)
        return self.with_cp and self.training and torch.is_grad_enabled() and real

    def _run_recomputing(self, block: int, x: torch.Tensor) -> tuple[torch.Tensor, Maps]:
        """A block of which only the input is stored; in the backward pass it runs again.

        In parts of the batch, so that little is held at once there, too, unless a norm needs all
        of it.
        """
        size = len(x)
        contexts: dict[str, Any] = {}
        if any(map(_uses_batch, self.modules())):
            if not torch.compiler.is_compiling():  # which accepts only contexts of its own
                contexts['context_fn'] = self._recomputing_contexts
        else:
            cost = BLOCK_WIDTHS[block] * x.shape[-2] * x.shape[-1]
            size = max(1, RECOMPUTED * CROP_SIZE**2 // cost)
        parts = [
            checkpoint(self._run, block, part, use_reentrant=False, **contexts)
            for part in x.split(max(1, size))
        ]
        outputs, maps = zip(*parts)
        together = {name: torch.cat([one[name] for one in maps]) for name in maps[0]}
        return torch.cat(outputs), together

    def _recomputing_contexts(self) -> tuple[AbstractContextManager, AbstractContextManager]:
        """What a block runs in at first, and again in the backward pass."""
        return nullcontext(), self._without_new_averages()

    @contextmanager
    def _without_new_averages(self) -> Iterator[None]:
        """Norms leave their running averages alone: they have seen the batch before."""
        norms = [m for m in self.modules() if _uses_batch(m)]
        counts = [m.num_batches_tracked for m in norms if m.num_batches_tracked is not None]
        kept = [norm.momentum for norm in norms], [count.clone() for count in counts]
        for norm in norms:
            norm.momentum = 0.0
        try:
            yield
        finally:
            for norm, momentum in zip(norms, kept[0]):
                norm.momentum = momentum
            for count, before in zip(counts, kept[1]):
                count.copy_(before)

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
            for name in block:
                getattr(self, name).eval().requires_grad_(False)


def _has_averages(norm: nn.Module) -> bool:
    return isinstance(norm, _NormBase) and norm.running_mean is not None


def _uses_batch(module: nn.Module) -> bool:
    """Whether it is a norm that uses the whole batch: batch norm, or one with running averages."""
    return isinstance(module, _BatchNorm) or _has_averages(module)


def _is_local(norm: nn.Module) -> bool:
    """Whether a norm treats each position by itself, as batch norm with its running averages.

    So does nothing at all, which ``fuse_conv_bn`` leaves in the place of a norm.
    """
    return isinstance(norm, nn.Identity) or _has_averages(norm) and not norm.training
