"""Images in forward passes: those of one shape together, too large ones in strips."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import torch
import torch.nn as nn
from mmengine.logging import print_log

from vgg_mm.architectures import STRIDE

from ..backbones.vgg import VGG

#: An image at each Q, (3, H, W).
Views = tuple[torch.Tensor, ...]


def places_by_shape(images: Sequence[Views]) -> dict[torch.Size, list[tuple[int, int]]]:
    """The views of each shape, as (image, Q): they can share forward passes."""
    found: dict[torch.Size, list[tuple[int, int]]] = {}
    for i, views in enumerate(images):
        for j, view in enumerate(views):
            found.setdefault(view.shape, []).append((i, j))
    return found


def can_be_cut(module: nn.Module) -> bool:
    """Whether strips of an image give what the whole does: a whole VGG with its last pooling, and
    without norms that see the whole map (GN, IN).
    """
    return isinstance(module.backbone, VGG) and module.backbone.reach is not None


def is_to_be_cut(module: Any, image: torch.Tensor, max_pixels: int) -> bool:
    """Whether images (N, 3, H, W) go through in strips; one notice if they should and cannot."""
    if image.shape[-2] * image.shape[-1] <= max_pixels:
        return False
    if not can_be_cut(module):
        _say_that_images_stay_whole()
        return False
    return True


@cache
def _say_that_images_stay_whole() -> None:
    print_log(
        'images of more than max_pixels go through whole: in parts, this net would '
        'give other scores (its norms, or its last map, see more than a part)',
        'current',
    )


def score_maps_in_strips(
    module: Any, image: torch.Tensor, max_pixels: int
) -> Iterator[torch.Tensor]:
    """The class score map of one image in parts along its longer side, without overlap.

    Every strip includes the pixels around it that its positions see, so that together the parts are
    exactly the map of the whole image. For other nets the image is not cut.

    Args:
        module: A classifier of a :class:`VGG` that has cells, with a :class:`ConvHead`.
        image: (1, 3, H, W), normalised.
        max_pixels: Maximum number of pixels in one strip, which always has at least one
            position.

    Yields:
        Score maps, (1, num_classes, h, w).
    """
    if not is_to_be_cut(module, image, max_pixels):
        yield module.head.score_map(module.extract_feat(image))
        return
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
        # The image's last strip includes the pixels below the last whole cell.
        end = last - 1 + window + margin
        pixels = min(end * STRIDE, length) - begin * STRIDE
        feats = module.extract_feat(image.narrow(axis, begin * STRIDE, pixels))
        inner = feats[-1].narrow(axis, first - begin, last - first + window - 1)
        yield module.head.score_map((inner,))
