"""Image files that lack their last bytes, and how much of the picture that costs."""

import zlib
from typing import Any, Optional

import cv2
import numpy as np

from .jpeg_header import MARKER
from .jpeg_header import START as JPEG_START
from .region_decoder import silent_stderr

JPEG_END = b'\xff\xd9'
PNG_START = b'\x89PNG\r\n\x1a\n'
PNG_IMAGE, PNG_END = b'IDAT', b'IEND'

#: Second bytes of JPEG markers: frame headers, the start of a scan, those without a length.
FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
SCAN, RESTARTS = 0xDA, range(0xD0, 0xD8)
ALONE = {0x00, 0x01, *range(0xD0, 0xDA)}

#: A JPEG file may lack the last row of blocks, 16 pixels and two that interpolated colours reach,
#: and a tenth of the height at most.
MOST_ROWS, MOST_OF_HEIGHT = 18, 0.1

#: Beginnings of coded data, each with three other bits; without any, a decoder takes zeros.
OTHER_BYTES = b'\x36\x5a\x6d\x92\xa5\xdb\xee'

#: So many bytes before its end a file is still picture, unless something else took that's place.
LAST = 64


def read_jpeg_header(content: bytes) -> tuple[int, int, bool]:
    """(width, height, whole): the size that a JPEG file declares, and whether it has an end.

    OpenCV decodes truncated files to images whose lower part is grey, or not at all, depending on
    its version. An end marker counts after the start of the first scan: what comes before may hold
    thumbnails with theirs. What follows the image may be anything.
    """
    place, width, height = len(JPEG_START), 0, 0
    while 0 <= (place := content.find(b'\xff', place)) < len(content) - 1:
        marker = content[place + 1]
        if marker == SCAN:
            return width, height, content.rfind(JPEG_END, place) >= 0
        if marker in FRAMES:
            height = int.from_bytes(content[place + 5 : place + 7], 'big')
            width = int.from_bytes(content[place + 7 : place + 9], 'big')
        if marker == 0xFF:  # any number of these may come before a marker
            place += 1
        elif marker in ALONE:
            place += 2
        else:
            place += 2 + int.from_bytes(content[place + 2 : place + 4], 'big')
    return width, height, True  # nothing of an image: the decoder says so


def complete_jpeg(content: bytes) -> Optional[tuple[bytes, int]]:
    """A JPEG file without an end marker as one that decodes, and how many rows lack pixels.

    Nobody says how far a decoder came. So other data are put after the file's end: rows that they
    change are rows that the file does not hold.

    Returns:
        The file with an end marker, and the number of last rows, from 0, that are grey in part;
        None if there are more than ``MOST_ROWS`` or a tenth of the height, a scan is missing, or
        the file ends in something that is no picture.
    """
    if not _has_all_scans(content):
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
    return body + JPEG_END, rows


def _decode(body: bytes) -> Any:
    """(H, W, 3), or None if it cannot be decoded."""
    content = np.frombuffer(body + JPEG_END, np.uint8)
    return cv2.imdecode(content, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)


def _with_other_data(body: bytes, byte: int) -> bytes:
    """The file, going on from wherever it was cut, also from the end of a restart interval."""
    data = bytes([byte]) * 32
    last = max(body.rfind(bytes([0xFF, marker])) for marker in RESTARTS)
    next_one = body[last + 1] + 1 if last >= 0 else 0
    restarts = (bytes([0xFF, RESTARTS[(next_one + n) % 8]]) for n in range(8))
    return body + data + b''.join(restart + data for restart in restarts)


def _has_all_scans(content: bytes) -> bool:
    """Whether the scans that were begun bring every coefficient of every component to its last bit.

    Source: ITU-T T.81, Sections B.2.3 (the header of a scan) and G.1 (progressive files).
    """
    missing: dict[int, np.ndarray] = {}
    place = len(JPEG_START)
    while match := MARKER.search(content, place):
        place, marker = match.start(), match[0][1]
        if marker in ALONE:
            place += 2
            continue
        segment = content[
            place + 4 : place + 2 + int.from_bytes(content[place + 2 : place + 4], 'big')
        ]
        if marker in FRAMES:
            missing = {component: np.ones(64, bool) for component in segment[6::3]}
        elif marker == SCAN and segment and len(segment) == 4 + 2 * segment[0]:
            first, last, bits = segment[-3:]
            for component in segment[1:-3:2]:
                if component in missing:
                    missing[component][first : last + 1] = bits & 0x0F
        place += 4 + len(segment)
    return bool(missing) and not any(left.any() for left in missing.values())


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
