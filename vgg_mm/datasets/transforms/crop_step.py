"""What the transforms that rescale an image and crop it have in common."""

from abc import abstractmethod
from typing import Optional

from mmcv.transforms import BaseTransform

from .boxes import BOXES, move_boxes
from .lazy_image import LazyImage
from .planes import from_planes, to_planes
from .resampling import resample_crop


class CropStep(BaseTransform):
    """A step that takes one crop, also of an image that ``LoadImage(lazy=True)`` left undecoded."""

    def transform(self, results: dict) -> Optional[dict]:
        """``results`` with the crop; None for a broken lazy image that its loader skips."""
        img = results['img']
        return img.apply(self._crop, results) if isinstance(img, LazyImage) else self._crop(results)

    @abstractmethod
    def _crop(self, results: dict) -> dict:
        """``results`` with the crop."""


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
    if isinstance(img, LazyImage):
        crop = img.crop(size, corner, crop_size)
    else:
        crop = resample_crop(img, size, corner, crop_size)
    results['img'] = from_planes(to_planes(crop)) if crop.ndim == 3 else crop
    results['img_shape'] = crop.shape[:2]
    results['scale'] = size[::-1]
    results['scale_factor'] = (size[1] / width, size[0] / height)
    if results.get(BOXES) is not None:
        results[BOXES] = move_boxes(results[BOXES], results['scale_factor'], corner)
    return results
