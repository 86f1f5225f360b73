"""VGG as the backbone of SSD (Liu et al., ECCV 2016, arXiv 1512.02325)."""

from typing import Any

import torch
import torch.nn as nn

from vgg_mm.architectures import BASE_CHANNELS, BLOCK_WIDTHS, NUM_BLOCKS, Arch, architecture_of
from vgg_mm.registry import MODELS
from vgg_mm.text import check_positive

from ..backbones import VGG

#: fc6's kernel is every third row and column of the classifier's 7x7, and twice as far apart as
#: that leaves them, since pool5 no longer halves the map (SSD, Section 3).
DILATION = 6


@MODELS.register_module()
class SSDVGG(VGG):
    """A VGG whose fc6 and fc7 are convolutions (SSD, Section 3).

    pool5 is 3x3 with stride 1, fc6 a 3x3 convolution with dilation 6, fc7 a 1x1 convolution, the
    poolings before round up. What follows (L2 norm, extra layers) is mmdet's ``SSDNeck``.

    Input: (N, 3, H, W), normalised. Output: the last layer of block 4 (conv4_3 of net D) before
    its pooling, (N, 8 * base_channels, H/8, W/8), and fc7, (N, fc_channels, H/16, W/16), sizes
    rounded up at each halving.

    ``vgg_mm.ClassifierInitHook`` initialises all of it from a classifier, fc6 and fc7 sub-sampled.

    Args:
        arch: As in :class:`vgg_mm.VGG`; the SSD paper's is 'D'.
        base_channels: Width of the first block.
        fc_channels: Width of fc6 and fc7; it must divide the classifier's (4096).
        kwargs: Other arguments of :class:`vgg_mm.VGG` (``norm_cfg``, ``frozen_stages``, ...),
            except those that SSD's form decides.

    Raises:
        ValueError: if an argument is invalid.
    """

    def __init__(
        self,
        arch: Arch = 'D',
        *,
        base_channels: int = BASE_CHANNELS,
        fc_channels: int = 1024,
        **kwargs: Any,
    ):
        check_positive('SSDVGG', fc_channels=fc_channels)
        form: dict[str, Any] = dict(
            out_indices=(_last_of_block_4(arch), NUM_BLOCKS - 1),
            ceil_mode=True,
            with_last_pool=False,
        )
        fixed = sorted(kwargs.keys() & {*form, 'num_classes', 'num_stages', 'depth'})
        if fixed:
            raise ValueError(
                f'SSDVGG: {fixed[0]} cannot be given, SSD decides it; for another form of net use '
                'vgg_mm.VGG'
            )
        super().__init__(arch, base_channels=base_channels, **form, **kwargs)
        self.pool5 = nn.MaxPool2d(kernel_size=3, stride=1, padding=1)
        in_channels = BLOCK_WIDTHS[-1] * base_channels
        self.fc6 = nn.Conv2d(in_channels, fc_channels, 3, padding=DILATION, dilation=DILATION)
        self.fc7 = nn.Conv2d(fc_channels, fc_channels, 1)
        self.relu = nn.ReLU()

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, 3, H, W) -> block 4's last layer at stride 8 and fc7 at stride 16."""
        conv4, conv5 = super().forward(x)
        fc6 = self.relu(self.fc6(self.pool5(conv5)))
        return conv4, self.relu(self.fc7(fc6))


def _last_of_block_4(arch: Arch) -> str:
    kernels = architecture_of(arch).kernels
    if len(kernels) != NUM_BLOCKS:
        raise ValueError(f'SSDVGG: the net needs {NUM_BLOCKS} blocks, got arch={arch}')
    return f'conv4_{len(kernels[3])}'
