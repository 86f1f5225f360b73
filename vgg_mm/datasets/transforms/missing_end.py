"""Image files that lack their last bytes, and how much of the picture that costs."""

import zlib
from typing import Any, Optional

import cv2
import numpy as np

from .jpeg_header import END, RESTARTS, has_all_scans
from .region_decoder import silent_stderr

PNG_START = b'\x89PNG\r\n\x1a\n'
PNG_IMAGE, PNG_END = b'IDAT', b'IEND'

#: A JPEG file may lack the last row of blocks, 16 pixels and two that interpolated colours reach,
#: and a tenth of the height at most.
MOST_ROWS, MOST_OF_HEIGHT = 18, 0.1

#: Beginnings of coded data, each with three other bits; without any, a decoder takes zeros.
OTHER_BYTES = b'\x36\x5a\x6d\x92\xa5\xdb\xee'

#: So many bytes before its end a file is still picture, unless something else took that's place.
LAST = 64


def complete_jpeg(content: bytes) -> Optional[tuple[bytes, int]]:
    """A JPEG file without an end marker as one that decodes, and how many rows lack pixels.

    Nobody says how far a decoder came. So other data are put after the file's end: rows that they
    change are rows that the file does not hold.

    Returns:
        The file with an end marker, and the number of last rows, from 0, that are grey in part;
        None if there are more than ``MOST_ROWS`` or a tenth of the height, a scan is missing, or
        the file ends in something that is no picture.
    """
    if not has_all_scans(content):
        return None
    body = content.rstrip(b'\xff')
    with silent_stderr():  # of the decoder, to which all of these are damaged
        as_it_is = _decode(body)
        if as_it_is is None or np.array_equal(as_it_is, _decode(body[:-LAST])):
            return None
        height = len(as_it_is)
        differs = np.zeros(height, bool)
        for byte in OTHER_BYTES:
            other = _decode(_with_other_data(body, byte))
            if other is None:
                return None
            differs |= (as_it_is != other).any(axis=(1, 2))
    rows = height - int(differs.argmax()) if differs.any() else 0
    if rows > min(MOST_ROWS, MOST_OF_HEIGHT * height):
        return None
    return body + END, rows


def _decode(body: bytes) -> Any:
    """(H, W, 3), or None if it cannot be decoded."""
    content = np.frombuffer(body + END, np.uint8)
    return cv2.imdecode(content, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)


def _with_other_data(body: bytes, byte: int) -> bytes:
    """The file, going on from wherever it was cut, also from the end of a restart interval."""
    data = bytes([byte]) * 32
    last = max(body.rfind(bytes([0xFF, marker])) for marker in RESTARTS)
    next_one = body[last + 1] + 1 if last >= 0 else 0
    restarts = (bytes([0xFF, RESTARTS[(next_one + n) % 8]]) for n in range(8))
    return body + data + b''.join(restart + data for restart in restarts)


def complete_png(content: bytes) -> Optional[bytes]:
    """A PNG file that ends too early as one that ends well, if no pixel is missing.

    Whether that is so the decoder finds out; None for a file that has its end.
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
