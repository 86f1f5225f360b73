"""Detection heads: of Faster R-CNN (Ren et al., 2015, arXiv 1506.01497) and of SSD."""

from collections.abc import Sequence
from typing import Any, Union

import torch
import torch.nn as nn
from mmdet.models.dense_heads import SSDHead as MMDetSSDHead
from mmdet.models.roi_heads.bbox_heads import BBoxHead
from mmengine.utils import to_2tuple

from vgg_mm.registry import MODELS
from vgg_mm.text import check_positive

from ..foreign_weights import ForeignWeights


@MODELS.register_module()
class VGGBBoxHead(ForeignWeights, BBoxHead):
    """A classifier's fc6 and fc7 on every region, then class scores and box deltas.

    As Fast and Faster R-CNN use VGG-16: the region's 7x7 features take the place of the last
    pooling's output, fc8 that of two new layers. ReLU and dropout follow fc6 and fc7.

    Input: (N, in_channels, *roi_feat_size) features of N regions. Output: scores before the
    soft-max, (N, num_classes + 1), the background last, and deltas, (N, 4 * num_classes), or
    (N, 4) with ``reg_class_agnostic``.

    ``vgg_mm.ClassifierInitHook`` initialises fc6 and fc7 from a classifier.

    Args:
        in_channels: Channels of the regions' features; 512 where they are conv5_3's.
        roi_feat_size: Height and width of the regions' features; the classifier's is 7.
        fc_channels: Width of fc6 and fc7; one number, or two.
        dropout: Drop probability on fc6 and fc7 while training, 0 to 1.
        kwargs: Other arguments of :class:`mmdet.models.BBoxHead` (``num_classes``,
            ``bbox_coder``, losses, ...).

    Raises:
        ValueError: if an argument is invalid.
    """

    def __init__(
        self,
        in_channels: int = 512,
        roi_feat_size: Union[int, Sequence[int]] = 7,
        fc_channels: Union[int, Sequence[int]] = 4096,
        dropout: float = 0.5,
        **kwargs: Any,
    ):
        widths = tuple(to_2tuple(fc_channels))
        size = tuple(to_2tuple(roi_feat_size))
        if len(widths) != 2 or len(size) != 2:
            raise ValueError(
                'VGGBBoxHead: fc_channels and roi_feat_size must be one or two numbers each, got '
                f'{fc_channels} and {roi_feat_size}'
            )
        sizes = dict(roi_feat_size=min(size), fc_channels=min(widths))
        check_positive('VGGBBoxHead', in_channels=in_channels, **sizes)
        if not 0 <= dropout < 1:
            raise ValueError(f'VGGBBoxHead: dropout must be in [0, 1), got {dropout}')
        if kwargs.get('with_avg_pool'):
            raise ValueError(
                'VGGBBoxHead: with_avg_pool=True leaves fc6 no map; for a head without fc6 use '
                'mmdet.BBoxHead'
            )
        # Both predictors use fc7, which has one position.
        super().__init__(in_channels=widths[1], roi_feat_size=1, **kwargs)
        self.in_channels = in_channels
        self.roi_feat_size = size
        self.roi_feat_area = size[0] * size[1]
        self.fc6 = nn.Linear(in_channels * self.roi_feat_area, widths[0])
        self.fc7 = nn.Linear(widths[0], widths[1])
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(dropout)
        if kwargs.get('init_cfg') is None:
            layers = [dict(name='fc6'), dict(name='fc7')]
            self.init_cfg = [
                *self.init_cfg,
                dict(type='Xavier', distribution='uniform', override=layers),
            ]

    def fc7_of(self, x: torch.Tensor) -> torch.Tensor:
        """fc7's activations, (N, fc7 width), of regions (N, in_channels, *roi_feat_size)."""
        expected = (self.in_channels, *self.roi_feat_size)
        if x.ndim != 4 or tuple(x.shape[1:]) != expected:
            raise ValueError(
                f'VGGBBoxHead: expects features of regions (N, {", ".join(map(str, expected))}), '
                f"got {tuple(x.shape)}: in_channels must be those of bbox_roi_extractor's "
                'out_channels, roi_feat_size its roi_layer.output_size'
            )
        x = self.dropout(self.relu(self.fc6(x.flatten(1))))
        return self.dropout(self.relu(self.fc7(x)))

    def forward(self, x: torch.Tensor) -> tuple:
        """(N, in_channels, *roi_feat_size) -> class scores and box deltas of each region."""
        fc7 = self.fc7_of(x)
        scores = self.fc_cls(fc7) if self.with_cls else None
        deltas = self.fc_reg(fc7) if self.with_reg else None
        return scores, deltas


@MODELS.register_module()
class SSDHead(MMDetSSDHead):
    """mmdet's ``SSDHead``, with its arguments and parameters.

    From mmdet 3.3 on all dense heads check the type of their ``loss_cls`` when they predict. SSD's
    computes its losses itself and has none, which ends in an AttributeError.
    """

    loss_cls = None
