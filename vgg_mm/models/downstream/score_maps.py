"""Coarse maps of class scores at the size of the image, in register with it."""

import torch
import torch.nn as nn
import torch.nn.functional as F


class BilinearUpsampling(nn.ConvTranspose2d):
    """Learned upsampling that starts as bilinear interpolation (FCN paper, Sections 3.3 and 4.1).

    A transposed convolution, (N, C, h, w) -> (N, C, factor * h, factor * w): a position is a cell
    of factor x factor pixels, its value that of the cell's centre. Every class can come to draw
    on every other; at first each is only itself. Beyond its border a map goes on with its outermost
    values, where zeros would fade the scores of the outer half cells.

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


def upsample_points(x: torch.Tensor, factor: int) -> torch.Tensor:
    """Bilinear interpolation between positions that are points, ``factor`` pixels apart.

    So are those after poolings of 3x3, padded by 1: position i is centred on pixel factor * i.

    Returns:
        (N, C, factor * (h - 1) + 1, factor * (w - 1) + 1) of (N, C, h, w).
    """
    size = [factor * (side - 1) + 1 for side in x.shape[-2:]]
    return F.interpolate(x, size, mode='bilinear', align_corners=True)


def fit(x: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """A map (N, C, h, w) of (H, W): cut right and below, or continued with its last values.

    Convolutions and poolings begin at the image's upper left corner, so that this keeps a map in
    register with the image.
    """
    height, width = size
    x = x[..., :height, :width]
    rest = (0, width - x.shape[-1], 0, height - x.shape[-2])
    return F.pad(x, rest, mode='replicate') if any(rest) else x
