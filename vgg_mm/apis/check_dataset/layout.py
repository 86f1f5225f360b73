"""Splits, classes and files of a data set, as training finds them."""

import os
from collections import Counter
from typing import NamedTuple

import numpy as np

from vgg_mm.apis.image_folders import EXTENSIONS, is_no_class, raise_error, refuse_endless_links

#: Name of the only split where class folders are directly in the data set's folder.
NO_SPLITS = ''

#: A folder's path below the data set's folder, in parts.
Parts = tuple[str, ...]


class Layout(NamedTuple):
    """A data set's folders and files.

    ``splits`` has the class folders of each split, sorted: a class's place is its label, as in
    MMPretrain's ``CustomDataset``, which numbers empty folders, too; hidden folders and those that
    systems make are skipped (training refuses them). Image i is ``paths[i]``, relative to
    ``folder``, of split number ``split[i]`` and of class ``label[i]`` within it. Not used for
    training: ``outside`` counts the images that are in no class folder, by folder, and ``skipped``
    the other files, by extension.
    """

    folder: str
    splits: dict[str, list[str]]
    paths: list[str]
    split: np.ndarray
    label: np.ndarray
    outside: Counter
    skipped: Counter

    def path(self, index: int) -> str:
        return os.path.join(self.folder, self.paths[index])

    def place(self, index: int) -> tuple[str, str]:
        """Names of an image's split and class."""
        split = list(self.splits)[self.split[index]]
        return split, self.splits[split][self.label[index]]


def find_layout(folder: str) -> Layout:
    """List a data set: FOLDER/CLASS/* or FOLDER/SPLIT/CLASS/*, at any depth below a class folder.

    The folders in FOLDER are splits if at least half of them have more images in sub-folders than
    directly in them.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if there are no images in class folders, or a link leads back up.
    """
    if not os.path.isdir(folder):
        raise FileNotFoundError(f'no folder {folder!r}')
    images, skipped = _list_files(folder)
    depth = int(_has_splits(images))
    splits = _splits(images, depth)
    numbers = {
        (*parts, name): (number, label)
        for number, (parts, classes) in enumerate(splits.items())
        for label, name in enumerate(classes)
    }
    paths, runs = [], []
    outside: Counter[str] = Counter()
    for parts, names in images.items():
        if parts[: depth + 1] in numbers:
            paths += [os.path.join(*parts, name) for name in names]
            runs.append((*numbers[parts[: depth + 1]], len(names)))
        elif names:
            outside[os.path.join('.', *parts)] = len(names)
    if not paths:
        raise ValueError(
            f'no images in class folders below {folder!r}: expected FOLDER/CLASS/* or '
            f'FOLDER/train/CLASS/* and FOLDER/val/CLASS/*; extensions are {", ".join(EXTENSIONS)}'
        )
    split, label, length = np.array(runs, np.int32).T
    return Layout(
        folder,
        {'/'.join(parts) or NO_SPLITS: classes for parts, classes in splits.items()},
        paths,
        split.repeat(length),
        label.repeat(length),
        outside,
        skipped,
    )


def _list_files(folder: str) -> tuple[dict[Parts, list[str]], Counter]:
    """Names of the images in each folder, empty ones included, and what else there is."""
    images: dict[Parts, list[str]] = {}
    skipped: Counter = Counter()
    for where, below, names in os.walk(folder, onerror=raise_error, followlinks=True):
        skipped['hidden or system folder'] += sum(map(is_no_class, below))
        below[:] = [name for name in below if not is_no_class(name)]
        refuse_endless_links(where, below)
        relative = os.path.relpath(where, folder)
        found = images[() if relative == os.curdir else tuple(relative.split(os.sep))] = []
        for name in sorted(names):
            if name.startswith('.'):
                skipped['hidden'] += 1
            elif name.lower().endswith(EXTENSIONS):
                found.append(name)
            else:
                skipped[os.path.splitext(name)[1].lower() or name] += 1
    return dict(sorted(images.items())), +skipped


def _has_splits(images: dict[Parts, list[str]]) -> bool:
    direct: Counter[str] = Counter()
    deeper: Counter[str] = Counter()
    for parts, names in images.items():
        if parts:
            (direct if len(parts) == 1 else deeper)[parts[0]] += len(names)
    filled = [name for name in direct if direct[name] + deeper[name]]
    return 2 * sum(deeper[name] > direct[name] for name in filled) >= len(filled) > 0


def _splits(images: dict[Parts, list[str]], depth: int) -> dict[Parts, list[str]]:
    """Class folders of each folder at this depth that has images in any, in sorted order."""
    splits: dict[Parts, list[str]] = {}
    filled = set()
    for parts, names in images.items():
        if len(parts) == depth + 1:
            splits.setdefault(parts[:depth], []).append(parts[depth])
        if len(parts) > depth and names:
            filled.add(parts[:depth])
    return {parts: classes for parts, classes in splits.items() if parts in filled}
