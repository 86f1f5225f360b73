"""Image loading whose errors name the file."""

import logging
import os
import re
from http.client import HTTPException
from typing import Any, Optional, Union

import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine import fileio
from mmengine.logging import print_log

from vgg_mm.installation import command
from vgg_mm.registry import TRANSFORMS
from vgg_mm.text import check_positive

from .decoding import decode, decode_alpha, with_channels
from .jpeg_header import END, read_plain_header
from .lazy_image import LazyImage
from .region_decoder import announce

#: Key of the reason why an image could not be read, where loading continues.
LOAD_ERROR = 'load_error'

#: Key of what is missing in an image that is used anyway.
LOAD_REMARK = 'load_remark'

#: Maximum number of these that a process names.
MAX_NAMED = 10

#: Key of the (height, width) that an annotation with boxes claims of its image.
ANNOTATED_SHAPE = 'annotated_shape'

#: Numbers of channels: grey, colours, colours and opacity.
CHANNELS = (1, 3, 4)

ON_ERROR = RAISE, MARK, SKIP = 'raise', 'mark', 'skip'

#: Maximum number of consecutively skipped images: beyond it, the cause is not single images. Less
#: than BaseDataset's ``max_refetch``, whose error has no reason.
MAX_SKIPPED_IN_A_ROW = 100

#: The default limit of pixels, and the most that are decoded lazily: OpenCV has limits, too.
MAX_PIXELS = 2**28


class UnreadableImage(ValueError):
    """An image file is empty, damaged, too large, or not the one of its annotation."""


