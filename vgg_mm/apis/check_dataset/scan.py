"""Reading every image of a data set, in processes of their own."""

import hashlib
import io
import logging
import multiprocessing
import os
import signal
import sys
import tempfile
import warnings
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager, suppress
from itertools import islice
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image

from vgg_mm.datasets import LoadImage
from vgg_mm.datasets.transforms.decoding import exif_orientation
from vgg_mm.datasets.transforms.loading import LOAD_REMARK
from vgg_mm.progress import Progress, to_stderr, with_progress

from .layout import Layout

#: Extensions of a format, by Pillow's names, among those that training accepts.
FORMAT_EXTENSIONS = {
    'JPEG': ('.jpg', '.jpeg'),
    'MPO': ('.jpg', '.jpeg'),
    'PNG': ('.png',),
    'PPM': ('.ppm', '.pgm'),
    'BMP': ('.bmp',),
    'TIFF': ('.tif',),
}

#: Descriptions of Pillow's modes; for others the mode itself is used.
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

STDERR = 2

#: Images that a process reads at a time.
CHUNK = 8

CRASHED = 'the process that read it died: a crash of the decoder, or out of memory'

#: What is kept of each image, 28 bytes; the digest as two numbers, so that numpy can sort them.
RECORD = np.dtype(
    [
        ('digest', 'u8', 2),
        ('height', 'i4'),
        ('width', 'i4'),
        ('mode', 'u1'),
        ('rotated', '?'),
        ('seen', '?'),
        ('readable', '?'),
    ]
)


class Facts(NamedTuple):
    """One image; ``height`` and ``width`` as training uses it; 0, with a ``reason``, if it cannot.

    ``format`` is Pillow's name, '' if unknown, ``mode`` one of ``MODES``'s words, ``rotated``
    whether the EXIF orientation is not upright, ``digest`` a hash of the file's bytes, ``reason``
    training's error without the path, ``remark`` what is missing in a file that training uses
    anyway, and ``warning`` what the decoder wrote to standard error.
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
    """Set up a process that reads images: quiet, single-threaded, ended by its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(0)
    warnings.simplefilter('ignore')
    logging.disable(logging.WARNING)
    Image.MAX_IMAGE_PIXELS = None
    # Decoders written in C warn there: the text is reported with the file's name.
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
        # Training would raise the same error.
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
    """Format, mode and whether EXIF describes a rotation, without decoding."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            mode = MODES.get(image.mode, image.mode)
            # Pillow calls 16-bit colour RGB, too; the mode in which it stores the pixels is
            # different.
            if image.mode.startswith('I') or any(';16' in str(tile) for tile in image.tile):
                mode = SIXTEEN_BIT
            return image.format, mode, exif_orientation(image) in range(2, 9)
    except Exception:
        # Pillow reads fewer variants than OpenCV, and fails in many ways on damaged EXIF.
        return '', MODES[''], False


class Scan(NamedTuple):
    """What was found in the images of a layout.

    ``records[i]`` belongs to image i, its ``mode`` is a place in ``modes``. The dicts are keyed by
    image: why it cannot be read, what is missing at its end, the decoder's warning, the format of
    its content.
    """

    records: np.ndarray
    modes: list[str]
    unreadable: dict[int, str]
    incomplete: dict[int, str]
    warnings: dict[int, str]
    wrong_format: dict[int, str]

    @property
    def seen(self) -> int:
        """Number of checked images: all, unless the user stopped it."""
        return int(self.records['seen'].sum())

    @property
    def readable(self) -> np.ndarray:
        """Images that training can use, as places in the layout's ``paths``."""
        return np.flatnonzero(self.records['readable'])

    def add(self, index: int, path: str, facts: Facts) -> None:
        record = self.records[index]
        if facts.reason:
            self.unreadable[index] = facts.reason
            record['seen'] = True
            return
        if facts.mode not in self.modes:
            self.modes.append(facts.mode)
        record['digest'] = np.frombuffer(facts.digest, 'u8')
        record['height'], record['width'] = facts.height, facts.width
        record['mode'], record['rotated'] = self.modes.index(facts.mode), facts.rotated
        record['readable'] = record['seen'] = True
        if facts.remark:
            self.incomplete[index] = facts.remark
        if facts.warning:
            self.warnings[index] = facts.warning
        extension = os.path.splitext(path)[1].lower()
        if facts.format and extension not in FORMAT_EXTENSIONS.get(facts.format, ()):
            self.wrong_format[index] = facts.format


def scan(layout: Layout, workers: int) -> Scan:
    """Read every image; ``seen`` of the result is smaller if the user stopped it."""
    result = Scan(np.zeros(len(layout.paths), RECORD), [], {}, {}, {}, {})
    # What was read before an interrupt is reported.
    progress = Progress(len(layout.paths))
    with suppress(KeyboardInterrupt), closing(_read_all(layout, workers)) as chunks:
        for chunk, found in with_progress(chunks, progress, lambda part: len(part[0])):
            for index, facts in zip(chunk, found):
                result.add(index, layout.paths[index], facts)
    return result


def _read_all(layout: Layout, workers: int) -> Generator[tuple[range, list[Facts]], None, None]:
    """Facts of some images at a time, in the order of the images.

    When a process dies, the pool ends: the images in progress are then read one by one, so that
    only the one that caused it is lost.
    """
    count = len(layout.paths)
    chunks = (range(first, min(first + CHUNK, count)) for first in range(0, count, CHUNK))
    under_way: dict[range, Future] = {}
    while True:
        try:
            yield from _read_in_parallel(layout, chunks, under_way, workers)
            return
        except BrokenProcessPool:
            to_stderr('\na process that read images died: looking for the image')
        for chunk in list(under_way):
            yield chunk, _read_apart([layout.path(index) for index in chunk])
            del under_way[chunk]


def _read_in_parallel(
    layout: Layout, chunks: Iterator[range], under_way: dict[range, Future], workers: int
) -> Iterator[tuple[range, list[Facts]]]:
    with _pool(workers) as pool:
        while True:
            for chunk in islice(chunks, 2 * workers - len(under_way)):
                under_way[chunk] = Future()  # It is not lost if the pool accepts no more work.
                under_way[chunk] = pool.submit(read_images, [layout.path(i) for i in chunk])
            if not under_way:
                return
            # With a timeout, since a Ctrl-C just before the wait does not interrupt it.
            wait(under_way.values(), timeout=1, return_when=FIRST_COMPLETED)
            for chunk in [c for c, future in under_way.items() if future.done()]:
                yield chunk, under_way[chunk].result()
                del under_way[chunk]


def _read_apart(paths: Sequence[str]) -> list[Facts]:
    """Facts of images in a process of their own, and of each in its own if that dies."""
    try:
        with _pool(1) as pool:
            return pool.submit(read_images, paths).result()
    except BrokenProcessPool:
        if len(paths) == 1:
            return [Facts(reason=CRASHED)]
    return [facts for path in paths for facts in _read_apart([path])]


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that read images; they end at once if there is an error or an interrupt."""
    others = multiprocessing.active_children()
    threads = cv2.getNumThreads()
    # A forked process would wait forever for OpenCV's threads, which it does not have.
    cv2.setNumThreads(0)
    # Other ways of starting would import everything again in each process.
    context = multiprocessing.get_context('fork') if sys.platform == 'linux' else None
    pool = ProcessPoolExecutor(workers, context, start_worker)
    try:
        yield pool
    except BaseException:
        for process in multiprocessing.active_children():
            if process not in others:
                process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        cv2.setNumThreads(threads)
