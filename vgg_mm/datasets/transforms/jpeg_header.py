"""The headers of JPEG files: sizes, scans, and whether a file can be decoded in part."""

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple, Optional

import numpy as np

START, END, EXIF, ADOBE = b'\xff\xd8', b'\xff\xd9', b'Exif\0\0', b'Adobe'

#: Second bytes of markers: frames (baseline and extended sequential, progressive; Huffman-coded),
#: tables, the start of a scan, comments, APP1, APP14, the end.
SEQUENTIAL, PROGRESSIVE = (0xC0, 0xC1), 0xC2
DHT, SOS, DQT, DRI, COM, APP1, APP14, EOI = 0xC4, 0xDA, 0xDB, 0xDD, 0xFE, 0xE1, 0xEE, 0xD9
SKIPPED = {DHT, DQT, DRI, COM, *range(0xE0, 0xF0)}
#: All kinds of frames, restarts, and the markers that no data follow.
FRAMES = set(range(0xC0, 0xD0)) - {DHT, 0xC8, 0xCC}
RESTARTS = range(0xD0, 0xD8)
ALONE = {0x01, *range(0xD0, 0xDA)}

#: Identifiers of components for which colours are certainly YCbCr.
COMPONENT_NAMES = (b'\1', b'\1\2\3', b'\0\1\2')

#: A marker in coded data: a byte 0xFF before 0 is data, before another one it fills, and markers
#: 0xD0 to 0xD7 are restarts.
MARKER = re.compile(rb'\xff[^\x00\xff\xd0-\xd7]')

#: TIFF's tag of the orientation, its type SHORT, and the value of an upright image.
ORIENTATION, SHORT, UPRIGHT = 0x0112, 3, 1


class Segment(NamedTuple):
    """A marker with its data: ``content[start:end]`` of a file.

    ``is_whole`` is whether the file contains as many data as the segment declares.
    """

    marker: int
    data: bytes
    start: int
    end: int
    is_whole: bool


def segments(content: bytes) -> Iterator[Segment]:
    """The segments of a JPEG file, broken or not; data between them are skipped.

    Source: ITU-T T.81, Section B.1.1.
    """
    place = len(START)
    while match := MARKER.search(content, place):
        start, marker = match.start(), match[0][1]
        if marker in ALONE:
            place = start + 2
            continue
        length = int.from_bytes(content[start + 2 : start + 4], 'big')
        data = content[start + 4 : start + 2 + length]
        place = start + 4 + len(data)
        yield Segment(marker, data, start, place, length == 2 + len(data))


class JpegHeader(NamedTuple):
    """A plain JPEG file: 8 bits, grey or YCbCr (1 or 3 components), Huffman-coded, upright.

    ``scan`` is where the coded data of the first scan begin, ``single_scan`` whether that should
    contain the whole image.
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
    expected, frame, upright = len(START), None, False
    for marker, segment, start, place, is_whole in segments(content):
        if start != expected or not is_whole:
            return None
        expected = place
        if marker == SOS:
            return _with_scan(frame, segment, place) if frame else None
        if marker in SEQUENTIAL or marker == PROGRESSIVE:
            frame = None if frame else _read_frame(marker, segment)
            if frame is None:
                return None
        elif marker not in SKIPPED:
            return None
        elif marker == APP1 and segment.startswith(EXIF[:4]):
            if upright or not is_upright(segment):  # two of them: ambiguous
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
    """Whether an Exif segment is valid and contains no rotation."""
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


def declared_size(content: bytes) -> tuple[int, int, bool]:
    """(width, height, whole): the size that a JPEG file declares, and whether it has an end.

    OpenCV decodes truncated files to images whose lower part is grey, or not at all, depending on
    its version. An end marker counts after the start of the first scan: before it may be
    thumbnails with theirs. Anything may follow the image.
    """
    width = height = 0
    for segment in segments(content):
        if segment.marker == SOS:
            return width, height, content.rfind(END, segment.start) >= 0
        if segment.marker in FRAMES:
            height, width = (int.from_bytes(segment.data[i : i + 2], 'big') for i in (1, 3))
    return width, height, True  # no image: the decoder reports it


def has_all_scans(content: bytes) -> bool:
    """Whether the scans that were begun bring every coefficient of every component to its last bit.

    Source: ITU-T T.81, Sections B.2.3 (the header of a scan) and G.1 (progressive files).
    """
    missing: dict[int, np.ndarray] = {}
    for marker, data, *_ in segments(content):
        if marker in FRAMES:
            missing = {component: np.ones(64, bool) for component in data[6::3]}
        elif marker == SOS and data and len(data) == 4 + 2 * data[0]:
            first, last, bits = data[-3:]
            for component in data[1:-3:2]:
                if component in missing:
                    missing[component][first : last + 1] = bits & 0x0F
    return bool(missing) and not any(left.any() for left in missing.values())
