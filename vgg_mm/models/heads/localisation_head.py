"""The last layer as a regressor of the object's box (paper, Appendix A)."""

from collections.abc import Sequence
from typing import Optional, Union

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmpretrain.structures import DataSample

from vgg_mm.architectures import STRIDE
from vgg_mm.registry import MODELS
from vgg_mm.text import check_positive

from ..initialisers import InitCfg, resolve_init_cfg
from .conv_head import FCLayers

#: Numbers that describe a box: centre x, centre y, width, height.
BOX_PARAMETERS = 4


@MODELS.register_module()
class LocalisationHead(FCLayers, BaseModule):
    """fc8 predicts the object's box instead of class scores (Appendix A.1).

    Each position of the map predicts a box in its own window, the ``32 * kernel_size`` pixels of
    the image that fc6 covers there: (centre x, centre y, width, height), where the window is the
    square [0, 1] x [0, 1]. Boxes may reach beyond it. The unit of the loss is therefore the square
    of the crop's side, for any size in pixels.

    The loss is the Euclidean loss as Caffe has it: half the squared distance between predicted and
    true parameters, summed over the four, averaged over the batch. Per class, only the box of the
    image's own class is used.

    Data samples need ``gt_bboxes``, (N, 4) x1 y1 x2 y2 in pixels of the crop, and ``gt_label`` to
    train. Of several boxes the target is the one with the largest part in the crop, in its whole
    extent, also where it reaches beyond the crop.

    Args:
        num_classes: Number of classes of the data set.
        per_class: Whether each class has a box of its own (per-class regression, PCR,
            4 * num_classes outputs, class by class), or all share one (single-class regression,
            SCR, 4 outputs).
        in_channels, fc_channels, kernel_size, dropout, init_cfg: As in :class:`ConvHead`.
        loss_weight: Factor of the loss.

    Raises:
        ValueError: if an argument is invalid.
    """

    def __init__(
        self,
        num_classes: int,
        per_class: bool = False,
        in_channels: int = 512,
        fc_channels: Union[int, Sequence[int]] = 4096,
        kernel_size: int = 7,
        dropout: float = 0.5,
        loss_weight: float = 1.0,
        init_cfg: InitCfg = 'glorot',
    ):
        name = 'LocalisationHead'
        super().__init__(resolve_init_cfg(name, init_cfg))
        check_positive(name, num_classes=num_classes)
        if not isinstance(per_class, bool):
            raise ValueError(f'{name}: per_class must be True or False, got {per_class!r}')
        if not isinstance(loss_weight, (int, float)) or not loss_weight > 0:
            raise ValueError(f'{name}: loss_weight must be a positive number, got {loss_weight!r}')
        self.num_classes = num_classes
        self.per_class = per_class
        self.loss_weight = loss_weight
        self.num_boxes = num_classes if per_class else 1
        outputs = BOX_PARAMETERS * self.num_boxes
        self._add_layers(outputs, in_channels, fc_channels, kernel_size, dropout)

    def forward(self, feats: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """Box parameters at every position, in its window: (N, num_boxes, 4, h, w)."""
        return self.score_map(feats).unflatten(1, (self.num_boxes, BOX_PARAMETERS))

    def decode(self, parameters: torch.Tensor) -> torch.Tensor:
        """Box parameters in windows as boxes in the image that went through the net.

        The window of position (i, j) begins 32 i pixels from the top and 32 j from the left.
        A negative width or height is that of an empty box.

        Args:
            parameters: (N, num_boxes, 4, h, w), as :meth:`forward` gives them.

        Returns:
            (N, num_boxes, h, w, 4): x1 y1 x2 y2 in pixels, float32.
        """
        parameters = self.window * parameters.float().movedim(2, -1)
        rows, columns = (
            STRIDE * torch.arange(n, device=parameters.device) for n in parameters.shape[2:4]
        )
        corners = torch.stack(torch.meshgrid(columns, rows, indexing='xy'), dim=-1)
        centres = parameters[..., :2] + corners
        halves = parameters[..., 2:].clamp(min=0) / 2
        return torch.cat([centres - halves, centres + halves], dim=-1)

    def loss(self, feats: tuple[torch.Tensor, ...], data_samples: list[DataSample]) -> dict:
        """The Euclidean loss of crops; ``{'loss': scalar}`` in squares of the crop's side.

        Raises:
            ValueError: if a sample has no box or no known class, or the inputs are larger than the
                crop.
        """
        predicted = self._of_crops(feats)
        targets = torch.stack([self._target(sample, predicted.device) for sample in data_samples])
        if self.per_class:
            labels = torch.cat([sample.gt_label for sample in data_samples])
            if labels.min() < 0 or labels.max() >= self.num_classes:
                raise ValueError(
                    f'LocalisationHead: a label of {labels.min()} to {labels.max()} with '
                    f'num_classes={self.num_classes}'
                )
            own = predicted[torch.arange(len(labels)), labels.to(predicted.device)]
        else:
            own = predicted[:, 0]
        loss = F.mse_loss(own.float(), targets, reduction='sum') / (2 * len(targets))
        return dict(loss=self.loss_weight * loss)

    def _of_crops(self, feats: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """Box parameters (N, num_boxes, 4) of images that have the size of a crop."""
        parameters = self(feats)
        height, width = parameters.shape[-2:]
        if (height, width) != (1, 1):
            raise ValueError(
                f'LocalisationHead: the inputs have {height}x{width} positions, a crop has one: '
                f'crop them to {self.window}x{self.window} (vgg_mm.ScaleJitter, '
                'vgg_mm.CentralCrop), or test with --tta'
            )
        return parameters.flatten(2)

    def _target(self, sample: DataSample, device: torch.device) -> torch.Tensor:
        """(4,): the parameters of the box with the largest part in the crop."""
        if 'gt_bboxes' not in sample or len(sample.gt_bboxes) == 0:
            raise ValueError(
                'LocalisationHead: a training image has no gt_bboxes: the data set has to give '
                'them (vgg_mm.CocoBoxes, vgg_mm.ImageNetBoxes) and PackInputs to pack them, '
                "algorithm_keys=('gt_bboxes',)"
            )
        boxes = torch.as_tensor(sample.gt_bboxes, dtype=torch.float32, device=device) / self.window
        inside = boxes.clamp(0, 1)
        parts = (inside[:, 2:] - inside[:, :2]).prod(dim=1)
        x1, y1, x2, y2 = boxes[parts.argmax()]
        return torch.stack([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1])

    def predict(
        self,
        feats: tuple[torch.Tensor, ...],
        data_samples: Optional[list[DataSample]] = None,
    ) -> list[DataSample]:
        """Boxes in crops.

        Returns:
            The data samples with ``pred_bboxes``, (num_boxes, 4) x1 y1 x2 y2 in pixels of the crop:
            one for each class, or one that all share.

        Raises:
            ValueError: if the inputs are larger than the crop.
        """
        parameters = self._of_crops(feats)
        boxes = self.decode(parameters[..., None, None])[:, :, 0, 0]
        samples = data_samples or [DataSample() for _ in boxes]
        for sample, own in zip(samples, boxes):
            sample.set_field(own, 'pred_bboxes')
        return samples
