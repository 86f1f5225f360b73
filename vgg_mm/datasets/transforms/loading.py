"""Image loading whose errors name the file."""

import os
import re
from typing import Any, Optional, Union

import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine import fileio

from vgg_mm.registry import TRANSFORMS

from .decoding import JPEG_END, decode
from .jpeg_header import read_plain_header
from .lazy_image import LazyImage
from .region_decoder import announce

#: Key of the reason why an image could not be read, where loading goes on all the same.
LOAD_ERROR = 'load_error'

#: Key of the (height, width) that an annotation with boxes claims of its image.
ANNOTATED_SHAPE = 'annotated_shape'

ON_ERROR = RAISE, MARK, SKIP = 'raise', 'mark', 'skip'

#: So many images skipped one after the other, and it is not the images that are broken. Less than
#: BaseDataset's ``max_refetch``, whose error does not say why.
MAX_SKIPPED_IN_A_ROW = 100

#: The default limit of pixels, and the most that are decoded lazily: OpenCV has limits, too.
MAX_PIXELS = 2**28


@TRANSFORMS.register_module()
class LoadImage(LoadImageFromFile):
    """mmcv's ``LoadImageFromFile``: the same pixels, or one clear line with the path.

    Pixels are those of ``PIL.ImageOps.exif_transpose(image).convert('RGB')`` as BGR, up to 1 for
    CMYK, with these conventions: transparency is dropped, the colours below it count, whatever they
    are; of 16 bits the high byte counts (in TIFF, colours are rounded); of animations the first
    image. The content decides, not the file's extension. Truncated JPEG files are refused, which
    OpenCV decodes without complaint to images whose lower part is grey.

    Required key: ``img_path``. Optional: ``img_bytes``, the file's content, which is removed;
    ``img_path`` then names it in errors; ``annotated_shape``, the (height, width) that the image
    has to have, because its boxes are meant for that. Added: ``img``, (H, W, 3) BGR uint8,
    ``img_shape`` and ``ori_shape``, (H, W).

    With ``lazy``, plain JPEG files (8 bits, grey or YCbCr, upright) are decoded by the next step,
    ``ScaleJitter`` or ``CentralCrop``, as far as their crop needs it: at 1/2, 1/4 or 1/8 of the
    size, which JPEG's blocks give directly, if that is not below the rescaled size; or at full size
    just the crop's region, if nvImageCodec is installed, which does not change pixels. Other files
    are loaded at once. Draws, keys and errors are those of ``lazy=False``. Pixels differ by less
    than a grey level in the mean at full size; reduced ones are smoother, nearer to PIL's.

    Args:
        on_error: 'raise'; 'mark': an image that cannot be read becomes a black one, with the
            reason under the key ``load_error``, by which the metrics count it as an error; or
            'skip', for training: the data set draws another image in its place, and
            :class:`vgg_mm.SkippedImagesHook` counts.
        max_pixels: Images of more pixels are an error before they are decoded. It is meant for
            files that are small and expand without end; the default is a photo of 16384 x 16384.
        skipped_file: Where 'skip' appends its lines. The hook gives one; only workers that start
            before training does, those of iteration-based loops, need it here.
        lazy: Leave decoding to the next step, which has to be ``ScaleJitter`` or ``CentralCrop``.
        kwargs: As in ``LoadImageFromFile``.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if ``lazy`` is to give other pixels than OpenCV's in uint8 colours;
            if the file is empty, truncated, too large, not an image or not of the annotated
            shape; if 100 images in a row were skipped, or one was where nobody counts.
    """

    def __init__(
        self,
        on_error: str = RAISE,
        max_pixels: int = MAX_PIXELS,
        skipped_file: Optional[str] = None,
        lazy: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if on_error not in ON_ERROR:
            raise ValueError(
                f"LoadImage: on_error must be 'raise', 'mark' or 'skip', got {on_error!r}"
            )
        if not isinstance(max_pixels, int) or max_pixels < 1:
            raise ValueError(f'LoadImage: max_pixels must be a positive integer, got {max_pixels}')
        self.on_error = on_error
        self.max_pixels = max_pixels
        self.skipped_file = skipped_file
        self.lazy = lazy
        self._skipped_in_a_row = 0
        if lazy:
            if (self.color_type, self.imdecode_backend, self.to_float32) != ('color', 'cv2', False):
                raise ValueError(
                    "LoadImage: lazy=True is for color_type='color', imdecode_backend='cv2' and "
                    f'to_float32=False, got {self.color_type!r}, {self.imdecode_backend!r} and '
                    f'{self.to_float32}'
                )
            announce()

    def transform(self, results: dict) -> Optional[dict]:
        if 'img' in results and 'img_path' not in results:
            return results  # MMPretrain's inferencers have read the image themselves
        return self._load(results, self.lazy)

    def load_at_once(self, results: dict) -> Optional[dict]:
        """:meth:`transform` without laziness."""
        return self._load(results, lazy=False)

    def note_good_image(self) -> None:
        """An image was decoded: it ends a row of skipped ones."""
        self._skipped_in_a_row = 0

    def _load(self, results: dict, lazy: bool) -> Optional[dict]:
        try:
            img = self._read(results, lazy)
        except (OSError, ValueError) as error:
            if self.on_error == RAISE:
                raise
            if self.on_error == SKIP:
                self._skip(results['img_path'], str(error))
                return None
            results[LOAD_ERROR] = str(error)
            img = np.zeros((1, 1, 3), np.uint8)
        if not isinstance(img, LazyImage):
            self.note_good_image()
            if self.to_float32:
                img = img.astype(np.float32)
        results['img'] = img
        results['img_shape'] = results['ori_shape'] = img.shape[:2]
        return results

    def _read(self, results: dict, lazy: bool) -> Union[np.ndarray, LazyImage]:
        path = results['img_path']
        if 'img_bytes' in results:
            content = results.pop('img_bytes')
        else:
            try:
                content = fileio.get(path, backend_args=self.backend_args)
            except FileNotFoundError:
                raise FileNotFoundError(f'image not found: {path}') from None
        img: Union[np.ndarray, LazyImage, None] = self._undecoded(content, path) if lazy else None
        if img is None:
            img = decode(content, path, self.color_type, self.imdecode_backend, self.max_pixels)
        _check_shape(img, results)
        return img

    def _undecoded(self, content: bytes, path: str) -> Optional[LazyImage]:
        """The image, if it is one that can wait and its header shows no error."""
        header = read_plain_header(content)
        if header is None or header.width * header.height > min(self.max_pixels, MAX_PIXELS):
            return None
        if content.rfind(JPEG_END, header.scan) < 0:
            return None
        return LazyImage(content, header, path, self)

    def _skip(self, path: str, reason: str) -> None:
        """Note the image; None makes mmengine's ``BaseDataset`` draw another one in training."""
        if self.skipped_file is None:
            raise ValueError(
                f"{reason}; LoadImage(on_error='skip') goes on in training only, with "
                "dict(type='vgg_mm.SkippedImagesHook') in custom_hooks (by iterations with "
                'workers: with LoadImage(skipped_file=FILE), too)'
            )
        append_line(self.skipped_file, path, reason)
        self._skipped_in_a_row += 1
        if self._skipped_in_a_row >= MAX_SKIPPED_IN_A_ROW:
            raise ValueError(
                f'{MAX_SKIPPED_IN_A_ROW} images in a row cannot be read, at last: {reason}'
            )


def _check_shape(img: Union[np.ndarray, LazyImage], results: dict) -> None:
    """Compare an image with what its annotation says of it, if it does."""
    annotated = results.get(ANNOTATED_SHAPE)
    if annotated is not None and tuple(annotated) != img.shape[:2]:
        (height, width), (said_height, said_width) = img.shape[:2], annotated
        raise ValueError(
            f'{results["img_path"]} is {width}x{height}, its annotation says '
            f'{said_width}x{said_height}: its boxes are meant for another image (or for this one '
            'before it was turned as its EXIF orientation says)'
        )


def append_line(file: str, *columns: str) -> None:
    """Append a line of tab-separated columns; it stays whole when several processes do so."""
    line = '\t'.join(re.sub(r'[\t\r\n]', ' ', column) for column in columns) + '\n'
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(descriptor, os.fsencode(line))
    finally:
        os.close(descriptor)
