"""From the bytes of an image file to pixels, where OpenCV alone goes wrong or too far."""

import functools
import io
import threading
from typing import Optional

import mmcv
import numpy as np
from PIL import Image, ImageOps

#: Formats whose headers are read. Not those of PIL that call other programs, such as EPS.
FORMATS = ('AVIF', 'BMP', 'GIF', 'JPEG2000', 'PNG', 'PPM', 'SUN', 'TIFF', 'WEBP')

JPEG_START, JPEG_END = b'\xff\xd8', b'\xff\xd9'
#: Second bytes of JPEG markers: frame headers, the start of a scan, those without a length.
JPEG_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
JPEG_SCAN, JPEG_ALONE = 0xDA, {0x00, 0x01, *range(0xD0, 0xDA)}

_limit_lock = threading.Lock()


def decode(content: bytes, path: str, color_type: str, backend: str, max_pixels: int) -> np.ndarray:
    """Decode an image file, see :class:`vgg_mm.LoadImage`.

    Raises:
        ValueError: in one line with ``path``, if the content is no whole image or too large.
    """
    if not content:
        raise ValueError(f'empty image file: {path}')
    header = None
    if content.startswith(JPEG_START):
        width, height, whole = read_jpeg_header(content)
        if not whole:
            raise ValueError(f'truncated JPEG file (no end marker): {path}')
    else:
        header = _open(content)
        width, height = header.size if header else (0, 0)
    if width * height > max_pixels:
        raise ValueError(
            f'image of {width}x{height} pixels, more than LoadImage(max_pixels={max_pixels}) '
            f'takes: {path}'
        )
    try:
        if header and backend == 'cv2' and color_type == 'color' and _opencv_misreads(header):
            return np.array(ImageOps.exif_transpose(header).convert('RGB'))[..., ::-1].copy()
        img = mmcv.imfrombytes(content, flag=color_type, backend=backend)
    except Exception as error:
        reason = ' '.join(str(error).split())
        if 'CV_IO_MAX' in reason:
            reason = (
                f'{width}x{height} pixels are more than OpenCV takes; its limits are the '
                'environment variables CV_IO_MAX_IMAGE_PIXELS, _WIDTH and _HEIGHT'
            )
        raise ValueError(f'cannot decode image {path}: {reason}') from error
    if img is None and header:
        raise ValueError(
            f'cannot decode image {path}: {header.format} file of {width}x{height} pixels, '
            'truncated, damaged or of a kind that OpenCV does not read'
        )
    if img is None:
        raise ValueError(f'not an image, or of a format that cannot be read: {path}')
    return img


def read_jpeg_header(content: bytes) -> tuple[int, int, bool]:
    """(width, height, whole): the size that a JPEG file declares, and whether it has an end.

    OpenCV decodes truncated files without complaint to images whose lower part is grey. An end
    marker counts after the start of the first scan: what comes before may hold thumbnails with
    theirs. What follows the image may be anything.
    """
    place, width, height = len(JPEG_START), 0, 0
    while 0 <= (place := content.find(b'\xff', place)) < len(content) - 1:
        marker = content[place + 1]
        if marker == JPEG_SCAN:
            return width, height, content.rfind(JPEG_END, place) >= 0
        if marker in JPEG_FRAMES:
            height = int.from_bytes(content[place + 5 : place + 7], 'big')
            width = int.from_bytes(content[place + 7 : place + 9], 'big')
        if marker == 0xFF:  # any number of these may come before a marker
            place += 1
        elif marker in JPEG_ALONE:
            place += 2
        else:
            place += 2 + int.from_bytes(content[place + 2 : place + 4], 'big')
    return width, height, True  # nothing of an image: the decoder says so


@functools.cache
def _formats() -> list[str]:
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _open(content: bytes) -> Optional[Image.Image]:
    """The image with its header read, or None if PIL does not know it."""
    # PIL has a limit of its own, which is lower and warns at half of it.
    with _limit_lock:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(io.BytesIO(content), formats=_formats())
        except Exception:  # whatever is wrong with the file, the decoder says so
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
