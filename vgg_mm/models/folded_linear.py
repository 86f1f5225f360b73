"""A fully-connected layer that is also a convolution, with one stored weight."""

import torch
import torch.nn as nn
import torch.nn.functional as F


class FoldedLinear(nn.Linear):
    """Fully-connected layer over a k x k map that slides over larger maps (Section 3.2).

    (N, in_channels, H, W) -> (N, out_channels, H - k + 1, W - k + 1). A map of exactly k x k goes
    through a matrix product, a larger one through a convolution with the same weight.

    The weight is stored once, in FC form (out_channels, in_channels * k * k): there the matrix
    product needs no copy, the convolution's kernel is a view, and ``channels_last`` conversion of a
    model leaves it alone. State dicts in conv form (out_channels, in_channels, k, k) load as well.
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
        if x.shape[-2:] == (self.kernel_size, self.kernel_size):
            return super().forward(x.flatten(1))[:, :, None, None]
        return F.conv2d(x, self.kernel, self.bias)

    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs):
        key = f'{prefix}weight'
        weight = state_dict.get(key)
        if weight is not None and weight.shape == self.kernel.shape:
            state_dict[key] = weight.reshape(self.weight.shape)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def extra_repr(self) -> str:
        return f'{self.in_channels}, {self.out_features}, kernel_size={self.kernel_size}'
