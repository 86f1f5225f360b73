"""Class score maps of images that are too large for one forward pass."""

from collections.abc import Iterator

import torch
import torch.nn as nn

from vgg_mm.architectures import STRIDE

from ..backbones.vgg import VGG


def can_be_cut(module: nn.Module) -> bool:
    """Whether :func:`score_maps_in_strips` is exact: a whole VGG with its last pooling."""
    return isinstance(module.backbone, VGG) and module.backbone.reach is not None


def score_maps_in_strips(
    module: nn.Module, image: torch.Tensor, max_pixels: int
) -> Iterator[torch.Tensor]:
    """The class score map of one image in parts along its longer side, without overlap.

    Every strip brings the pixels around it that its positions see, so that together the parts are
    exactly the map of the whole image.

    Args:
        module: A classifier for which :func:`can_be_cut` is true, with a :class:`ConvHead`.
        image: (1, 3, H, W), normalised.
        max_pixels: Most pixels in one strip; a strip has at least one position, however many
            pixels that takes.

    Yields:
        Score maps, (1, num_classes, h, w).
    """
    axis = 3 if image.shape[3] >= image.shape[2] else 2
    length, other = image.shape[axis], image.shape[5 - axis]
    window = module.head.kernel_size
    # Whole cells, so that the poolings of a strip fall where those of the image do.
    margin = -(-module.backbone.reach // STRIDE)
    cells = max_pixels // (other * STRIDE) - 2 * margin
    positions = max(1, cells - window + 1)
    total = length // STRIDE - window + 1
    for first in range(0, total, positions):
        last = min(first + positions, total)
        begin = max(first - margin, 0)
        # The image's last strip takes the pixels below the last whole cell along.
        end = last - 1 + window + margin
        pixels = min(end * STRIDE, length) - begin * STRIDE
        feats = module.extract_feat(image.narrow(axis, begin * STRIDE, pixels))
        inner = feats[-1].narrow(axis, first - begin, last - first + window - 1)
        yield module.head.score_map((inner,))
