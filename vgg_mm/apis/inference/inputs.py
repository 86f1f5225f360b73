"""Which images are meant: files, folders, patterns, arrays."""

import glob
import os
import re
from collections.abc import Sequence
from itertools import groupby
from typing import Union

import numpy as np
from PIL import Image, ImageOps

from vgg_mm.apis.rgb_statistics import EXTENSIONS, images_below, is_no_class
from vgg_mm.datasets.transforms.decoding import with_channels

#: Read in a folder: what training reads, and the other formats that vgg_mm.LoadImage knows.
IMAGES = (*EXTENSIONS, '.tiff', '.webp', '.gif', '.avif', '.jp2')

#: Bytes of the longest file name on the usual file systems.
LONGEST_NAME = 255

#: Images that are fetched when their turn comes.
ADDRESSES = ('http://', 'https://')

ImageLike = Union[str, os.PathLike, np.ndarray, Image.Image]

CHANNEL_ORDERS = BGR, RGB = 'bgr', 'rgb'


def find_images(source: str, outside: str = '') -> list[str]:
    """The files that one argument means.

    An existing file is itself, whatever its name looks like, and so is a web address. A folder is
    all images in it and below, in natural order: frame_9 before frame_10; hidden files and folders
    are passed over, and those that systems make (``@eaDir``, ``__MACOSX``). Anything else is a
    pattern as in a shell, with ``**`` for folders at any depth, which finds images and folders;
    other files only if it ends in their extension.

    Args:
        source: File, folder or pattern.
        outside: A folder, passed over: pictures that are written there are not input.

    Raises:
        FileNotFoundError: if there is no such file or folder, and no match.
        ValueError: if a folder holds no image.
    """
    if os.path.isfile(source) or source.startswith(ADDRESSES):
        return [source]
    passed_over = os.path.realpath(outside) if outside else ''
    if os.path.isdir(source):
        below = _in_folder(source, passed_over)
        if not below:
            raise ValueError(f'no images below {source!r}; extensions are {", ".join(IMAGES)}')
        return below
    matches = glob.glob(source, recursive=True)
    endings = (*IMAGES, os.path.splitext(source)[1].lower() or IMAGES[0])
    found = {path for path in matches if os.path.isfile(path) and path.lower().endswith(endings)}
    for folder in filter(os.path.isdir, matches):
        found.update(_in_folder(folder, passed_over))
    named = set(source.split(os.sep))
    found = {
        path
        for path in found
        if not _lies_in(path, passed_over)
        and not any(is_no_class(part) for part in _folders(path) - named)
    }
    if not found:
        raise FileNotFoundError(
            f'no image found: {source!r} is no file, no folder, and as a pattern matches no image'
        )
    return sorted(found, key=_natural)


def _in_folder(folder: str, passed_over: str) -> list[str]:
    found: list[str] = []
    for where, paths in groupby(images_below(folder, IMAGES, onerror=_raise), os.path.dirname):
        if not _lies_in(where, passed_over):
            found += paths
    return sorted(found, key=_natural)


def _folders(path: str) -> set[str]:
    return set(os.path.dirname(path).split(os.sep)) - {os.curdir, os.pardir}


def _raise(error: OSError) -> None:
    raise error


def _lies_in(path: str, folder: str) -> bool:
    return bool(folder) and f'{os.path.realpath(path)}{os.sep}'.startswith(f'{folder}{os.sep}')


def _natural(path: str) -> list[tuple[str, int, str]]:
    """Numbers in a name count as numbers."""
    parts = re.findall(r'(\D*)(\d*)', path)
    return [(text, int(digits or 0), digits) for text, digits in parts]


def as_sources(images: Union[ImageLike, Sequence[ImageLike]], outside: str = '') -> list[ImageLike]:
    """Files of every path, folder and pattern, and the images that are given as they are.

    Raises:
        ValueError, FileNotFoundError: as :func:`find_images`; if there is nothing at all.
        TypeError: if something is neither a path nor an image.
    """
    single = isinstance(images, (str, os.PathLike, np.ndarray, Image.Image))
    found: list[ImageLike] = []
    for image in [images] if single else images:
        if isinstance(image, (np.ndarray, Image.Image)):
            found.append(image)
        elif isinstance(image, (str, os.PathLike)):
            found += find_images(os.fspath(image), outside)
        else:
            raise TypeError(
                f'predict: an image is a path or an array, got a {type(image).__name__}'
            )
    if not found:
        raise ValueError('predict: no images given')
    return found


def as_bgr(
    image: Union[np.ndarray, Image.Image], channel_order: str, channels: int = 3
) -> np.ndarray:
    """uint8 (H, W, 3) BGR, (H, W) or (H, W, 4), as ``vgg_mm.LoadImage`` gives it for ``channels``.

    Raises:
        ValueError: if an array is of another type or shape, or empty.
    """
    if isinstance(image, Image.Image):
        upright = ImageOps.exif_transpose(image)
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


def name(image: ImageLike, number: int) -> str:
    """What results and errors call an image: its path, or its number among the given ones."""
    return os.fspath(image) if isinstance(image, (str, os.PathLike)) else f'image {number}'


def picture_paths(names: list[str], folder: str) -> list[str]:
    """Where each image's picture goes: below ``folder`` as the images lie below theirs.

    ``a.jpg`` becomes ``a.png``. Where two images would share a picture, or pictures go among the
    images, of which one may be called so, all keep their extension: ``a.jpg.png``.
    """
    full = [os.path.abspath(path) for path in names]
    common = os.path.commonpath([os.path.dirname(path) for path in full])
    below = [os.path.relpath(path, common) for path in full]
    stems = [os.path.splitext(path)[0] for path in below]
    if len(set(stems)) == len(set(below)) and os.path.realpath(folder) != os.path.realpath(common):
        below = stems
    split = (os.path.split(path) for path in below)
    return [os.path.join(folder, where, f'{_cut(file)}.png') for where, file in split]


def _cut(file: str) -> str:
    """A file's name, short enough for an extension more."""
    return os.fsdecode(os.fsencode(file)[: LONGEST_NAME - len('.png')])
