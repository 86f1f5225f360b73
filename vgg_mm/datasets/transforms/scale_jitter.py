"""Training crops at a fixed or jittered scale (paper, Section 3.1)."""

from collections.abc import Sequence
from typing import Union

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness

from vgg_mm.registry import TRANSFORMS

from .rescale import rescaled_size, scale_bounds


@TRANSFORMS.register_module()
class ScaleJitter(BaseTransform):
    """Rescale the smaller side to S, then take one random crop.

    S is fixed, or an integer drawn uniformly from [S_min, S_max] for each image; the crop's place
    is uniform over the rescaled image. Both steps are one bilinear resampling of the cropped
    region, so that no full-size image is made; the pixels are those of rescaling, then cropping.

    Required keys: ``img``, (H, W) or (H, W, C). Modified: ``img``, (crop_size, crop_size[, C]), and
    ``img_shape``. Added: ``scale``, the rescaled (width, height), and ``scale_factor``, that over
    the original (width, height).

    Args:
        scale: S, or (S_min, S_max), in pixels.
        crop_size: Side of the crop in pixels.

    Raises:
        ValueError: if ``scale`` is not S or S_min <= S_max, or is below ``crop_size``.
    """

    def __init__(self, scale: Union[int, Sequence[int]], crop_size: int = 224):
        bounds = scale_bounds(scale)
        if len(bounds) != 2 or not all(isinstance(s, int) for s in bounds) or bounds[0] > bounds[1]:
            raise ValueError(
                f'ScaleJitter: scale must be an integer S or a pair (S_min, S_max), got {scale}'
            )
        if not isinstance(crop_size, int) or crop_size < 1:
            raise ValueError(f'ScaleJitter: crop_size must be a positive integer, got {crop_size}')
        if bounds[0] < crop_size:
            raise ValueError(
                f'ScaleJitter: S must be at least crop_size, got S={bounds[0]} and '
                f'crop_size={crop_size}; raise scale or lower crop_size'
            )
        self.scale = bounds
        self.crop_size = crop_size

    @cache_randomness
    def _draw(self, height: int, width: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """The rescaled (height, width) and the crop's (top, left) in it."""
        smaller_side = np.random.randint(self.scale[0], self.scale[1] + 1)
        size = rescaled_size(height, width, smaller_side)
        top, left = (np.random.randint(0, side - self.crop_size + 1) for side in size)
        return size, (top, left)

    def transform(self, results: dict) -> dict:
        img = results['img']
        height, width = img.shape[:2]
        size, corner = self._draw(height, width)
        results['img'] = resample_crop(img, size, corner, self.crop_size)
        results['img_shape'] = results['img'].shape[:2]
        results['scale'] = size[::-1]
        results['scale_factor'] = (size[1] / width, size[0] / height)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(scale={self.scale}, crop_size={self.crop_size})'


def resample_crop(
    img: np.ndarray, size: tuple[int, int], corner: tuple[int, int], crop_size: int
) -> np.ndarray:
    """The crop at ``corner`` (top, left) of ``img`` rescaled to ``size`` (height, width).

    Bilinear, pixel centres at half-integers, edges repeated: what ``cv2.resize`` does, on the
    region alone.
    """
    source = img.shape[:2]
    rows, row_map = _axis(source[0], size[0], corner[0], crop_size)
    columns, column_map = _axis(source[1], size[1], corner[1], crop_size)
    # The region is cut out first: OpenCV's warp takes no source side above 32,767.
    region = img[rows, columns]
    matrix = np.array([[column_map[0], 0, column_map[1]], [0, row_map[0], row_map[1]]])
    return cv2.warpAffine(
        region,
        matrix,
        (crop_size, crop_size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )


def _axis(source: int, target: int, start: int, length: int) -> tuple[slice, tuple[float, float]]:
    """One axis: the source pixels needed, and (factor, offset) from crop to region coordinates."""
    factor = source / target
    offset = (start + 0.5) * factor - 0.5
    first = max(int(np.floor(offset)), 0)
    last = min(int(np.floor(offset + (length - 1) * factor)) + 2, source)
    return slice(first, last), (factor, offset - first)
