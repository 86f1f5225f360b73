"""From the bytes of an image file to pixels, where OpenCV alone goes wrong or too far.

Files that lack only a few of their last bytes are decoded, too.
"""

import functools
import io
import os
import threading
import zlib
from typing import Any, BinaryIO, Optional

import cv2
import mmcv
import numpy as np
from mmcv.image.io import imread_flags
from PIL import Image

from .jpeg_header import END as JPEG_END
from .jpeg_header import ORIENTATION, RESTARTS, declared_size, has_all_scans
from .jpeg_header import START as JPEG_START
from .region_decoder import silent_stderr

#: Formats whose headers are read. Not those of PIL that call other programs, such as EPS.
FORMATS = ('AVIF', 'BMP', 'GIF', 'JPEG', 'JPEG2000', 'PNG', 'PPM', 'SUN', 'TIFF', 'WEBP')

PNG_START = b'\x89PNG\r\n\x1a\n'
PNG_IMAGE, PNG_END = b'IDAT', b'IEND'

#: A JPEG file may lack the last row of blocks, 16 pixels and two that interpolated colours reach,
#: and a tenth of the height at most.
MAX_ROWS, MAX_SHARE_OF_HEIGHT = 18, 0.1

#: Coded data, no byte of which begins a marker; a decoder takes zeros where a file ends. Random
#: bytes: of repeated ones, blocks may look as they do of zeros (36 of 4,774 cut files misjudged by
#: seven strings of a repeated byte, none by these four).
OTHER_DATA = tuple(
    np.random.default_rng(seed).integers(0, 0xFF, 64, np.uint8).tobytes() for seed in range(4)
)

#: Beginnings of PFM files, grey and in colour.
PFM_STARTS = (b'Pf', b'PF')

#: What makes an image of each EXIF orientation but 1 upright; those from 5 on swap its sides.
TURNS = dict(
    enumerate(
        (
            Image.Transpose.FLIP_LEFT_RIGHT,
            Image.Transpose.ROTATE_180,
            Image.Transpose.FLIP_TOP_BOTTOM,
            Image.Transpose.TRANSPOSE,
            Image.Transpose.ROTATE_270,
            Image.Transpose.TRANSVERSE,
            Image.Transpose.ROTATE_90,
        ),
        start=2,
    )
)

#: Bytes before its end at which a file must still contain picture data.
LAST = 64

_limit_lock = threading.Lock()


def decode(
    content: bytes, path: str, color_type: str, backend: str, max_pixels: int
) -> tuple[np.ndarray, str]:
    """The pixels of an image file, and a description of what is missing at its end, if it is used
    anyway; arguments as in :class:`vgg_mm.LoadImage`.

    Raises:
        ValueError: in one line with ``path``, if the content is no whole image or too large.
    """
    if not content:
        raise ValueError(f'empty image file: {path}')
    if content.startswith(PFM_STARTS):
        raise ValueError(
            f'cannot decode image {path}: a PFM file contains floating-point numbers, whose black '
            'and white are not known; save it with 8 or 16 bits'
        )
    header, whole = None, True
    if content.startswith(JPEG_START):
        width, height, whole = declared_size(content)
    else:
        header = _open(io.BytesIO(content))
        width, height = header.size if header else (0, 0)
    if width * height > max_pixels:
        raise ValueError(
            f'image of {width}x{height} pixels, more than LoadImage(max_pixels={max_pixels}) '
            f'allows: {path}'
        )
    remark = ''
    if not whole:
        completed = complete_jpeg(content)
        if completed is None:
            raise ValueError(f'truncated JPEG file (no end marker): {path}')
        content, rows = completed
        remark = _remark(rows, height)
    img = _decode(content, path, color_type, backend, header)
    if img is None and content.startswith(PNG_START) and (png := complete_png(content)):
        img = _decode(png, path, color_type, backend, _open(io.BytesIO(png)))
        remark = _remark(0, height)
    if img is None and header:
        raise ValueError(
            f'cannot decode image {path}: {header.format} file of {width}x{height} pixels, '
            'truncated, damaged or of a kind that OpenCV does not read'
        )
    if img is None:
        raise ValueError(f'not an image, or of a format that cannot be read: {path}')
    return img, remark


