"""Lists of photos for training and validation, and how many of each class there are."""

import random
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from vgg_mm.datasets.class_names import sorted_names
from vgg_mm.installation import argument
from vgg_mm.text import printable

from ..check_dataset.layout import NO_SPLITS, Layout

#: Names of the folders that are used as splits, in lower case.
TRAIN_NAMES = ('train', 'training')

VAL_NAMES = ('val', 'valid', 'validation', 'test', 'testing')

#: Share of each class that is kept for validation where the folder has no splits.
VAL_SHARE = 0.2

#: (path relative to the folder, class number)
Photos = list[tuple[str, int]]

#: Values of ``class_weights``.
BALANCED = 'balanced'

#: A notice is printed if the largest class has this many times the photos of the smallest.
IMBALANCE = 5


class Split(NamedTuple):
    """Training and validation photos; ``how`` describes where the split comes from.

    ``classes`` are sorted, names that are numbers as numbers.
    """

    classes: list[str]
    train: Photos
    val: Photos
    how: str


def split_photos(layout: Layout, seed: int = 0) -> Split:
    """The folder's own splits, or a fifth of each class, drawn by ``seed``, for validation.

    Of a class with one photo none is left for validation; if that is so for all of them, the
    training photos are used for it. Class folders without photos are no classes.

    Raises:
        ValueError: in one line, if the folder has one class, other splits than training and
            validation, a class that is only in validation, or a name that no list can hold.
    """
    for path in layout.paths:
        _check_path(layout.folder, path)
    if list(layout.splits) == [NO_SPLITS]:
        train, val, how = _draw(_photos(layout, NO_SPLITS), seed)
    else:
        train, val = (_photos(layout, _choose(layout, n)) for n in (TRAIN_NAMES, VAL_NAMES))
        how = 'as the folder has it'
    classes = sorted_names({name for _, name in train})
    if len(classes) < 2:
        raise ValueError(
            f'{layout.folder} has photos to train on of one class ({classes[0]}): classification '
            'needs two or more class folders'
        )
    if others := sorted({name for _, name in val} - set(classes)):
        raise ValueError(
            f'class {others[0]!r} of {layout.folder} has photos to validate on, none to train on'
        )
    numbers = {name: number for number, name in enumerate(classes)}
    trained, validated = (
        [(path, numbers[name]) for path, name in photos] for photos in (train, val)
    )
    return Split(classes, trained, validated, how)


def _check_path(folder: str, path: str) -> None:
    """Refuse a photo that a list of photos for MMPretrain's CustomDataset cannot name: a line is
    UTF-8 text, and blanks at its start are not part of it."""
    try:
        path.encode()
    except UnicodeEncodeError:
        why = 'is not UTF-8 text'
    else:
        if path == path.lstrip() and '\n' not in path:
            return
        why = 'begins with a blank' if path != path.lstrip() else 'contains a line break'
    raise ValueError(f"{printable(folder)}: the path '{printable(path)}' in it {why}: rename it")


def _choose(layout: Layout, names: Sequence[str]) -> str:
    """The split that has the first of these names, ignoring case."""
    splits = {name.lower(): name for name in layout.splits}
    found = [splits[name] for name in names if name in splits]
    if not found:
        raise ValueError(
            f'{layout.folder} has the splits {", ".join(layout.splits)}: expected '
            'FOLDER/train/CLASS/* and FOLDER/val/CLASS/*, or FOLDER/CLASS/*'
        )
    return found[0]


def _photos(layout: Layout, split: str) -> list[tuple[str, str]]:
    """(path, name of the class) of a split's photos."""
    number, names = list(layout.splits).index(split), layout.splits[split]
    return [
        (layout.paths[i], names[layout.label[i]]) for i in np.flatnonzero(layout.split == number)
    ]


def _draw(photos: list[tuple[str, str]], seed: int) -> tuple[list, list, str]:
    draw = random.Random(seed)
    by_class: dict[str, list] = {}
    for photo in photos:
        by_class.setdefault(photo[1], []).append(photo)
    train, val = [], []
    for own in by_class.values():
        draw.shuffle(own)
        count = max(round(VAL_SHARE * len(own)), int(len(own) > 1))
        val += own[:count]
        train += own[count:]
    if not val:
        return train, train, 'one photo a class: validated on the training photos'
    return sorted(train), sorted(val), f'a fifth of each class for validation (seed {seed})'


def balanced_weights(split: Split) -> list[float]:
    """Weights inverse to the photos to train on, on average 1 over the photos.

    N / (K n) for a class with n of the N photos of K classes, as scikit-learn's 'balanced'.
    """
    counts = Counter(label for _, label in split.train)
    total, classes = len(split.train), len(split.classes)
    return [round(total / (classes * counts[label]), 4) for label in range(classes)]


def describe_balance(split: Split, balanced: bool) -> str:
    """A line on class weights, or on classes that differ strongly without them; '' if neither."""
    ordered = Counter(label for _, label in split.train).most_common()
    (most, largest), (least, smallest) = ordered[0], ordered[-1]
    if balanced:
        weights = balanced_weights(split)
        return (
            f'Loss       weighted by class, from {min(weights):g} ({split.classes[most]}) to '
            f'{max(weights):g} ({split.classes[least]})'
        )
    if largest < IMBALANCE * smallest:
        return ''
    return (
        f'Notice     {split.classes[most]} has {largest:,} photos to train on, '
        f'{split.classes[least]} {smallest:,}: {argument("class_weights", BALANCED)} makes each '
        'class count the same'
    )
