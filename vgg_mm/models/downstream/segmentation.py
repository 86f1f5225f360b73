"""Segmentation heads: fully convolutional networks and DeepLab-LargeFOV.

Long, Shelhamer & Darrell, CVPR 2015 (arXiv 1411.4038); Chen et al., ICLR 2015 (arXiv 1412.7062).
"""

from collections.abc import Sequence
from typing import Any, Union

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmengine.utils import to_2tuple
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.losses import CrossEntropyLoss

from vgg_mm.architectures import STRIDE
from vgg_mm.registry import MODELS
from vgg_mm.text import check_positive

from ..foreign_weights import ForeignWeights
from ..heads.conv_head import FoldedLinear

#: Which upsamplings are learned.
LEARNED = ('none', 'skips', 'all')

#: Arguments of ``BaseDecodeHead`` that are not supported here, except their defaults.
UNUSED = dict(
    conv_cfg=None,
    norm_cfg=None,
    act_cfg=dict(type='ReLU'),
    channels=None,
    input_transform=None,
)

#: fc6 and fc7 by Glorot & Bengio.
FC_INIT = dict(type='Xavier', distribution='uniform', override=[dict(name='fc6'), dict(name='fc7')])


class BilinearUpsampling(nn.ConvTranspose2d):
    """Learned upsampling that starts as bilinear interpolation (FCN paper, Sections 3.3 and 4.1).

    A transposed convolution, (N, C, h, w) -> (N, C, factor * h, factor * w): a position is a cell
    of factor x factor pixels, its value that of the cell's centre. Every class can come to draw
    on every other; at first each is only itself. Beyond its border a map is continued with its
    outermost values, where zeros would fade the scores of the outer half cells.

    Args:
        channels: C, the number of classes.
        factor: An even number.
    """

    def __init__(self, channels: int, factor: int):
        # One cell more on each side goes in (forward), and is cut off by the padding.
        padding = factor + factor // 2
        super().__init__(channels, channels, 2 * factor, factor, padding, bias=False)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Bilinear interpolation: the weight 1 - |x| / factor at x pixels from a cell's centre."""
        side, factor = self.kernel_size[0], self.stride[0]
        offset = torch.arange(side, device=self.weight.device) - (side - 1) / 2
        weight = 1 - offset.abs() / factor
        self.weight.zero_()
        for channel in range(self.in_channels):
            self.weight[channel, channel] = weight[:, None] * weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return super().forward(F.pad(x, (1, 1, 1, 1), mode='replicate'))


def upsample_cells(factor: int) -> nn.Upsample:
    """What :class:`BilinearUpsampling` is at first, fixed."""
    return nn.Upsample(scale_factor=factor, mode='bilinear', align_corners=False)


