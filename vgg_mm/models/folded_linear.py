"""A fully-connected layer that is also a convolution, with one stored weight."""

import torch
import torch.nn as nn
import torch.nn.functional as F

#: Whether torch.export is at work; before torch 2.7 nothing says so.
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
            # No exported graph can hold a number of windows that depends on the image's size.
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
