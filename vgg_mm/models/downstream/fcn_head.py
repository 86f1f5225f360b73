"""Fully convolutional networks (Long, Shelhamer & Darrell, CVPR 2015, arXiv 1411.4038)."""

from collections.abc import Sequence
from typing import Any, Optional, Union

import torch
import torch.nn as nn
import torch.nn.functional as F

from vgg_mm.architectures import STRIDE
from vgg_mm.registry import MODELS

from ..folded_linear import FoldedLinear
from .dense_head import DenseHead
from .score_maps import BilinearUpsampling, upsample_cells

#: Which upsamplings are learned.
LEARNED = ('none', 'skips', 'all')


@MODELS.register_module()
class FCNHead(DenseHead):
    """The head of FCN-32s, FCN-16s and FCN-8s.

    A classifier's fc6 and fc7 as convolutions over pool5 and a score layer, ``conv_seg``. FCN-16s
    and -8s add scores of pool4, and of pool3, after upsampling by 2; the sum is upsampled to the
    pixels. The number of maps in ``in_channels`` decides: 512 is FCN-32s, (512, 512) FCN-16s,
    (256, 512, 512) FCN-8s.

    Register: with poolings of 2x2, position i of a map of stride s is the cell of pixels s * i to
    s * i + s - 1. The maps are padded by fc6's kernel // 2 and upsampled from the cells' centres,
    so that scores belong where they are, for images of any size, which may be smaller than fc6's
    window of 224; with ``ceil_mode=True`` in the backbone the outermost, incomplete cells have
    scores of their own. The authors' nets come to the same register in another way: they pad the
    image by 100 pixels and fc6 not at all, so that a position of the scores is centred on pixel
    32 * i + 12.5, and cut the upsampled map, where it is on 32 * i + 31.5, at an offset of 19.
    Their score positions thus lie 3 pixels beside these (15.5), and the borders see biases of
    the padded image where these see zeros.

    Score layers start at zero, learned upsamplings as bilinear ones (Section 4);
    ``vgg_mm.ClassifierInitHook`` initialises fc6 and fc7 from a classifier.

    Input: the backbone's maps, (N, C, h, w) each. Output of ``forward``: (N, num_classes,
    32 * h, 32 * w) of pool5's h and w in FCN-32s, 16 * h and 16 * w of pool4's in FCN-16s, 8 * h
    and 8 * w of pool3's in FCN-8s; ``loss`` and ``predict`` cut it to the image.

    Args:
        num_classes: Number of classes, the background included.
        in_channels: Channels of the backbone's maps from fine to coarse, the last pool5's.
        kernel_size: Side of fc6's kernel; odd. The classifier's: 7 for crops of 224.
        fc_channels: Width of fc6 and fc7; one number, or two.
        dropout_ratio: Drop probability on fc6 and fc7 while training, 0 to 1.
        learned_upsampling: 'skips': those by 2 before a skip's scores are added, the last one is
            fixed (the paper's choice); 'none'; 'all', as transposed convolutions.
        in_index: Places of the maps in the backbone's output; by default its last.
        init_cfg: mmengine's form; by default as above, with fc6 and fc7 by Glorot & Bengio.
        kwargs: Other arguments of mmseg's ``BaseDecodeHead`` (``loss_decode``, ``ignore_index``,
            ``sampler``, ...).

    Raises:
        ValueError: if an argument is invalid; it says what would work.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: Union[int, Sequence[int]] = 512,
        kernel_size: int = 7,
        fc_channels: Union[int, Sequence[int]] = 4096,
        dropout_ratio: float = 0.5,
        learned_upsampling: str = 'skips',
        in_index: Union[int, Sequence[int], None] = None,
        init_cfg: Union[dict, list, None] = None,
        **kwargs: Any,
    ):
        channels = (in_channels,) if isinstance(in_channels, int) else tuple(in_channels)
        widths: Any = (fc_channels,) * 2 if isinstance(fc_channels, int) else tuple(fc_channels)
        _check(channels, kernel_size, widths, learned_upsampling)
        super().__init__(
            num_classes,
            channels,
            widths,
            dropout_ratio,
            STRIDE,
            in_index=in_index,
            init_cfg=init_cfg or _initialisers(len(channels) - 1),
            **kwargs,
        )
        self.fc6 = FoldedLinear(channels[-1], widths[0], kernel_size)
        self.fc7 = FoldedLinear(widths[0], widths[1], 1)
        for pool, skipped in zip(_skipped_pools(len(channels) - 1), channels[-2::-1]):
            self.add_module(_score(pool), nn.Conv2d(skipped, self.out_channels, 1))
            self.add_module(_upscore(pool), self._upsampling(2, learned_upsampling != 'none'))
        self.last_upsampling = f'upscore{self.out_stride}'
        last = self._upsampling(self.out_stride, learned_upsampling == 'all')
        self.add_module(self.last_upsampling, last)

    @property
    def out_stride(self) -> int:
        """Pixels per position of the sum of scores: the number in FCN-32s, -16s, -8s."""
        return STRIDE // 2 ** (len(self.in_channels) - 1)

    def _upsampling(self, factor: int, learned: bool) -> nn.Module:
        return BilinearUpsampling(self.out_channels, factor) if learned else upsample_cells(factor)

    def forward(self, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        """The backbone's maps -> scores, (N, num_classes, H, W) at whole strides."""
        *skips, pool5 = self._maps(inputs)
        x = F.pad(pool5, (self.fc6.kernel_size // 2,) * 4)
        x = self.dropout(self.relu(self.fc6(x)))
        x = self.cls_seg(self.relu(self.fc7(x)))
        for pool, skip in zip(_skipped_pools(len(skips)), reversed(skips)):
            x = getattr(self, _upscore(pool))(x)
            x = self._fit(x, skip.shape[-2:], 2, f'pool{pool}')
            x = x + getattr(self, _score(pool))(skip)
        return getattr(self, self.last_upsampling)(x)


def _skipped_pools(count: int) -> range:
    """Numbers of the poolings with scores of their own: 4, 3, ..."""
    return range(4, 4 - count, -1)


def _score(pool: int) -> str:
    return f'score_pool{pool}'


def _upscore(pool: int) -> str:
    """The authors' name of the upsampling before a skip's scores are added."""
    return 'upscore2' if pool == 4 else f'upscore_pool{pool + 1}'


def _initialisers(skips: int) -> list[dict]:
    scores = ['conv_seg', *map(_score, _skipped_pools(skips))]
    fcs = [dict(name='fc6'), dict(name='fc7')]
    return [
        dict(type='Xavier', distribution='uniform', override=fcs),
        dict(type='Constant', val=0, bias=0, override=[dict(name=name) for name in scores]),
    ]


def _check(
    channels: Sequence[int], kernel_size: int, widths: Sequence[int], learned: Optional[str]
) -> None:
    if not 1 <= len(channels) <= 5:
        raise ValueError(
            'FCNHead: in_channels must hold the channels of 1 (FCN-32s), 2 (FCN-16s), 3 (FCN-8s) '
            f'or up to 5 maps, got {channels}'
        )
    if len(widths) != 2:
        raise ValueError(f'FCNHead: fc_channels must be one or two widths, got {widths}')
    if not isinstance(kernel_size, int) or kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(
            'FCNHead: kernel_size must be an odd number (an even kernel has no middle to keep in '
            f'register), got {kernel_size!r}'
        )
    if learned not in LEARNED:
        raise ValueError(
            f'FCNHead: learned_upsampling must be one of {", ".join(LEARNED)}, got {learned!r}'
        )
