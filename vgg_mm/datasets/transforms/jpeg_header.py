"""What the header of a JPEG file says, for those that can be decoded in part."""

import re
import struct
from typing import NamedTuple, Optional

START, EXIF, ADOBE = b'\xff\xd8', b'Exif\0\0', b'Adobe'

#: Second bytes of markers: frames (baseline and extended sequential, progressive; Huffman-coded),
#: tables, the start of a scan, comments, APP1, APP14, the end.
SEQUENTIAL, PROGRESSIVE = (0xC0, 0xC1), 0xC2
DHT, SOS, DQT, DRI, COM, APP1, APP14, EOI = 0xC4, 0xDA, 0xDB, 0xDD, 0xFE, 0xE1, 0xEE, 0xD9
SKIPPED = {DHT, DQT, DRI, COM, *range(0xE0, 0xF0)}

#: What a component may be called where colours are YCbCr beyond doubt.
COMPONENT_NAMES = (b'\1', b'\1\2\3', b'\0\1\2')

#: A marker in coded data: a byte 0xFF before 0 is data, before another one it fills, and markers
#: 0xD0 to 0xD7 are restarts.
MARKER = re.compile(rb'\xff[^\x00\xff\xd0-\xd7]')

#: TIFF's tag of the orientation, its type SHORT, and the value of an upright image.
ORIENTATION, SHORT, UPRIGHT = 0x0112, 3, 1


class JpegHeader(NamedTuple):
    """A plain JPEG file: 8 bits, grey or YCbCr, Huffman-coded, upright.

    Attributes:
        width, height: In pixels.
        components: 1 or 3.
        scan: Where the coded data of the first scan begin.
        single_scan: Whether that scan is meant to hold the whole image.
    """

    width: int
    height: int
    components: int
    scan: int
    single_scan: bool


def read_plain_header(content: bytes) -> Optional[JpegHeader]:
    """The header of a file that holds a plain JPEG, None for anything else, broken or not.

    Source: ITU-T T.81, Annex B; orientation: Exif 2.3, Section 4.6.4.
    """
    if not content.startswith(START):
        return None
    place, frame, upright = len(START), None, False
    while place + 4 <= len(content) and content[place] == 0xFF:
        marker, length = content[place + 1], int.from_bytes(content[place + 2 : place + 4], 'big')
        segment = content[place + 4 : place + 2 + length]
        place += 2 + length
        if length < 2 or place > len(content):
            return None
        if marker == SOS:
            return _with_scan(frame, segment, place) if frame else None
        if marker in SEQUENTIAL or marker == PROGRESSIVE:
            frame = None if frame else _read_frame(marker, segment)
            if frame is None:
                return None
        elif marker not in SKIPPED:
            return None
        elif marker == APP1 and segment.startswith(EXIF[:4]):
            if upright or not is_upright(segment):  # two of them: nobody knows which one counts
                return None
            upright = True
        elif marker == APP14 and segment.startswith(ADOBE) and segment[11:12] != b'\1':
            return None
    return None


def _read_frame(marker: int, segment: bytes) -> Optional[JpegHeader]:
    if len(segment) < 6 or len(segment) != 6 + 3 * segment[5] or segment[0] != 8:
        return None
    if segment[6::3] not in COMPONENT_NAMES:
        return None
    height, width = struct.unpack('>HH', segment[1:5])
    if not width or not height:
        return None
    return JpegHeader(width, height, segment[5], 0, marker in SEQUENTIAL)


def _with_scan(frame: JpegHeader, segment: bytes, scan: int) -> Optional[JpegHeader]:
    if not segment or len(segment) != 4 + 2 * segment[0]:
        return None
    whole = segment[0] == frame.components and segment[-3:] == b'\0\x3f\0'
    return frame._replace(scan=scan, single_scan=frame.single_scan and whole)


def is_upright(segment: bytes) -> bool:
    """Whether an Exif segment is sound and says nothing of a rotation."""
    tiff = segment[len(EXIF) :]
    order = {b'II*\0': '<', b'MM\0*': '>'}.get(tiff[:4])
    if order is None or not segment.startswith(EXIF) or len(tiff) < 8:
        return False
    (first,) = struct.unpack(f'{order}I', tiff[4:8])
    if first + 2 > len(tiff):
        return False
    (count,) = struct.unpack(f'{order}H', tiff[first : first + 2])
    if first + 2 + 12 * count > len(tiff):
        return False
    entries = struct.iter_unpack(f'{order}HHIHH', tiff[first + 2 : first + 2 + 12 * count])
    return all(entry[1:4] == (SHORT, 1, UPRIGHT) for entry in entries if entry[0] == ORIENTATION)


def is_unbroken_scan(content: bytes, scan: int) -> bool:
    """Whether the first marker in the coded data, restarts apart, is that of the image's end.

    Then what a decoder meets after any row of pixels is more rows and nothing that could be an
    error: wrong codes are repaired, with a warning.
    """
    marker = MARKER.search(content, scan)
    return marker is not None and marker[0][1] == EOI
