"""The images of a folder and their classes."""

import hashlib
import os
from typing import NamedTuple, Optional

import numpy as np

from vgg_mm.datasets.class_names import sorted_names

from ..finetune.split import TRAIN_NAMES, VAL_NAMES
from ..inference.inputs import find_images

#: Label of an image that lies in no class folder.
NO_LABEL = -1


class Photos(NamedTuple):
    """Images in the order of the output.

    ``paths`` are relative to ``folder``; ``labels`` (N,) are places in ``classes``, or -1;
    ``digest`` changes with paths and sizes in bytes.
    """

    folder: str
    paths: list[str]
    labels: np.ndarray
    classes: list[str]
    digest: str

    def path(self, index: int) -> str:
        return os.path.join(self.folder, self.paths[index])

    def names(self) -> list[str]:
        """The paths with ``/``, and ``\\udcxx`` for bytes that are no text."""
        return [
            path.replace(os.sep, '/').encode('utf-8', 'backslashreplace').decode()
            for path in self.paths
        ]


def find_photos(folder: str) -> Photos:
    """All images below a folder: FOLDER/*, FOLDER/CLASS/* or FOLDER/{train,val,test}/CLASS/*.

    The class is the folder below FOLDER, or below that one if all images are in folders that are
    named as splits; an image that is in none has no class.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if it holds no image.
    """
    if not os.path.isdir(folder):
        raise FileNotFoundError(f'no folder {folder!r}')
    paths = [os.path.relpath(path, folder) for path in find_images(folder)]
    folders = [path.split(os.sep)[:-1] for path in paths]
    below_splits = all(parts and parts[0].lower() in TRAIN_NAMES + VAL_NAMES for parts in folders)
    names = [_class(parts, int(below_splits)) for parts in folders]
    classes = sorted_names({name for name in names if name is not None})
    numbers: dict[Optional[str], int] = {
        None: NO_LABEL,
        **{name: number for number, name in enumerate(classes)},
    }
    labels = np.array([numbers[name] for name in names], np.int64)
    text = [name.encode('utf-8', 'backslashreplace').decode() for name in classes]
    return Photos(folder, paths, labels, text, _digest(folder, paths))


def _class(folders: list[str], level: int) -> Optional[str]:
    return folders[level] if len(folders) > level else None


def _digest(folder: str, paths: list[str]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for path in paths:
        digest.update(os.fsencode(path))
        digest.update(b'\0%d\n' % os.path.getsize(os.path.join(folder, path)))
    return digest.hexdigest()
