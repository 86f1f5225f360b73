"""One bilinear resampling of just the region that a crop of a rescaled image needs."""

import math
from typing import NamedTuple

import cv2
import numpy as np

#: How far from its exact place, in source pixels, a crop made by ``cv2.resize`` may lie: below the
#: first nothing better is looked for, above the second it is not used. OpenCV's own warps were that
#: far off before its version 5.
GOOD_SHIFT, LARGEST_SHIFT = 1 / 64, 1 / 32

#: Most rows or columns that are made before the crop's first one and cut off again.
LARGEST_LEAD = 48


class Axis(NamedTuple):
    """One axis of a crop.

    Attributes:
        region: The source pixels that it needs.
        factor: Source pixels per pixel of the crop.
        offset: Place of the crop's first pixel in the region, centres of pixels at whole numbers.
        lead: The region, rescaled from its edge, shows the crop after this many pixels; -1 if that
            is nowhere true to 1/32 pixel.
    """

    region: slice
    factor: float
    offset: float
    lead: int


def exact_axis(source: int, factor: float, start: int, length: int) -> Axis:
    """The fewest pixels of ``source`` for the crop [start, start + length) of the rescaled axis."""
    offset = (start + 0.5) * factor - 0.5
    first = max(math.floor(offset), 0)
    last = min(math.floor(offset + (length - 1) * factor) + 2, source)
    return Axis(slice(first, last), factor, offset - first, -1)


def resizable_axis(source: int, factor: float, start: int, length: int) -> Axis:
    """Like :func:`exact_axis`, with a ``lead``, if there is one.

    ``cv2.resize`` begins at a source pixel's edge. A crop that does not begins there some pixels
    earlier, which are cut off again.
    """
    if not 0.5 <= factor <= 2:
        return exact_axis(source, factor, start, length)
    best, lead = LARGEST_SHIFT, -1
    # Where pixels are enlarged, those at the region's edge look for neighbours beyond it.
    for candidate in range(min(start, int(factor < 1)), min(start, LARGEST_LEAD) + 1):
        place = (start - candidate) * factor
        distance = abs(place - round(place))
        if distance < best:
            best, lead = distance, candidate
            if distance <= GOOD_SHIFT:
                break
    if lead < 0:
        return exact_axis(source, factor, start, length)
    first = round((start - lead) * factor)
    last = min(math.floor(first + (lead + length - 0.5) * factor - 0.5) + 2, source)
    return Axis(slice(first, last), factor, (start + 0.5) * factor - 0.5 - first, lead)


def resample(region: np.ndarray, rows: Axis, columns: Axis, length: int) -> np.ndarray:
    """The crop of ``length`` x ``length`` from the region that its axes name.

    Bilinear, pixel centres at half-integers, edges repeated: what ``cv2.resize`` does to the whole.
    """
    if rows.lead >= 0 and columns.lead >= 0:
        scales = dict(fx=1 / columns.factor, fy=1 / rows.factor)
        wide = cv2.resize(region, None, **scales, interpolation=cv2.INTER_LINEAR)
        crop = wide[rows.lead : rows.lead + length, columns.lead : columns.lead + length]
        # Where no side's number of pixels changes, cv2.resize copies, whatever the scale.
        copied = wide.shape == region.shape and (rows.factor, columns.factor) != (1, 1)
        if crop.shape[:2] == (length, length) and not copied:
            return crop
    matrix = np.array([[columns.factor, 0, columns.offset], [0, rows.factor, rows.offset]])
    return cv2.warpAffine(
        region,
        matrix,
        (length, length),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )


def resample_crop(
    img: np.ndarray, size: tuple[int, int], corner: tuple[int, int], crop_size: int
) -> np.ndarray:
    """The crop at ``corner`` (top, left) of ``img`` rescaled to ``size`` (height, width).

    On the region alone, which OpenCV's warp, too, would not take with a side above 32,767.
    """
    rows, columns = (
        exact_axis(source, source / target, start, crop_size)
        for source, target, start in zip(img.shape, size, corner)
    )
    return resample(img[rows.region, columns.region], rows, columns, crop_size)