class DenseHead(ForeignWeights, BaseDecodeHead):
    """Scores of fc6, fc7 and a score layer at every pixel.

    ``forward`` gives the map of scores in register with the image, at whole strides: up to a
    stride larger or smaller than the image, on the right and below. ``loss`` and ``predict`` cut or
    continue it to the labels' and the image's size, without resizing. ``stride``: pixels per
    position of the last of the backbone's maps; the other arguments are those of the heads.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: Sequence[int],
        fc_channels: tuple[int, int],
        dropout_ratio: float,
        stride: int,
        **kwargs: Any,
    ):
        name = type(self).__name__
        check_positive(
            name,
            num_classes=num_classes,
            in_channels=min(in_channels, default=0),
            fc_channels=min(fc_channels),
        )
        if not 0 <= dropout_ratio < 1:
            raise ValueError(f'{name}: dropout_ratio must be in [0, 1), got {dropout_ratio}')
        unused = [key for key, default in UNUSED.items() if kwargs.pop(key, default) != default]
        if unused:
            raise ValueError(
                f"{name}: {unused[0]} is of mmseg's heads with layers of another kind; this one is "
                'fc6, fc7 and a score layer: leave it out'
            )
        indices = kwargs.pop('in_index', None)
        if indices is None:
            indices = range(-len(in_channels), 0)
        indices = [indices] if isinstance(indices, int) else list(indices)
        if len(indices) != len(in_channels):
            raise ValueError(
                f'{name}: in_index={indices} names {len(indices)} maps, in_channels='
                f'{tuple(in_channels)} gives the channels of {len(in_channels)}'
            )
        super().__init__(
            list(in_channels),
            fc_channels[1],
            num_classes=num_classes,
            dropout_ratio=dropout_ratio,
            in_index=indices,
            input_transform='multiple_select',
            **kwargs,
        )
        several = isinstance(self.loss_decode, nn.ModuleList)
        for loss in self.loss_decode if several else [self.loss_decode]:
            self._check_loss(loss)
        self.stride = stride
        # mmseg's drops whole channels.
        self.dropout = nn.Dropout(dropout_ratio)
        self.relu = nn.ReLU()

    def _check_loss(self, loss: nn.Module) -> None:
        if not isinstance(loss, CrossEntropyLoss) or loss.use_sigmoid:
            return
        if self.out_channels == 1:
            raise ValueError(
                f'{type(self).__name__}: a soft-max of one score has nothing to choose from, and '
                'the loss is 0: count the background as a class (num_classes=2); for one score of '
                "both out_channels=1, loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=True)"
            )
        if loss.class_weight is not None:
            # With class weights mmseg's mean is over the pixels that have a label in any case, and
            # its avg_non_ignore ends in an IndexError.
            loss.avg_non_ignore = False

    def _maps(self, inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """The maps that the head takes, fine to coarse.

        Raises:
            ValueError: in one line, if their channels or number are wrong.
        """
        found = [tuple(x.shape[1:]) for x in inputs]
        wanted = [index + len(inputs) if index < 0 else index for index in self.in_index]
        there = all(0 <= index < len(inputs) for index in wanted)
        if not there or [found[index][0] for index in wanted] != self.in_channels:
            raise ValueError(
                f'{type(self).__name__}: expects maps of {self.in_channels} channels at '
                f'in_index={self.in_index}, but the backbone gives (channels, H, W) = {found}; '
                "set the backbone's out_indices, or in_channels"
            )
        return [inputs[index] for index in wanted]

    def _fit(self, x: torch.Tensor, size: Sequence[int], stride: int, of: str) -> torch.Tensor:
        """A map (N, C, h, w) of (H, W): cut right and below, or continued with its last values.

        Convolutions and poolings begin at the image's upper left corner, so that this keeps a map
        in register with the image. A ValueError if it is not within a stride of that size.
        """
        if any(abs(side - wanted) >= stride for side, wanted in zip(x.shape[-2:], size)):
            raise ValueError(
                f'{type(self).__name__}: the scores are {x.shape[-2]}x{x.shape[-1]} for {of} of '
                f'{size[0]}x{size[1]}: the last map must have stride {self.stride}; see the '
                "backbone's strides, with_last_pool and out_indices"
            )
        x = x[..., : size[0], : size[1]]
        rest = (0, size[1] - x.shape[-1], 0, size[0] - x.shape[-2])
        return F.pad(x, rest, mode='replicate') if any(rest) else x

    def loss_by_feat(self, seg_logits: torch.Tensor, batch_data_samples: list) -> dict:
        """As mmseg's, on the scores at the labels' size."""
        size = batch_data_samples[0].gt_sem_seg.shape
        seg_logits = self._fit(seg_logits, size, self.stride, 'labels')
        return super().loss_by_feat(seg_logits, batch_data_samples)

    def predict_by_feat(
        self, seg_logits: torch.Tensor, batch_img_metas: list[dict]
    ) -> torch.Tensor:
        """(N, num_classes, H, W), the scores at the size of the images as the net got them."""
        meta = batch_img_metas[0]
        size = meta['img_shape']
        # A torch.Size is that of a window, put there by mmseg's slide inference.
        if not isinstance(size, torch.Size):
            size = meta.get('pad_shape', size)
        return self._fit(seg_logits, size[:2], self.stride, 'an image')


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
    Their score positions thus are 3 pixels from these (15.5), and the borders see biases of
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
        ValueError: if an argument is invalid.
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
        widths = tuple(to_2tuple(fc_channels))
        if not 1 <= len(channels) <= 5:
            raise ValueError(
                'FCNHead: in_channels must contain the channels of 1 (FCN-32s), 2 (FCN-16s), 3 '
                f'(FCN-8s) or up to 5 maps, got {channels}'
            )
        if len(widths) != 2:
            raise ValueError(f'FCNHead: fc_channels must be one or two widths, got {widths}')
        if not isinstance(kernel_size, int) or kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(
                'FCNHead: kernel_size must be an odd number (an even kernel has no middle to keep '
                f'in register), got {kernel_size!r}'
            )
        if learned_upsampling not in LEARNED:
            raise ValueError(
                f'FCNHead: learned_upsampling must be one of {", ".join(LEARNED)}, got '
                f'{learned_upsampling!r}'
            )
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
    zero = dict(type='Constant', val=0, bias=0, override=[dict(name=name) for name in scores])
    return [FC_INIT, zero]


@MODELS.register_module()
class LargeFOVHead(DenseHead):
    """The head of DeepLab-LargeFOV: fc6 as a dilated 3x3 convolution, fc7, and a score layer.

    It takes the map of a ``vgg_mm.VGG`` whose last two poolings do not halve it::

        backbone=dict(type='vgg_mm.VGG', arch='D', strides=(2, 2, 2, 1, 1),
                      dilations=(1, 1, 1, 1, 2), pool_size=3)

    With poolings of 3x3 position i is centred on pixel 8 * i: the scores are interpolated between
    these points, and continued with its value beyond the last one. The authors compare scores and
    labels at every eighth pixel while training, and interpolate for testing; here both are at every
    pixel.

    ``conv_seg``, the score layer, starts at a normal distribution of deviation 0.01;
    ``vgg_mm.ClassifierInitHook`` initialises fc6 and fc7 from a classifier, sub-sampled.

    Input: the backbone's maps, of which one is used, (N, in_channels, h, w). Output of ``forward``:
    (N, num_classes, 8 * (h - 1) + 1, 8 * (w - 1) + 1); ``loss`` and ``predict`` continue it to the
    image's size.

    Args:
        num_classes: Number of classes, the background included.
        in_channels: Channels of the backbone's last map.
        fc_channels: Width of fc6 and fc7; it must divide the classifier's (4096).
        kernel_size: Side of fc6's kernel; odd. (kernel_size - 1) must divide the classifier's - 1.
        dilation: Distance of the kernel's taps, in positions of the map.
        dropout_ratio: Drop probability on fc6 and fc7 while training, 0 to 1.
        stride: Pixels per position of the map.
        in_index: Place of the map in the backbone's output.
        init_cfg: mmengine's form; by default as above, with fc6 and fc7 by Glorot & Bengio.
        kwargs: Other arguments of mmseg's ``BaseDecodeHead`` (``loss_decode``, ``ignore_index``,
            ``sampler``, ...).

    Raises:
        ValueError: if an argument is invalid.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 512,
        fc_channels: int = 1024,
        kernel_size: int = 3,
        dilation: int = 12,
        dropout_ratio: float = 0.5,
        stride: int = 8,
        in_index: int = -1,
        init_cfg: Union[dict, list, None] = None,
        **kwargs: Any,
    ):
        sizes = dict(in_channels=in_channels, fc_channels=fc_channels, kernel_size=kernel_size)
        check_positive('LargeFOVHead', **sizes, dilation=dilation, stride=stride)
        if kernel_size % 2 == 0:
            raise ValueError(f'LargeFOVHead: kernel_size must be odd, got {kernel_size}')
        if init_cfg is None:
            init_cfg = [FC_INIT, dict(type='Normal', std=0.01, override=dict(name='conv_seg'))]
        super().__init__(
            num_classes,
            (in_channels,),
            (fc_channels, fc_channels),
            dropout_ratio,
            stride,
            in_index=in_index,
            init_cfg=init_cfg,
            **kwargs,
        )
        padding = dilation * (kernel_size // 2)
        self.fc6 = nn.Conv2d(in_channels, fc_channels, kernel_size, 1, padding, dilation)
        self.fc7 = nn.Conv2d(fc_channels, fc_channels, 1)

    def forward(self, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        """The backbone's maps -> scores, (N, num_classes, H, W) up to the last position's pixel."""
        (x,) = self._maps(inputs)
        x = self.dropout(self.relu(self.fc6(x)))
        x = self.cls_seg(self.relu(self.fc7(x)))
        # Positions are points: after poolings of 3x3, padded by 1, i is centred on stride * i.
        size = [self.stride * (side - 1) + 1 for side in x.shape[-2:]]
        return F.interpolate(x, size, mode='bilinear', align_corners=True)
