"""The three fully-connected layers of VGG as a classifier of images of any size."""

from collections.abc import Sequence
from typing import Union

import torch
from mmpretrain.models.heads import ClsHead

from vgg_mm.registry import MODELS

from ..initialisers import InitCfg, resolve_init_cfg
from .fc_layers import FCLayers, check_positive


@MODELS.register_module()
class ConvHead(FCLayers, ClsHead):
    """fc6, fc7 and fc8, dense on larger maps (paper, Sections 2.1 and 3.2).

    fc6 covers ``kernel_size`` x ``kernel_size`` of the last feature map; on a larger map fc6 acts
    as a convolution of that size, fc7 and fc8 as 1x1 convolutions, and the class score map is
    averaged over its positions. See :class:`~vgg_mm.models.folded_linear.FoldedLinear`.

    Args:
        num_classes: Number of classes.
        in_channels: Channels of the backbone's last map.
        fc_channels: Width of fc6 and fc7; one number, or two; () for neither: fc8 alone on the
            averaged map, with ``kernel_size=1``.
        kernel_size: Side of the map that fc6 covers: 7 for a crop of 224, k for a crop of 32 k.
        dropout: Drop probability on fc6 and fc7 while training, 0 to 1.
        loss: Loss, as in :class:`mmpretrain.models.heads.ClsHead`; without ``type`` arguments of
            the default, the cross-entropy, such as ``class_weight``, one number a class.
        topk: The k of the accuracies computed while training if ``cal_acc``.
        cal_acc: Whether to compute accuracy while training.
        init_cfg: One word ('normal_var', 'normal_std', 'glorot', 'kaiming') or mmengine's form.

    Raises:
        ValueError: if an argument is invalid; it says what would work.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 512,
        fc_channels: Union[int, Sequence[int]] = 4096,
        kernel_size: int = 7,
        dropout: float = 0.5,
        loss: dict = dict(type='mmpretrain.CrossEntropyLoss', loss_weight=1.0),
        topk: Union[int, Sequence[int]] = (1, 5),
        cal_acc: bool = False,
        init_cfg: InitCfg = 'glorot',
    ):
        if 'type' not in loss:  # --cfg-options model.head.loss.class_weight=[...]
            loss = dict(type='mmpretrain.CrossEntropyLoss', **loss)
        weights = loss.get('class_weight')
        if weights is not None and len(weights) != num_classes:
            raise ValueError(
                f'ConvHead: loss.class_weight has {len(weights)} numbers for {num_classes} classes'
            )
        super().__init__(loss, topk, cal_acc, resolve_init_cfg('ConvHead', init_cfg))
        check_positive('ConvHead', 'num_classes', num_classes)
        self._add_layers(num_classes, in_channels, fc_channels, kernel_size, dropout)
        self.num_classes = num_classes

    def forward(self, feats: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """The class score map averaged over its positions (Section 3.2): (N, num_classes).

        fc8 is linear, so that averaging before it gives the same with one position to score.
        """
        return self.fc8(self._fc7_map(feats).mean(dim=(2, 3), keepdim=True)).flatten(1)
