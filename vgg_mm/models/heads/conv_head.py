"""fc6, fc7 and fc8, and the classifier of images of any size that they make."""

from collections.abc import Sequence
from typing import Union

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmengine.utils import to_2tuple
from mmpretrain.models.heads import ClsHead

from vgg_mm.architectures import STRIDE
from vgg_mm.registry import MODELS
from vgg_mm.text import check_positive

from ..foreign_weights import ForeignWeights
from ..initialisers import InitCfg, resolve_init_cfg

#: Whether torch.export is running; unknown before torch 2.7.
_is_exporting = getattr(torch.compiler, 'is_exporting', bool)


class FoldedLinear(nn.Linear):
    """Fully-connected layer over a k x k map that slides over larger maps (Section 3.2).

    (N, in_channels, H, W) -> (N, out_channels, H - k + 1, W - k + 1), the convolution with the
    kernel :attr:`kernel`. It is computed as one matrix product over all windows: VGG's maps are
    small and fc6's weight is large, and a convolution would first bring the weight into another
    layout, which takes longer than the product (benchmarks/conv_head_speed.py).

    The weight is stored once, in FC form (out_channels, in_channels * k * k), which
    ``channels_last`` conversion of a model leaves alone. State dicts in conv form
    (out_channels, in_channels, k, k) load as well.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int):
        super().__init__(in_channels * kernel_size**2, out_channels)
        self.in_channels = in_channels
        self.kernel_size = kernel_size

    @property
    def kernel(self) -> torch.Tensor:
        """The weight in conv form, (out_channels, in_channels, k, k): a view."""
        k = self.kernel_size
        return self.weight.view(self.out_features, self.in_channels, k, k)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        k = self.kernel_size
        if torch.jit.is_tracing() or _is_exporting():
            # No exported graph can contain a number of windows that depends on the image's size.
            return F.conv2d(x, self.kernel, self.bias)
        windows = x.unfold(2, k, 1).unfold(3, k, 1)  # (N, C, h, w, k, k)
        rows = windows.permute(0, 2, 3, 1, 4, 5).flatten(3)
        return F.linear(rows, self.weight, self.bias).permute(0, 3, 1, 2)

    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs):
        key = f'{prefix}weight'
        weight = state_dict.get(key)
        if weight is not None and weight.shape == self.kernel.shape:
            state_dict[key] = weight.reshape(self.weight.shape)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def extra_repr(self) -> str:
        return f'{self.in_channels}, {self.out_features}, kernel_size={self.kernel_size}'


class FCLayers(ForeignWeights):
    """fc6, fc7 and fc8, sliding over larger maps, for any meaning of fc8's outputs (see the heads).

    Without fc6 and fc7, fc8 is the one linear layer on the last map: averaged over its positions,
    that is global average pooling with a linear classifier (Lin et al. 2014, Section 3.2), and its
    score map is the class activation map (Zhou et al. 2016).
    """

    def _add_layers(
        self,
        num_outputs: int,
        in_channels: int,
        fc_channels: Union[int, Sequence[int]],
        kernel_size: int,
        dropout: float,
    ) -> None:
        """Check the sizes and add the layers; arguments as in :class:`ConvHead`."""
        name = type(self).__name__
        widths = tuple(to_2tuple(fc_channels))
        if len(widths) not in (0, 2):
            raise ValueError(
                f'{name}: fc_channels must be one or two widths, or () for fc8 alone, '
                f'got {fc_channels}'
            )
        check_positive(name, in_channels=in_channels, kernel_size=kernel_size)
        if widths:
            check_positive(name, fc_channels=min(widths))
        if not widths and kernel_size != 1:
            raise ValueError(f'{name}: fc8 alone has kernel_size=1, got {kernel_size}')
        if not 0 <= dropout < 1:
            raise ValueError(f'{name}: dropout must be in [0, 1), got {dropout}')
        self.in_channels = in_channels
        self.kernel_size = kernel_size
        if widths:
            self.fc6 = FoldedLinear(in_channels, widths[0], kernel_size)
            self.fc7 = FoldedLinear(widths[0], widths[1], 1)
        self.fc8 = FoldedLinear(widths[1] if widths else in_channels, num_outputs, 1)
        # Not in place: sharded layers (FSDP) hang their hooks on outputs as they come.
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(dropout)

    @property
    def window(self) -> int:
        """Side of the image window of one position of the map, in pixels."""
        return STRIDE * self.kernel_size

    @property
    def has_fc6(self) -> bool:
        """Whether there are fc6 and fc7 below fc8."""
        return hasattr(self, 'fc6')

    def _fc7_map(self, feats: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """fc8's input at every position: (N, fc7 width, h - k + 1, w - k + 1)."""
        x = feats[-1]
        self._check_map(x)
        if not self.has_fc6:
            return x
        x = self.dropout(self.relu(self.fc6(x)))
        return self.dropout(self.relu(self.fc7(x)))

    def _check_map(self, x: torch.Tensor) -> None:
        if not _has_size(x):
            return
        name = type(self).__name__
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise ValueError(
                f'{name}: expects a map of {self.in_channels} channels, '
                f'(N, {self.in_channels}, H, W), got {tuple(x.shape)}'
            )
        height, width = x.shape[-2:]
        if min(height, width) < self.kernel_size:
            raise ValueError(
                f'{name}: the feature map is {height}x{width}, smaller than its kernel of '
                f'{self.kernel_size}x{self.kernel_size}; the smallest image that works (stride '
                f'{STRIDE}) is {self.window}x{self.window}'
            )

    def pre_logits(self, feats: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """fc8's input, fc7's activations as a rule, averaged over positions: (N, fc7 width)."""
        return self._fc7_map(feats).mean(dim=(2, 3))

    def score_map(self, feats: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """fc8's outputs at every position of fc6's window: (N, outputs, h - kernel_size + 1,
        w - kernel_size + 1) of the last of the backbone's maps, (N, in_channels, h, w).
        """
        return self.fc8(self._fc7_map(feats))


def _has_size(x: torch.Tensor) -> bool:
    """Whether x has a size that is a number: not so where a graph for any size is recorded."""
    if not isinstance(x, torch.Tensor) or torch.jit.is_tracing():
        return False
    return all(type(side) is int for side in x.shape)


@MODELS.register_module()
class ConvHead(FCLayers, ClsHead):
    """fc6, fc7 and fc8, dense on larger maps (paper, Sections 2.1 and 3.2).

    fc6 covers ``kernel_size`` x ``kernel_size`` of the last feature map; on a larger map fc6 acts
    as a convolution of that size, fc7 and fc8 as 1x1 convolutions, and the class score map is
    averaged over its positions. See :class:`FoldedLinear`.

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
        ValueError: if an argument is invalid.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 512,
        fc_channels: Union[int, Sequence[int]] = 4096,
        kernel_size: int = 7,
        dropout: float = 0.5,
        loss: Union[dict, nn.Module] = dict(type='mmpretrain.CrossEntropyLoss', loss_weight=1.0),
        topk: Union[int, Sequence[int]] = (1, 5),
        cal_acc: bool = False,
        init_cfg: InitCfg = 'glorot',
    ):
        weights = None
        if not isinstance(loss, nn.Module):
            # --cfg-options model.head.loss.class_weight=[...]
            loss = {'type': 'mmpretrain.CrossEntropyLoss', **loss}
            weights = loss.get('class_weight')
        if weights is not None and len(weights) != num_classes:
            raise ValueError(
                f'ConvHead: loss.class_weight has {len(weights)} numbers for {num_classes} classes'
            )
        super().__init__(loss, topk, cal_acc, resolve_init_cfg('ConvHead', init_cfg))
        check_positive('ConvHead', num_classes=num_classes)
        self._add_layers(num_classes, in_channels, fc_channels, kernel_size, dropout)
        self.num_classes = num_classes

    def forward(self, feats: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """The class score map averaged over its positions (Section 3.2): (N, num_classes).

        fc8 is linear, so that averaging before it gives the same with one position to score.
        """
        return self.fc8(self._fc7_map(feats).mean(dim=(2, 3), keepdim=True)).flatten(1)
