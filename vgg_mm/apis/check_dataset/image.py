"""What is to be known of one image file: it runs in processes of its own."""

import hashlib
import io
import logging
import os
import signal
import tempfile
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
from PIL import Image

from vgg_mm.datasets import LoadImage
from vgg_mm.datasets.transforms.loading import LOAD_REMARK

#: Extensions that belong to a format, by Pillow's names, among those that training takes.
FORMAT_EXTENSIONS = {
    'JPEG': ('.jpg', '.jpeg'),
    'MPO': ('.jpg', '.jpeg'),
    'PNG': ('.png',),
    'PPM': ('.ppm', '.pgm'),
    'BMP': ('.bmp',),
    'TIFF': ('.tif',),
}

#: Pillow's modes in words; one that is missing here stands for itself.
MODES = {
    '': 'unknown',
    'RGB': 'RGB',
    'YCbCr': 'RGB',
    'L': 'grey',
    '1': 'grey',
    'LA': 'grey + alpha',
    'RGBA': 'RGB + alpha',
    'P': 'palette',
    'PA': 'palette',
    'CMYK': 'CMYK',
    'F': 'float',
}
SIXTEEN_BIT = '16 bit'

ORIENTATION = 0x0112

STDERR = 2


class Facts(NamedTuple):
    """One image; ``height`` and ``width`` as training sees it, 0 with the ``reason`` if it cannot.

    ``format`` is Pillow's name, '' if unknown, ``mode`` one of ``MODES``'s words, ``rotated``
    whether the EXIF orientation is not upright, ``digest`` a hash of the file's bytes, ``reason``
    training's error without the path, ``remark`` what a file lacks that training uses all the same,
    and ``warning`` what the decoder wrote to standard error.
    """

    height: int = 0
    width: int = 0
    format: str = ''
    mode: str = ''
    rotated: bool = False
    digest: bytes = bytes(16)
    reason: str = ''
    remark: str = ''
    warning: str = ''


def start_worker() -> None:
    """Make a process one that reads images: quiet, single-threaded, its end left to its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(0)
    warnings.simplefilter('ignore')
    logging.disable(logging.WARNING)
    Image.MAX_IMAGE_PIXELS = None
    # Decoders written in C warn there: the text is to be told with the file's name.
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), STDERR)


def read_images(paths: Sequence[str]) -> list[Facts]:
    """Facts of images, in a process made by ``start_worker``."""
    return [_read(path) for path in paths]


def _read(path: str) -> Facts:
    try:
        loaded: Any = LoadImage().transform(dict(img_path=path))
        (height, width), remark = loaded['img_shape'], loaded.get(LOAD_REMARK, '')
        warning = _written_to_stderr()
        with open(path, 'rb') as file:
            content = file.read()
    except Exception as error:
        # Whatever it is, training would meet it, too.
        _written_to_stderr()
        reason = ' '.join(str(error).replace(f' {path}', '').split()).rstrip(':')
        return Facts(reason=reason or type(error).__name__)
    digest = hashlib.blake2b(content, digest_size=16).digest()
    if remark:
        warning = ''  # of the attempts to decode it
    return Facts(height, width, *_header(content), digest, remark=remark, warning=warning)


def _written_to_stderr() -> str:
    """What was written there since the last call, as one line."""
    size = os.lseek(STDERR, 0, os.SEEK_END)
    if not size:
        return ''
    text = os.pread(STDERR, size, 0).decode(errors='replace')
    os.ftruncate(STDERR, 0)
    os.lseek(STDERR, 0, os.SEEK_SET)
    return ' '.join(text.split())


def _header(content: bytes) -> tuple[str, str, bool]:
    """Format, mode and whether EXIF says that it lies on its side, without decoding."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            mode = MODES.get(image.mode, image.mode)
            # Pillow calls 16-bit colour RGB, too; how it would unpack the pixels tells.
            if image.mode.startswith('I') or any(';16' in str(tile) for tile in image.tile):
                mode = SIXTEEN_BIT
            # Asked for EXIF that is not in its header, Pillow would decode a PNG.
            has_exif = 'exif' in image.info or image.format == 'TIFF'
            orientation = image.getexif().get(ORIENTATION, 1) if has_exif else 1
            return image.format, mode, orientation in range(2, 9)
    except Exception:
        # Pillow reads fewer variants than OpenCV, and fails in many ways on damaged EXIF.
        return '', MODES[''], False


def has_wrong_extension(path: str, format: str) -> bool:
    """Whether the content is of another format than the extension says."""
    extension = os.path.splitext(path)[1].lower()
    return bool(format) and extension not in FORMAT_EXTENSIONS.get(format, ())
