"""The one way in which images are rescaled: in training, validation, testing and prediction.

Antialiased bilinear resampling, as Pillow's and torchvision's: each pixel of the result is a mean
of the source pixels around its place, with weights that fall off linearly and reach as far as the
next pixel's place. It is made of three steps that are fast on a processor and close to that:

1. where ``factor`` source pixels become one, means of ``reduction`` x ``reduction`` pixels, the
   largest power of 2 that is not above it (JPEG's blocks give them directly);
2. if the remaining factor is above 1, a filter of three weights a side, which has the
   variance that the linear weights lack: (factor^2 - 1) / 6 square pixels;
3. bilinear interpolation, pixel centres at half-integers, edges repeated.

Only the region that a crop needs is touched; the crop is the corresponding part of the whole image
rescaled (up to 1/32 source pixel).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

#: How far from its exact place, in source pixels, a crop made by ``cv2.resize`` may be: below the
#: first it is used without search, above the second it is not used. OpenCV's own warps were that
#: far off before its version 5.
EXACT_SHIFT, MAX_SHIFT = 1 / 64, 1 / 32

#: Maximum number of rows or columns made before the crop's first one and cut off again.
MAX_LEAD = 48


class Axis(NamedTuple):
    """One axis of a crop of an image that has been reduced.

    Attributes:
        region: The pixels that it needs.
        before, after: Number of them, at either end, that only the filter needs.
        factor: Pixels per pixel of the crop, below 2.
        offset: Place of the crop's first pixel in the region without ``before``, centres of pixels
            at whole numbers.
        lead: The region without ``before``, rescaled from its edge, shows the crop after this many
            pixels; -1 if there is no such place within 1/32 pixel.
        length: Pixels of the crop.
    """

    region: slice
    before: int
    after: int
    factor: float
    offset: float
    lead: int
    length: int


def plan(
    source: Sequence[int], size: Sequence[int], corner: Sequence[int], crop: Sequence[int]
) -> tuple[int, Axis, Axis]:
    """How a crop comes about: reduction, rows, columns.

    ``source``: (height, width) of the image, ``size``: after rescaling, ``corner``: the crop's
    (top, left) then, ``crop``: its (height, width).
    """
    factors = [old / new for old, new in zip(source, size)]
    reduction = 2 ** max(0, math.floor(math.log2(min(factors))))
    rows, columns = (
        _axis(-(-old // reduction), factor / reduction, start, length)
        for old, factor, start, length in zip(source, factors, corner, crop)
    )
    return reduction, rows, columns


def _axis(source: int, factor: float, start: int, length: int) -> Axis:
    """The axis of the crop [start, start + length) of ``source`` pixels, rescaled by ``factor``."""
    offset = (start + 0.5) * factor - 0.5
    lead = _find_lead(factor, start)
    if lead >= 0:
        first = round((start - lead) * factor)
        end = math.floor(first + (lead + length - 0.5) * factor - 0.5)
    else:
        first = max(math.floor(offset), 0)
        end = math.floor(offset + (length - 1) * factor)
    last = min(end + 2, source)
    margin = int(factor > 1)
    before, after = min(margin, first), min(margin, source - last)
    return Axis(
        slice(first - before, last + after), before, after, factor, offset - first, lead, length
    )


def _find_lead(factor: float, start: int) -> int:
    """How many pixels before a crop ``cv2.resize`` can begin, which begins at a pixel's edge.

    They are cut off again. -1 if there is no such place nearby.
    """
    if start == 0:
        return 0
    best, lead = MAX_SHIFT, -1
    if factor < 0.5:
        return lead
    # Where pixels are enlarged, those at the region's edge need neighbours beyond it.
    for candidate in range(min(start, int(factor < 1)), min(start, MAX_LEAD) + 1):
        place = (start - candidate) * factor
        distance = abs(place - round(place))
        if distance < best:
            best, lead = distance, candidate
            if distance <= EXACT_SHIFT:
                break
    return lead


def reduced(img: np.ndarray, reduction: int, rows: Axis, columns: Axis) -> np.ndarray:
    """The region of the axes, each of its pixels a mean of ``reduction`` x ``reduction``."""
    img = img[_times(rows.region, reduction), _times(columns.region, reduction)]
    if reduction == 1:
        return img
    height, width = img.shape[:2]
    if height % reduction or width % reduction:
        beyond = (0, -height % reduction, 0, -width % reduction)
        img = cv2.copyMakeBorder(img, *beyond, cv2.BORDER_REPLICATE)
    size = img.shape[1] // reduction, img.shape[0] // reduction
    return cv2.resize(img, size, interpolation=cv2.INTER_AREA)


def _times(region: slice, reduction: int) -> slice:
    return slice(region.start * reduction, region.stop * reduction)


def resample(region: np.ndarray, rows: Axis, columns: Axis) -> np.ndarray:
    """The crop from the region that its axes name, filtered and interpolated."""
    if max(rows.factor, columns.factor) > 1:
        along_x, along_y = _filter(columns.factor), _filter(rows.factor)
        region = cv2.sepFilter2D(region, -1, along_x, along_y, borderType=cv2.BORDER_REPLICATE)
    region = region[rows.before :, columns.before :]
    region = region[: len(region) - rows.after, : region.shape[1] - columns.after]
    shape = rows.length, columns.length
    if rows.lead >= 0 and columns.lead >= 0:
        fx, fy = 1 / columns.factor, 1 / rows.factor
        wide = cv2.resize(region, None, fx=fx, fy=fy, interpolation=cv2.INTER_LINEAR)
        crop = wide[rows.lead : rows.lead + shape[0], columns.lead : columns.lead + shape[1]]
        # Where no side's number of pixels changes, cv2.resize copies, regardless of the scale.
        copied = wide.shape == region.shape and (rows.factor, columns.factor) != (1, 1)
        if crop.shape[:2] == shape and not copied:
            return crop
    matrix = np.array([[columns.factor, 0, columns.offset], [0, rows.factor, rows.offset]])
    return cv2.warpAffine(
        region,
        matrix,
        shape[::-1],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )


def _filter(factor: float) -> np.ndarray:
    """Three weights of variance (factor^2 - 1) / 6; none but the middle one up to a factor of 1."""
    # OpenCV calculates with 8 bits: rounding would change the brightness.
    side = round(256 * max(0.0, factor**2 - 1) / 12) / 256
    return np.array([side, 1 - 2 * side, side], np.float32)


def rescale_crop(
    img: np.ndarray, size: Sequence[int], corner: Sequence[int], crop: Sequence[int]
) -> np.ndarray:
    """A crop of the rescaled image; arguments as in :func:`plan`.

    Args:
        img: (H, W) or (H, W, C), uint8, uint16 or float32.
    """
    reduction, rows, columns = plan(img.shape, size, corner, crop)
    return resample(reduced(img, reduction, rows, columns), rows, columns)


def rescale(img: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """The whole ``img`` at ``size`` (height, width); as :func:`rescale_crop`."""
    return rescale_crop(img, size, (0, 0), size)


def to_planes(img: np.ndarray) -> np.ndarray:
    """(H, W, C) -> (C, H, W), contiguous; no copy where the memory already has this order.

    Crops are made so, channel by channel in memory, and seen as (H, W, C): MMPretrain's
    ``PackInputs``, which turns them into (C, H, W), then has nothing to copy.
    """
    planes = img.transpose(2, 0, 1)
    if not planes.flags.c_contiguous:
        planes = np.empty(planes.shape, img.dtype)
        cv2.split(img, list(planes))
    return planes


def from_planes(planes: np.ndarray) -> np.ndarray:
    """(C, H, W) -> the same memory as (H, W, C)."""
    return planes.transpose(1, 2, 0)
