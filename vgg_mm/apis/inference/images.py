"""From images to what the net takes, some at a time, the next ones read meanwhile."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, NamedTuple, Optional

import cv2
import numpy as np

from vgg_mm.datasets import LoadImage
from vgg_mm.datasets.transforms.loading import LOAD_ERROR

from ..cores import available_cores
from .inputs import BGR, ImageLike, as_bgr, name

#: Batches that are read ahead of the net.
AHEAD = 2

#: Threads that read images, if there are as many cores.
MOST_WORKERS = 4


class Prepared(NamedTuple):
    """An image on its way into the net.

    ``name`` is its path; ``photo`` uint8 (H, W, 3) BGR, None unless it is kept; ``packed`` what the
    pipeline made of it; ``error`` why it could not be read, else ''.
    """

    name: str
    photo: Optional[np.ndarray] = None
    packed: Any = None
    error: str = ''


def _colours(img: np.ndarray) -> np.ndarray:
    """(H, W, 3) BGR of what a pipeline begins with."""
    return img[..., :3] if img.ndim == 3 else cv2.cvtColor(img, cv2.COLOR_GRAY2BGR)


class ImageReader(NamedTuple):
    """Reads and rescales images for a net.

    ``load`` is the first step of its pipeline, ``pipeline`` the others, ``scales`` its Q.
    """

    load: LoadImage
    pipeline: Callable[[dict], dict]
    scales: tuple[int, ...]

    def read(self, image: ImageLike, name: str, channel_order: str = BGR) -> dict:
        """What the pipeline begins with: ``img``, uint8 (H, W, 3) BGR or as ``load`` has it.

        Args:
            image: A path, or pixels as :func:`as_bgr` takes them.
            name: What errors call it.
            channel_order: Of an array: 'bgr' or 'rgb'.

        Raises:
            OSError, ValueError: in one line with the name, if the image cannot be read.
        """
        if isinstance(image, (str, os.PathLike)):
            results = self.load(dict(img_path=os.fspath(image)))
            if results.get(LOAD_ERROR):  # a pipeline whose first step marks broken images
                raise ValueError(results[LOAD_ERROR])
            return results
        try:
            img = as_bgr(image, channel_order, self.load.in_channels)
        except ValueError as error:
            raise ValueError(f'{name}: {error}') from error
        return dict(img=img, img_path=name, img_shape=img.shape[:2], ori_shape=img.shape[:2])

    def prepare(
        self, image: ImageLike, name: str, channel_order: str = BGR, keep_photo: bool = False
    ) -> Prepared:
        """Read and rescale an image; arguments as of :meth:`read`. Of broken ones the error."""
        try:
            results = self.read(image, name, channel_order)
            photo = _colours(results['img']) if keep_photo else None
            return Prepared(name, photo, self.pipeline(results))
        except (OSError, ValueError) as error:
            return Prepared(name, error=str(error))

    def batches(
        self,
        images: Sequence[ImageLike],
        size: int,
        channel_order: str = BGR,
        keep_photos: bool = False,
        workers: Optional[int] = None,
    ) -> Iterator[list[Prepared]]:
        """Images in order, ``size`` at a time; the next ones are read meanwhile.

        Args:
            images: Paths or pixels.
            size: Images a batch.
            channel_order: Of arrays: 'bgr' or 'rgb'.
            keep_photos: Whether they keep their pixels.
            workers: Threads that read; by default one a core, at most :data:`MOST_WORKERS`.
        """
        with ThreadPoolExecutor(workers or min(MOST_WORKERS, available_cores())) as pool:

            def start(first: int) -> list[Future]:
                return [
                    pool.submit(self.prepare, image, name(image, i), channel_order, keep_photos)
                    for i, image in enumerate(images[first : first + size], first)
                ]

            starts = iter(range(0, len(images), size))
            reading = deque(map(start, islice(starts, AHEAD)))
            try:
                while reading:
                    yield [future.result() for future in reading.popleft()]
                    reading += map(start, islice(starts, 1))
            finally:
                for future in (future for batch in reading for future in batch):
                    future.cancel()
