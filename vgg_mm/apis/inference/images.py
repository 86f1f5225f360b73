"""Finding images and reading them for a net, in batches, the next ones in the background."""

import glob
import os
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, NamedTuple, Optional, Union

import cv2
import numpy as np
from PIL import Image

from vgg_mm.apis.image_folders import EXTENSIONS, images_below, is_inside, is_no_class, raise_error
from vgg_mm.datasets import LoadImage
from vgg_mm.datasets.transforms.decoding import turned_upright, with_channels
from vgg_mm.datasets.transforms.loading import LOAD_ERROR
from vgg_mm.installation import argument

from ..subprocess_tools import available_cores

#: Read in a folder: what training reads, and the other formats that vgg_mm.LoadImage supports.
IMAGES = (*EXTENSIONS, '.tiff', '.webp', '.gif', '.avif', '.jp2')

#: Bytes of the longest file name on the usual file systems.
MAX_NAME_LENGTH = 255

#: Batches that are read ahead of the net.
AHEAD = 2

#: Threads that read images, if there are as many cores.
MAX_WORKERS = 4

ImageLike = Union[str, os.PathLike, np.ndarray, Image.Image]

#: Held while a PIL image is decoded: one image may be given several times, to several threads.
_loading = threading.Lock()

CHANNEL_ORDERS = BGR, RGB = 'bgr', 'rgb'


def expand_source(source: str, outside: str = '') -> list[str]:
    """The files for one argument.

    An existing file is itself, also if its name looks like a pattern; so is a web address. A folder
    is all images in it and below, in natural order: frame_9 before frame_10; hidden files and
    folders are skipped, and those that systems make (``@eaDir``, ``__MACOSX``). Anything else is a
    pattern as in a shell, with ``**`` for folders at any depth, which finds images and folders;
    other files only if it ends in their extension.

    Args:
        source: File, folder or pattern.
        outside: A folder, skipped: pictures that are written there are not input.

    Raises:
        FileNotFoundError: if there is no such file or folder, and no match.
        ValueError: if a folder holds no image, or all are in ``outside``.
    """
    if os.path.isfile(source) or source.startswith(('http://', 'https://')):
        return [source]
    is_folder = os.path.isdir(source)
    endings = (*IMAGES, os.path.splitext(source)[1].lower() or IMAGES[0])
    found: set[str] = set()
    for match in [source] if is_folder else glob.glob(source, recursive=True):
        if os.path.isdir(match):
            found.update(images_below(match, IMAGES, onerror=raise_error))
        elif os.path.isfile(match) and match.lower().endswith(endings):
            found.add(match)
    named = {*source.split(os.sep), os.curdir, os.pardir}
    images = [
        path
        for path in found
        if not any(is_no_class(part) for part in path.split(os.sep)[:-1] if part not in named)
    ]
    kept = [p for p in images if not (outside and is_inside(os.path.dirname(p), outside))]
    if images and not kept:
        raise ValueError(
            f'{argument("heatmap", outside)}: all images of {source!r} are in this folder, whose '
            'content counts as pictures of earlier runs: give another folder'
        )
    if is_folder and not kept:
        raise ValueError(f'no images below {source!r}; extensions are {", ".join(IMAGES)}')
    if not kept:
        raise FileNotFoundError(
            f'no image found: {source!r} is no file, no folder, and as a pattern matches no image'
        )
    return sorted(kept, key=_natural)


def _natural(path: str) -> list[tuple[str, int, str]]:
    """Numbers in a name count as numbers."""
    parts = re.findall(r'(\D*)(\d*)', path)
    return [(text, int(digits or 0), digits) for text, digits in parts]


def as_sources(images: Union[ImageLike, Sequence[ImageLike]], outside: str = '') -> list[ImageLike]:
    """Files of every path, folder and pattern, and the images that are given as they are.

    Raises:
        ValueError, FileNotFoundError: as :func:`expand_source`; if there is nothing at all.
        TypeError: if something is neither a path nor an image.
    """
    single = isinstance(images, (str, os.PathLike, np.ndarray, Image.Image))
    found: list[ImageLike] = []
    for image in [images] if single else images:
        if isinstance(image, (np.ndarray, Image.Image)):
            found.append(image)
        elif isinstance(image, (str, os.PathLike)):
            found += expand_source(os.fspath(image), outside)
        else:
            raise TypeError(
                f'predict: an image is a path or an array, got a {type(image).__name__}'
            )
    if not found:
        raise ValueError('predict: no images given')
    return found


def name(image: ImageLike, number: int) -> str:
    """The name of an image in results and errors: its path, or its number among the given ones."""
    return os.fspath(image) if isinstance(image, (str, os.PathLike)) else f'image {number}'


