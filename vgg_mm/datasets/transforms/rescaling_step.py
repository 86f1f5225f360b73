"""What the transforms that rescale an image have in common."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Optional, Union

import numpy as np
from mmcv.transforms import BaseTransform

from .boxes import BOXES, move_boxes
from .lazy_image import LazyImage
from .planes import from_planes, to_planes
from .resampling import rescale_crop


class RescalingStep(BaseTransform):
    """A step that rescales an image, also one that ``LoadImage(lazy=True)`` left undecoded."""

    def transform(self, results: dict) -> Optional[dict]:
        """``results`` after the step; None for a broken lazy image that its loader skips."""
        img = results['img']
        lazy = isinstance(img, LazyImage)
        return img.apply(self._rescale, results) if lazy else self._rescale(results)

    @abstractmethod
    def _rescale(self, results: dict) -> dict:
        """``results`` after the step."""


def rescaled_part(
    img: Union[np.ndarray, LazyImage],
    size: Sequence[int],
    corner: Sequence[int] = (0, 0),
    crop: Optional[Sequence[int]] = None,
) -> np.ndarray:
    """The crop at ``corner`` (top, left) of the image rescaled to ``size`` (height, width).

    Args:
        crop: Its (height, width); the whole if None.
    """
    if isinstance(img, LazyImage):
        return img.crop(size, corner, crop or size)
    return rescale_crop(img, size, corner, crop or size)


def crop_rescaled(
    results: dict, size: tuple[int, int], corner: tuple[int, int], crop_size: int
) -> dict:
    """Put the crop at ``corner`` of the rescaled image into ``results``, and boxes along with it.

    Args:
        results: As in :class:`vgg_mm.ScaleJitter`, changed in place and returned.
        size: Rescaled (height, width).
        corner: The crop's (top, left) in it.
        crop_size: Side of the crop.
    """
    img = results['img']
    height, width = img.shape[:2]
    crop = rescaled_part(img, size, corner, (crop_size, crop_size))
    results['img'] = from_planes(to_planes(crop)) if crop.ndim == 3 else crop
    results['img_shape'] = crop.shape[:2]
    results['scale'] = size[::-1]
    results['scale_factor'] = (size[1] / width, size[0] / height)
    if results.get(BOXES) is not None:
        results[BOXES] = move_boxes(results[BOXES], results['scale_factor'], corner)
    return results
