"""Folders of images: which files and folders count, and finding the files."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Optional, Union

#: Extensions of images for MMPretrain's CustomDataset.
EXTENSIONS = ('.jpg', '.jpeg', '.png', '.ppm', '.bmp', '.pgm', '.tif')

#: Names of a folder of validation images.
VALIDATION_FOLDERS = ('val', 'validation', 'valid')

#: Folders that operating systems and network storage create.
SYSTEM_FOLDERS = ('@eaDir', '__MACOSX', '#recycle', '$RECYCLE.BIN')


def raise_error(error: OSError) -> None:
    """What os.walk should do with a folder that it cannot read."""
    raise error


def is_no_class(folder: str) -> bool:
    """Whether a folder of this name is hidden or made by a system, thus no class."""
    return folder.startswith('.') or folder in SYSTEM_FOLDERS


def refuse_endless_links(where: str, below: list[str]) -> None:
    """Refuse links among the folders ``below`` a folder that lead to one above it, or to one from
    which a link has led to it.

    Raises:
        ValueError: in one line, if there is one.
    """
    here = Path(os.path.abspath(where))
    for path in filter(os.path.islink, (os.path.join(where, name) for name in below)):
        if any(is_inside(one, path) for one in (here, *here.parents)):
            raise ValueError(f'the link {path} leads to a folder above it: an endless loop')


def is_inside(path: Union[str, os.PathLike], folder: str) -> bool:
    """Whether a path is a folder or below it, wherever links lead."""
    path, folder = os.path.realpath(path), os.path.realpath(folder)
    return os.path.commonpath([path, folder]) == folder


def find_images(folder: str) -> list[str]:
    """All image files below a folder, sorted; hidden ones and those of systems are skipped.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if there are no images in it.
    """
    if not os.path.isdir(folder):
        raise FileNotFoundError(f'no folder {folder!r}')
    paths = sorted(images_below(folder, EXTENSIONS))
    if not paths:
        raise ValueError(f'no images below {folder!r}; extensions are {", ".join(EXTENSIONS)}')
    return paths


def images_below(
    folder: str, extensions: tuple[str, ...], onerror: Optional[Callable[[OSError], None]] = None
) -> Iterator[str]:
    """Paths of the files with these extensions, hidden ones and those of systems skipped.

    Linked folders are followed.

    Args:
        onerror: As ``os.walk`` takes it; None: folders that cannot be read are skipped, too.

    Raises:
        ValueError: in one line, if a link leads to a folder above it.
    """
    for where, below, names in os.walk(folder, onerror=onerror, followlinks=True):
        below[:] = [name for name in below if not is_no_class(name)]
        refuse_endless_links(where, below)
        for name in names:
            if name.lower().endswith(extensions) and not name.startswith('.'):
                yield os.path.join(where, name)
