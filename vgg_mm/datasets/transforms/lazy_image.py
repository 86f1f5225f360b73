"""JPEG files that are decoded as far as a crop needs them."""

from collections.abc import Callable, Sequence
from typing import Any, Optional

import cv2
import numpy as np

from .jpeg_header import JpegHeader, is_unbroken_scan
from .region_decoder import decode_region
from .resampling import Axis, plan, reduced, resample

#: JPEG's 8x8 blocks give an image of half, a quarter or an eighth of the size directly.
READ_REDUCED = {
    8: cv2.IMREAD_REDUCED_COLOR_8,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    1: cv2.IMREAD_COLOR,
}

#: Pixels that a region has to save: calling its decoder costs as much time.
WORTHWHILE = 10_000


class CannotDecode(ValueError):
    """A file with a valid header that cannot be decoded, neither in part nor whole."""


class LazyImage:
    """A plain JPEG file of which only the header has been read.

    Replaces the array (H, W, 3), uint8 BGR, for steps that call :meth:`crop`; for
    others, ``np.asarray`` decodes the whole. ``path`` is the file's name, ``loader`` the
    ``LoadImage`` that made the image, and handles the file if it turns out to be broken.
    """

    dtype, ndim = np.dtype(np.uint8), 3

    def __init__(self, content: bytes, header: JpegHeader, path: str, loader: Any):
        self._content = content
        self._header = header
        self._path = path
        self._loader = loader
        self.shape = header.height, header.width, 3
        self._decoded: dict[int, np.ndarray] = {}

    def __array__(self, dtype: Any = None, copy: Optional[bool] = None) -> np.ndarray:
        return self._decode(1).astype(dtype or self.dtype, copy=bool(copy))

    def copy(self) -> np.ndarray:
        """The whole image."""
        return np.array(self)

    def crop(self, size: Sequence[int], corner: Sequence[int], crop: Sequence[int]) -> np.ndarray:
        """What :func:`vgg_mm.datasets.transforms.resampling.rescale_crop` makes of the image.

        Decoded at 1/2, 1/4 or 1/8 of the size where it is to be reduced; at full size, only the
        region is, if nvImageCodec is there and it is cheaper, which does not change pixels.

        Raises:
            CannotDecode: if the file turns out to be broken.
        """
        reduction, rows, columns = plan(self.shape, size, corner, crop)
        return resample(self._decode_region(reduction, rows, columns), rows, columns)

    def _decode_region(self, reduction: int, rows: Axis, columns: Axis) -> np.ndarray:
        height, width = (axis.region.stop - axis.region.start for axis in (rows, columns))
        spared = self._header.width * self._header.height - width * height
        if reduction == 1 and spared >= WORTHWHILE and self._may_stop_early():
            region = decode_region(self._content, rows.region, columns.region)
            if region is not None:
                return region
        by_blocks = min(reduction, max(READ_REDUCED))
        return reduced(self._decode(by_blocks), reduction // by_blocks, rows, columns)

    def _may_stop_early(self) -> bool:
        """Whether no error can be overlooked below the region."""
        header = self._header
        return header.single_scan and is_unbroken_scan(self._content, header.scan)

    def _decode(self, reduction: int) -> np.ndarray:
        """The image at 1/reduction of the size, rounded up; once for several test scales."""
        if reduction in self._decoded:
            return self._decoded[reduction]
        expected = (*(-(-side // reduction) for side in self.shape[:2]), 3)
        try:
            pixels = cv2.imdecode(np.frombuffer(self._content, np.uint8), READ_REDUCED[reduction])
        except cv2.error as error:
            raise CannotDecode(f'cannot decode image {self._path}') from error
        if pixels is None or pixels.shape != expected:
            raise CannotDecode(f'cannot decode image {self._path}')
        self._decoded = {reduction: pixels}
        return pixels

    def apply(self, step: Callable[[dict], Optional[dict]], results: dict) -> Optional[dict]:
        """``step(results)``; if this file is broken, as if that had been seen on loading it.

        So errors are the loader's and, if the run continues, so are the random draws.
        """
        goes_on = self._loader.goes_on
        state: Any = np.random.get_state() if goes_on else None
        try:
            done = step(results)
        except CannotDecode:
            if goes_on:
                np.random.set_state(state)
            results['img_bytes'] = self._content
            loaded = self._loader.load(results, lazy=False)
            return None if loaded is None else step(loaded)
        self._loader.skipped_in_a_row = 0
        return done
