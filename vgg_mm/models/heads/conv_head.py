"""The three fully-connected layers of VGG, applicable to images of any size."""

from collections.abc import Sequence
from typing import Union

import torch
import torch.nn as nn
from mmpretrain.models.heads import ClsHead

from vgg_mm.registry import MODELS

from ..architectures import STRIDE
from ..folded_linear import FoldedLinear
from ..initialisers import InitCfg, resolve_init_cfg


@MODELS.register_module()
class ConvHead(ClsHead):
    """fc6, fc7 and fc8, dense on larger maps (paper, Sections 2.1 and 3.2).

    fc6 covers ``kernel_size`` x ``kernel_size`` of the last feature map; on a larger map fc6 acts
    as a convolution of that size, fc7 and fc8 as 1x1 convolutions, and the class score map is
    averaged over its positions. See :class:`~vgg_mm.models.folded_linear.FoldedLinear`.

    Args:
        num_classes: Number of classes.
        in_channels: Channels of the backbone's last map.
        fc_channels: Width of fc6 and fc7; one number, or two.
        kernel_size: Side of the map that fc6 covers: 7 for a crop of 224, k for a crop of 32 k.
        dropout: Drop probability on fc6 and fc7 while training, 0 to 1.
        loss: Loss, as in :class:`mmpretrain.models.heads.ClsHead`.
        topk: The k of the accuracies computed while training if ``cal_acc``.
        cal_acc: Whether to compute accuracy while training.
        init_cfg: One word ('normal_var', 'normal_std', 'glorot', 'kaiming') or mmengine's form.

    Raises:
        ValueError: on any argument that does not fit, with what would.
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
        super().__init__(loss, topk, cal_acc, resolve_init_cfg('ConvHead', init_cfg))
        widths = (fc_channels,) * 2 if isinstance(fc_channels, int) else tuple(fc_channels)
        if len(widths) != 2:
            raise ValueError(f'ConvHead: fc_channels must be one or two widths, got {fc_channels}')
        sizes = dict(
            num_classes=num_classes,
            in_channels=in_channels,
            kernel_size=kernel_size,
            fc_channels=min(widths),
        )
        for name, value in sizes.items():
            if not isinstance(value, int) or value < 1:
                raise ValueError(f'ConvHead: {name} must be a positive integer, got {value!r}')
        if not 0 <= dropout < 1:
            raise ValueError(f'ConvHead: dropout must be in [0, 1), got {dropout}')
        self.num_classes = num_classes
        self.in_channels = in_channels
        self.kernel_size = kernel_size
        self.fc6 = FoldedLinear(in_channels, widths[0], kernel_size)
        self.fc7 = FoldedLinear(widths[0], widths[1], 1)
        self.fc8 = FoldedLinear(widths[1], num_classes, 1)
        # Not in place: sharded layers (FSDP) hang their hooks on outputs as they come.
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(dropout)

    def _fc7_map(self, feats: tuple[torch.Tensor, ...]) -> torch.Tensor:
        x = feats[-1]
        self._check_map(x)
        x = self.dropout(self.relu(self.fc6(x)))
        return self.dropout(self.relu(self.fc7(x)))

    def _check_map(self, x: torch.Tensor) -> None:
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise ValueError(
                f'ConvHead: expects a map of {self.in_channels} channels, '
                f'(N, {self.in_channels}, H, W), got {tuple(x.shape)}'
            )
        height, width = x.shape[-2:]
        if min(height, width) < self.kernel_size:
            smallest = STRIDE * self.kernel_size
            raise ValueError(
                f'ConvHead: the feature map is {height}x{width}, smaller than its kernel of '
                f'{self.kernel_size}x{self.kernel_size}; the smallest image that works (stride '
                f'{STRIDE}) is {smallest}x{smallest}'
            )

    def pre_logits(self, feats: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """fc7's activations, averaged over positions: (N, fc7 width)."""
        return self._fc7_map(feats).mean(dim=(2, 3))

    def score_map(self, feats: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """Class scores before the soft-max at every position of fc6's window.

        Args:
            feats: Maps of the backbone; the last, (N, in_channels, h, w), is used.

        Returns:
            (N, num_classes, h - kernel_size + 1, w - kernel_size + 1).
        """
        return self.fc8(self._fc7_map(feats))

    def forward(self, feats: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """The class score map averaged over its positions (Section 3.2): (N, num_classes).

        fc8 is linear, so that averaging before it gives the same with one position to score.
        """
        return self.fc8(self._fc7_map(feats).mean(dim=(2, 3), keepdim=True)).flatten(1)