@TRANSFORMS.register_module()
class LoadImage(LoadImageFromFile):
    """mmcv's ``LoadImageFromFile``: the same pixels, or an error of one line with the path.

    Pixels are those of ``PIL.ImageOps.exif_transpose(image).convert('RGB')`` as BGR, up to 1 for
    CMYK, with these conventions: an orientation in XMP alone is not followed; transparency is
    dropped, the colours below it are kept; PGM and PPM files of another maximum than 255 are
    scaled, of 16 bits the high byte is used (in TIFF, colours are rounded); of animations the first
    image. The content decides, not the file's extension. Truncated files are refused, also JPEG
    files, of which some versions of OpenCV make images whose lower part is grey without complaint.
    Files that lack only their last bytes are used: PNG files with all pixels, and JPEG files that
    lack part of the last 18 rows (and of the last tenth) at most. The log names them and counts
    them, and ``vgg-mm check`` lists them.

    With ``in_channels=1`` colours become grey, 0.299 R + 0.587 G + 0.114 B, (H, W); with 4 there is
    the opacity after B, G and R, 255 where a file has none.

    Required key: ``img_path``. Optional: ``img_bytes``, the file's content, which is removed;
    ``img_path`` then names it in errors; ``annotated_shape``, (H, W), or ``height`` and ``width``,
    which the image has to have, since its boxes refer to that. Added: ``img``, (H, W, 3) BGR
    uint8, ``img_shape`` and ``ori_shape``, (H, W); ``load_remark``, a description of what a file
    lacks.

    With ``lazy``, plain JPEG files (8 bits, grey or YCbCr, upright) are decoded by the next step,
    ``ScaleJitter``, ``CentralCrop`` or ``TestScales``, as far as it needs: at 1/2, 1/4 or 1/8 of
    the size, which JPEG's blocks give directly, if that is not below the rescaled size; or at full
    size just the crop's region, if nvImageCodec is installed, which does not change pixels. Other
    files are loaded at once. Draws, keys and errors are those of ``lazy=False``, pixels differ by
    less than half a grey level in the mean of photos.

    Args:
        on_error: 'raise'; 'mark': an image that cannot be read becomes a black one, with the
            reason under the key ``load_error``, by which the metrics count it as an error; or
            'skip', for training: the data set draws another image instead, and
            :class:`vgg_mm.SkippedImagesHook` counts it.
        max_pixels: Images of more pixels are an error before they are decoded. It is for
            small files that expand without limit; the default is a photo of 16384 x 16384.
        skipped_file: Where 'skip' appends its lines. The hook gives one; only workers that start
            before training does, those of iteration-based loops, need it here.
        lazy: Leave decoding to the next step, which has to be one of those three; images that are
            not of 3 channels are loaded at once.
        in_channels: 3; 1 for grey images, 4 for the opacity (alpha) as well.
        ignore_empty: As in ``LoadImageFromFile``: None for an image that cannot be read, for
            which the data set draws another in training. Each is a warning in the log.
        kwargs: As in ``LoadImageFromFile``.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if ``lazy`` is to give other pixels than OpenCV's in uint8 colours,
            ``in_channels`` is none of these, or not of colours,
            ``ignore_empty`` and ``on_error`` contradict each other, or ``skipped_file`` is given
            where no image is skipped; if the file is empty,
            truncated, too large, not an image or not of the annotated shape; if 100 images in a
            row were skipped, or one without a hook that counts.
    """

    def __init__(
        self,
        on_error: str = RAISE,
        max_pixels: int = MAX_PIXELS,
        skipped_file: Optional[str] = None,
        lazy: bool = False,
        ignore_empty: bool = False,
        in_channels: int = 3,
        **kwargs: Any,
    ):
        super().__init__(ignore_empty=ignore_empty, **kwargs)
        if in_channels not in CHANNELS:
            raise ValueError(f'LoadImage: in_channels must be 1, 3 or 4, got {in_channels!r}')
        if in_channels != 3 and self.color_type != 'color':
            raise ValueError(
                f"LoadImage: in_channels={in_channels} is for color_type='color', got "
                f'{self.color_type!r}'
            )
        if on_error not in ON_ERROR:
            raise ValueError(
                f"LoadImage: on_error must be 'raise', 'mark' or 'skip', got {on_error!r}"
            )
        if ignore_empty and on_error != RAISE:
            raise ValueError(
                f'LoadImage: ignore_empty=True leaves out images that cannot be read, '
                f'on_error={on_error!r} does not: set one of them'
            )
        check_positive('LoadImage', max_pixels=max_pixels)
        if skipped_file is not None and on_error != SKIP:
            raise ValueError(
                f"LoadImage: skipped_file is for on_error='skip', got on_error={on_error!r}"
            )
        self.on_error = on_error
        self.max_pixels = max_pixels
        self.skipped_file = skipped_file
        self.in_channels = in_channels
        self.lazy = lazy and in_channels == 3
        self.skipped_in_a_row = 0
        self._incomplete: set[str] = set()
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
            # MMPretrain's inferencers have read the image themselves.
            img = results['img']
            if self.in_channels != 3 and img.ndim == 3 and img.shape[2] == 3:
                results['img'] = with_channels(img, self.in_channels)
            return results
        return self.load(results, self.lazy)

    @property
    def goes_on(self) -> bool:
        """Whether an image that cannot be read is no error."""
        return self.ignore_empty or self.on_error != RAISE

    def load(self, results: dict, lazy: bool) -> Optional[dict]:
        """:meth:`transform`, decoding at once or not."""
        try:
            img = self._read(results, lazy)
        except (OSError, ValueError) as error:
            if not self.goes_on:
                if isinstance(error, ValueError):
                    raise UnreadableImage(str(error)) from error
                raise
            if self.ignore_empty:
                print_log(f'left out: {error}', 'current', logging.WARNING)
                return None
            if self.on_error == SKIP:
                self._skip(results['img_path'], str(error))
                return None
            results[LOAD_ERROR] = str(error)
            grey = self.color_type.startswith('grayscale')
            channels = 1 if grey else self.in_channels
            img = with_channels(np.zeros((1, 1, 3), np.uint8), channels)
        if not isinstance(img, LazyImage):
            self.skipped_in_a_row = 0
            if self.to_float32:
                img = img.astype(np.float32)
        results['img'] = img
        results['img_shape'] = results['ori_shape'] = img.shape[:2]
        return results

    def _read(self, results: dict, lazy: bool) -> Union[np.ndarray, LazyImage]:
        path = results['img_path']
        content = results.pop('img_bytes') if 'img_bytes' in results else self._fetch(path)
        img: Union[np.ndarray, LazyImage, None] = self._undecoded(content, path) if lazy else None
        if img is None:
            img, remark = decode(
                content, path, self.color_type, self.imdecode_backend, self.max_pixels
            )
            if remark:
                results[LOAD_REMARK] = remark
                self._note_incomplete(path, remark)
            if self.in_channels != 3:
                alpha = decode_alpha(content, path) if self.in_channels == 4 else None
                img = with_channels(img, self.in_channels, alpha)
        check_shape(img, results)
        return img

    def _fetch(self, path: str) -> bytes:
        try:
            if self.file_client_args is not None:
                return fileio.FileClient.infer_client(self.file_client_args, path).get(path)
            return fileio.get(path, backend_args=self.backend_args)
        except FileNotFoundError:
            raise FileNotFoundError(f'image not found: {path}') from None
        except HTTPException as error:  # no OSError, as other failures of a server are
            raise OSError(f'{path}: {type(error).__name__}: {error}') from error

    def _note_incomplete(self, path: str, remark: str) -> None:
        """Log the image, once per process, and count it."""
        if path in self._incomplete or len(self._incomplete) > MAX_NAMED:
            return
        self._incomplete.add(path)
        number = len(self._incomplete)
        print_log(
            f'damaged image file {number}, used anyway: {path}: {remark}'
            if number <= MAX_NAMED
            else f'more than {MAX_NAMED} damaged image files, used anyway; '
            f'{command("check")} lists them',
            'current',
            logging.WARNING,
        )

    def _undecoded(self, content: bytes, path: str) -> Optional[LazyImage]:
        """The image, if it is one that can wait and its header shows no error."""
        header = read_plain_header(content)
        if header is None or header.width * header.height > min(self.max_pixels, MAX_PIXELS):
            return None
        if content.rfind(END, header.scan) < 0:
            return None
        return LazyImage(content, header, path, self)

    def _skip(self, path: str, reason: str) -> None:
        """Note the image; None makes mmengine's ``BaseDataset`` draw another one in training."""
        if self.skipped_file is None:
            raise ValueError(
                f"{reason}; LoadImage(on_error='skip') works only in training and needs "
                "dict(type='vgg_mm.SkippedImagesHook') in custom_hooks (by iterations with "
                'workers also LoadImage(skipped_file=FILE))'
            )
        append_line(self.skipped_file, os.fspath(path), reason)
        self.skipped_in_a_row += 1
        if self.skipped_in_a_row >= MAX_SKIPPED_IN_A_ROW:
            raise ValueError(
                f'{MAX_SKIPPED_IN_A_ROW} images in a row cannot be read, the last: {reason}'
            )


def check_shape(img: Union[np.ndarray, LazyImage], results: dict) -> None:
    """Compare an image with the size in its annotation, if given.

    Raises:
        ValueError: in one line, if it is of another size.
    """
    annotated = results.get(ANNOTATED_SHAPE)
    if annotated is None and 'height' in results and 'width' in results:  # MMDetection's names
        annotated = results['height'], results['width']
    if annotated is not None and tuple(annotated) != img.shape[:2]:
        (height, width), (said_height, said_width) = img.shape[:2], annotated
        turned = (
            ', or for this one before it was turned as its EXIF orientation says (then read it '
            "with color_type='color_ignore_orientation')"
        )
        raise ValueError(
            f'{results["img_path"]} is {width}x{height}, its annotation says '
            f'{said_width}x{said_height}: its boxes are meant for another image'
            + (turned if (said_height, said_width) == (width, height) else '')
        )


def append_line(file: str, *columns: str) -> None:
    """Append a line of tab-separated columns; it stays whole when several processes do so."""
    line = '\t'.join(re.sub(r'[\t\r\n]', ' ', column) for column in columns) + '\n'
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(descriptor, os.fsencode(line))
    finally:
        os.close(descriptor)
