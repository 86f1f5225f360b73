"""DeepLab-LargeFOV (Chen et al., ICLR 2015, arXiv 1412.7062)."""

from collections.abc import Sequence
from typing import Any, Union

import torch
import torch.nn as nn

from vgg_mm.registry import MODELS

from ..heads.fc_layers import check_positive
from .dense_head import DenseHead
from .score_maps import upsample_points


@MODELS.register_module()
class LargeFOVHead(DenseHead):
    """The head of DeepLab-LargeFOV: fc6 as a dilated 3x3 convolution, fc7, and a score layer.

    It takes the map of a ``vgg_mm.VGG`` whose last two poolings do not halve it::

        backbone=dict(type='vgg_mm.VGG', arch='D', strides=(2, 2, 2, 1, 1),
                      dilations=(1, 1, 1, 1, 2), pool_size=3)

    With poolings of 3x3 position i is centred on pixel 8 * i: the scores are interpolated between
    these points, and beyond the last one its value goes on. The authors compare scores and labels
    at every eighth pixel while training, and interpolate for testing; here both are at every pixel.

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
        ValueError: if an argument is invalid; it says what would work.
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
        for name, value in (
            ('in_channels', in_channels),
            ('fc_channels', fc_channels),
            ('dilation', dilation),
            ('stride', stride),
        ):
            check_positive('LargeFOVHead', name, value)
        if check_positive('LargeFOVHead', 'kernel_size', kernel_size) % 2 == 0:
            raise ValueError(f'LargeFOVHead: kernel_size must be odd, got {kernel_size}')
        if init_cfg is None:
            fcs = [dict(name='fc6'), dict(name='fc7')]
            init_cfg = [
                dict(type='Xavier', distribution='uniform', override=fcs),
                dict(type='Normal', std=0.01, override=dict(name='conv_seg')),
            ]
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
        return upsample_points(x, self.stride)
