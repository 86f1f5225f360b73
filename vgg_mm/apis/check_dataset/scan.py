"""Reading all images of a data set, in many processes."""

import multiprocessing
import sys
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager, suppress
from itertools import islice
from typing import NamedTuple

import cv2
import numpy as np

from vgg_mm.progress import Progress, with_progress

from .image import Facts, has_wrong_extension, read_images, start_worker
from .layout import Layout

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


class Scan(NamedTuple):
    """What was found in the images of a layout.

    ``records[i]`` belongs to image i, its ``mode`` is a place in ``modes``. The dicts are keyed by
    image: why it cannot be read, what it lacks at its end, what the decoder said, the format of its
    content.
    """

    records: np.ndarray
    modes: list[str]
    unreadable: dict[int, str]
    incomplete: dict[int, str]
    warnings: dict[int, str]
    wrong_format: dict[int, str]

    @property
    def seen(self) -> int:
        """Number of images that were looked at: all, unless it was stopped."""
        return int(self.records['seen'].sum())

    @property
    def readable(self) -> np.ndarray:
        """Images that training can use, as places in the layout's ``paths``."""
        return np.flatnonzero(self.records['readable'])

    def add(self, index: int, path: str, facts: Facts) -> None:
        record = self.records[index]
        if facts.reason:
            self.unreadable[index] = facts.reason
        else:
            if facts.mode not in self.modes:
                self.modes.append(facts.mode)
            record['digest'] = np.frombuffer(facts.digest, 'u8')
            record['height'], record['width'] = facts.height, facts.width
            record['mode'], record['rotated'] = self.modes.index(facts.mode), facts.rotated
            record['readable'] = True
            if facts.remark:
                self.incomplete[index] = facts.remark
            if facts.warning:
                self.warnings[index] = facts.warning
            if has_wrong_extension(path, facts.format):
                self.wrong_format[index] = facts.format
        record['seen'] = True


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
    """Facts of some images at a time, in the order in which they are there.

    When a process dies, its fellows go with it: the images that were under way are then read apart
    from each other, so that only the one to blame is lost.
    """
    count = len(layout.paths)
    chunks = (range(first, min(first + CHUNK, count)) for first in range(0, count, CHUNK))
    under_way: dict[range, Future] = {}
    while True:
        try:
            yield from _read_in_parallel(layout, chunks, under_way, workers)
            return
        except BrokenProcessPool:
            print('\na process that read images died: looking for the image', file=sys.stderr)
        for chunk in list(under_way):
            yield chunk, _read_apart([layout.path(index) for index in chunk])
            del under_way[chunk]


def _read_in_parallel(
    layout: Layout, chunks: Iterator[range], under_way: dict[range, Future], workers: int
) -> Iterator[tuple[range, list[Facts]]]:
    with _pool(workers) as pool:
        while True:
            for chunk in islice(chunks, 2 * workers - len(under_way)):
                under_way[chunk] = Future()  # It is not lost if the pool takes nothing any more.
                under_way[chunk] = pool.submit(read_images, [layout.path(i) for i in chunk])
            if not under_way:
                return
            wait(under_way.values(), return_when=FIRST_COMPLETED)
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
    # A forked process would wait for ever for OpenCV's threads, which it does not have.
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