def decode_alpha(content: bytes, path: str) -> Optional[np.ndarray]:
    """The opacity (alpha) of an image file, uint8 (H, W), upright; None if it has none.

    Raises:
        ValueError: in one line with ``path``, if it cannot be read.
    """
    header = _open(io.BytesIO(content))
    if header is None or not header.has_transparency_data:
        return None
    try:
        return np.array(turned_upright(header).convert('RGBA'))[..., 3]
    except Exception as error:
        reason = ' '.join(str(error).split())
        raise ValueError(f'cannot decode the opacity of image {path}: {reason}') from error


def with_channels(img: np.ndarray, channels: int, alpha: Optional[np.ndarray] = None) -> np.ndarray:
    """uint8 (H, W, 3) BGR with 1, 3 or 4 channels: grey (H, W), as it is, with its opacity."""
    if channels == 1:
        return cv2.cvtColor(img, cv2.COLOR_BGR2GRAY)
    if channels == 3:
        return img
    return np.dstack([img, np.full(img.shape[:2], 255, np.uint8) if alpha is None else alpha])


def _remark(rows: int, height: int) -> str:
    lost = f'pixels of the last {rows} of {height} rows' if rows else 'no pixel'
    return f'its last bytes are missing, and with them {lost}'


def _decode(
    content: bytes, path: str, color_type: str, backend: str, header: Optional[Image.Image]
) -> Optional[np.ndarray]:
    try:
        if header is None or backend != 'cv2':
            return mmcv.imfrombytes(content, flag=color_type, backend=backend)
        if color_type == 'color' and _opencv_misreads(header):
            return np.array(turned_upright(header).convert('RGB'))[..., ::-1].copy()
        if color_type != 'unchanged' and (white := _white(header)):
            flags = imread_flags[color_type] | cv2.IMREAD_ANYDEPTH
            img = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
            return None if img is None else np.rint(img * (255 / white)).clip(0, 255).astype('u1')
        return mmcv.imfrombytes(content, flag=color_type, backend=backend)
    except Exception as error:
        reason = ' '.join(str(error).split())
        if 'CV_IO_MAX' in reason:
            width, height = header.size if header else declared_size(content)[:2]
            reason = (
                f'{width}x{height} pixels are more than OpenCV allows; its limits are the '
                'environment variables CV_IO_MAX_IMAGE_PIXELS, _WIDTH and _HEIGHT'
            )
        raise ValueError(f'cannot decode image {path}: {reason}') from error


@functools.cache
def _formats() -> list[str]:
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def image_size(path: Optional[str]) -> tuple[int, int]:
    """(height, width) of an image as it is shown, from its header; (0, 0) if that fails."""
    if path is None or not os.path.isfile(path):
        return 0, 0
    try:
        with open(path, 'rb') as file:
            try:
                image: Any = Image.open(file)
            except Image.DecompressionBombError:
                image = _open(file)
            width, height = image.size
            turned = exif_orientation(image) in range(5, 9)
    except Exception:  # loading the file reports the error
        return 0, 0
    return (width, height) if turned else (height, width)


def exif_orientation(image: Image.Image) -> int:
    """1 (upright) to 8, from EXIF: as OpenCV has it, which does not follow XMP, as PIL does."""
    try:
        if image.format == 'TIFF':
            return image.getexif().get(ORIENTATION, 1)
        exif = Image.Exif()
        exif.load(image.info.get('exif', b''))
        return exif.get(ORIENTATION, 1)
    except Exception:  # damaged EXIF, which OpenCV ignores
        return 1


def turned_upright(image: Image.Image) -> Image.Image:
    """The image, decoded, as its EXIF orientation says."""
    image.load()
    turn = TURNS.get(exif_orientation(image))
    return image if turn is None else image.transpose(turn)