def picture_paths(names: list[str], folder: str) -> list[str]:
    """The file of each image's picture: below ``folder`` as the images are below theirs.

    ``a.jpg`` becomes ``a.png``. Where two images would share a picture, or pictures go into the
    images' folder or one above it, whose images may be called so, all keep their extension:
    ``a.jpg.png``.

    Raises:
        ValueError: if a picture would overwrite one of the images.
    """
    full = [os.path.abspath(path) for path in names]
    common = os.path.commonpath([os.path.dirname(path) for path in full])
    below = [os.path.relpath(path, common) for path in full]
    stems = [os.path.splitext(path)[0] for path in below]
    if len(set(stems)) == len(set(below)) and not is_inside(common, folder):
        below = stems
    split = (os.path.split(path) for path in below)
    pictures = [os.path.join(folder, where, f'{_cut(file)}.png') for where, file in split]
    images = {os.path.realpath(path) for path in full}
    for picture in pictures:
        if os.path.realpath(picture) in images:
            raise ValueError(
                f'{argument("heatmap")}: the picture {picture} would overwrite one of the images; '
                'give a folder without images'
            )
    return pictures


def _cut(file: str) -> str:
    """A file's name, short enough for an extension more."""
    return os.fsdecode(os.fsencode(file)[: MAX_NAME_LENGTH - len('.png')])


def _as_bgr(image: Union[np.ndarray, Image.Image], channel_order: str, channels: int) -> np.ndarray:
    """uint8 (H, W, 3) BGR, (H, W) or (H, W, 4), as ``vgg_mm.LoadImage`` gives it for ``channels``;
    ValueError if an array is of another type or shape, or empty."""
    if isinstance(image, Image.Image):
        with _loading:
            upright = turned_upright(image)
        if upright.mode == 'F':
            raise ValueError('a PIL image of floating-point numbers: black and white are unknown')
        if upright.mode.startswith('I'):  # of 16 bits
            high = np.asarray(upright).clip(0, 0xFFFF) >> 8
            upright = Image.fromarray(high.astype(np.uint8))
        alpha = np.array(upright.convert('RGBA'))[..., 3] if channels == 4 else None
        return with_channels(np.array(upright.convert('RGB'))[..., ::-1].copy(), channels, alpha)
    if channels == 1 and image.ndim == 3 and image.shape[2] == 1:
        image = image[..., 0]
    right = image.ndim == 3 and image.shape[2] in (3, channels)
    if channels == 1:
        right = right or image.ndim == 2
    if image.dtype != np.uint8 or not right or not image.size:
        own = {1: ' or (H, W)', 4: ' or (H, W, 4)'}.get(channels, '')
        raise ValueError(
            f'an image as an array is uint8 (H, W, 3){own}, got {image.dtype} {tuple(image.shape)}'
        )
    if image.ndim == 2:
        return np.ascontiguousarray(image)
    bgr = np.ascontiguousarray(image[..., 2::-1] if channel_order == RGB else image[..., :3])
    return with_channels(bgr, channels, image[..., 3] if image.shape[2] == 4 else None)


class Prepared(NamedTuple):
    """An image for the net.

    ``name`` is its path; ``photo`` uint8 (H, W, 3) RGB, None unless it is kept; ``packed`` what the
    pipeline made of it; ``error`` why it could not be read, else ''.
    """

    name: str
    photo: Optional[np.ndarray] = None
    packed: Any = None
    error: str = ''


class ImageReader(NamedTuple):
    """Reads and rescales images for a net.

    ``load`` is the first step of its pipeline, ``pipeline`` the others, ``scales`` its Q.
    """

    load: LoadImage
    pipeline: Callable[[dict], dict]
    scales: tuple[int, ...]

    def read(self, image: ImageLike, name: str, channel_order: str = BGR) -> dict:
        """The input of the pipeline: ``img``, uint8 (H, W, 3) BGR or as ``load`` has it.

        Args:
            image: A path, a PIL image or an array.
            name: Its name in errors.
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
            img = _as_bgr(image, channel_order, self.load.in_channels)
        except ValueError as error:
            raise ValueError(f'{name}: {error}') from error
        return dict(img=img, img_path=name, img_shape=img.shape[:2], ori_shape=img.shape[:2])

    def prepare(
        self, image: ImageLike, name: str, channel_order: str = BGR, keep_photo: bool = False
    ) -> Prepared:
        """Read and rescale an image; arguments as of :meth:`read`. Of broken ones the error."""
        try:
            results = self.read(image, name, channel_order)
            photo = as_rgb(results['img']) if keep_photo else None
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
            workers: Threads that read; by default one a core, at most :data:`MAX_WORKERS`.
        """
        with ThreadPoolExecutor(workers or min(MAX_WORKERS, available_cores())) as pool:

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
                pool.shutdown(wait=False, cancel_futures=True)


def as_rgb(img: Any) -> np.ndarray:
    """uint8 (H, W, 3) of what a pipeline begins with: BGR, BGR and opacity, or grey; maybe lazy."""
    img = np.asarray(img)
    return img[..., 2::-1].copy() if img.ndim == 3 else cv2.cvtColor(img, cv2.COLOR_GRAY2RGB)
