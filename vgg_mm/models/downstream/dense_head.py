"""What the segmentation heads of VGG have in common."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn as nn
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.losses import CrossEntropyLoss

from ..foreign_weights import ForeignWeights
from ..heads.fc_layers import check_positive
from .score_maps import fit

#: Arguments of ``BaseDecodeHead`` that mean nothing here, unless as by default.
UNUSED = dict(
    conv_cfg=None,
    norm_cfg=None,
    act_cfg=dict(type='ReLU'),
    channels=None,
    input_transform=None,
)


class DenseHead(ForeignWeights, BaseDecodeHead):
    """Scores of fc6, fc7 and a score layer at every pixel.

    ``forward`` gives the map of scores in register with the image, at whole strides: up to a
    stride larger or smaller than the image, on the right and below. ``loss`` and ``predict`` cut or
    continue it to the labels' and the image's size, without resizing.

    Args:
        num_classes: Number of classes, the background included.
        in_channels: Channels of each of the backbone's maps that the head takes.
        fc_channels: Width of fc6 and fc7.
        dropout_ratio: Drop probability on fc6 and fc7 while training, 0 to 1.
        stride: Pixels per position of the last of the maps.
        kwargs: Other arguments of mmseg's ``BaseDecodeHead``, but for those of its layers
            (``conv_cfg``, ``norm_cfg``, ``act_cfg``, ``channels``, ``input_transform``), which are
            refused.

    Raises:
        ValueError: if an argument is invalid; it says what would work.
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
        for key, value in (
            ('num_classes', num_classes),
            ('in_channels', min(in_channels, default=0)),
            ('fc_channels', min(fc_channels)),
        ):
            check_positive(name, key, value)
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
        for loss in self.losses:
            self._check_loss(loss)
        self.stride = stride
        # mmseg's drops whole channels.
        self.dropout = nn.Dropout(dropout_ratio)
        self.relu = nn.ReLU()

    @property
    def losses(self) -> list[nn.Module]:
        """The losses, of which ``loss_decode`` may have several."""
        several = isinstance(self.loss_decode, nn.ModuleList)
        return list(self.loss_decode) if several else [self.loss_decode]

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
            ValueError: in one line, if they are not those that it was made for.
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
        """A map at the size (H, W); raises ValueError if it is not within a stride of that."""
        if any(abs(side - wanted) >= stride for side, wanted in zip(x.shape[-2:], size)):
            raise ValueError(
                f'{type(self).__name__}: the scores are {x.shape[-2]}x{x.shape[-1]} for {of} of '
                f'{size[0]}x{size[1]}: the last map must have stride {self.stride}; see the '
                "backbone's strides, with_last_pool and out_indices"
            )
        return fit(x, (size[0], size[1]))

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