def _open(file: BinaryIO) -> Optional[Image.Image]:
    """The image with its header read, or None if PIL does not recognise it."""
    # PIL has a limit of its own, which is lower and warns at half of it.
    with _limit_lock:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(file, formats=_formats())
        except Exception:  # the decoder reports the error
            return None
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _opencv_misreads(header: Image.Image) -> bool:
    """Whether OpenCV 5 gives other pixels than PIL.

    It blackens what is transparent in TIFF, takes another colour there in GIF, does not rotate
    AVIF, and takes the second image of an animated PNG whose first is for viewers of still images.
    """
    if header.format == 'TIFF':
        return header.getbands()[-1] in ('A', 'a')
    return header.format in ('AVIF', 'GIF') or getattr(header, 'is_animated', False)


def _white(header: Any) -> Optional[int]:
    """The value of white in a PGM or PPM file that OpenCV does not scale to [0, 255], or None.

    It takes the high byte of 65535, and scales what is written as text if white is at most 255.
    """
    decoder, _, _, arguments = header.tile[0] if header.format == 'PPM' else ('', (), 0, '')
    white = arguments[1] if isinstance(arguments, tuple) else 0
    return white if white < 0xFFFF and (white > 255 or decoder == 'ppm') else None


def complete_jpeg(content: bytes) -> Optional[tuple[bytes, int]]:
    """A JPEG file without an end marker as one that decodes, and how many rows lack pixels.

    Decoders do not report how far they came. So different data are appended to the file: rows that
    depend on them are missing in the file.

    Returns:
        The file with an end marker, and the number of last rows, from 0, that are grey in part;
        None if there are more than ``MAX_ROWS`` or a tenth of the height, a scan is missing, or
        the file ends in something that is no picture.
    """
    if not has_all_scans(content):
        return None
    body = content.rstrip(b'\xff')
    with silent_stderr():  # of the decoder, to which all of these are damaged
        as_it_is = _decode_jpeg(body)
        if as_it_is is None or np.array_equal(as_it_is, _decode_jpeg(body[:-LAST])):
            return None
        height = len(as_it_is)
        differs = np.zeros(height, bool)
        for data in OTHER_DATA:
            other = _decode_jpeg(_with_other_data(body, data))
            if other is None:
                return None
            differs |= (as_it_is != other).any(axis=(1, 2))
    rows = height - int(differs.argmax()) if differs.any() else 0
    if rows > min(MAX_ROWS, MAX_SHARE_OF_HEIGHT * height):
        return None
    return body + JPEG_END, rows


def _decode_jpeg(body: bytes) -> Any:
    """(H, W, 3), or None if it cannot be decoded."""
    content = np.frombuffer(body + JPEG_END, np.uint8)
    return cv2.imdecode(content, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)


def _with_other_data(body: bytes, data: bytes) -> bytes:
    """The file, continued from where it was cut, also from the end of a restart interval."""
    last = max(body.rfind(bytes([0xFF, marker])) for marker in RESTARTS)
    next_one = body[last + 1] + 1 if last >= 0 else 0
    restarts = (bytes([0xFF, RESTARTS[(next_one + n) % 8]]) for n in range(8))
    return body + data + b''.join(restart + data for restart in restarts)


def complete_png(content: bytes) -> Optional[bytes]:
    """A PNG file that ends too early, completed if no pixel is missing.

    The decoder checks this; None for a file that has its end.
    """
    place, last = len(PNG_START), b''
    while place + 8 <= len(content):
        end = place + 12 + int.from_bytes(content[place : place + 4], 'big')
        if end > len(content):
            last = content[place + 4 : end - 4]
            break
        if content[place + 4 : place + 8] == PNG_END:
            return None
        place = end
    image = _chunk(last) if last.startswith(PNG_IMAGE) else b''
    return content[:place] + image + _chunk(PNG_END)


def _chunk(kind_and_data: bytes) -> bytes:
    length = (len(kind_and_data) - 4).to_bytes(4, 'big')
    return length + kind_and_data + zlib.crc32(kind_and_data).to_bytes(4, 'big')
