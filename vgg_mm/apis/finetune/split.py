"""Lists of photos for training and validation, and how many of each class there are."""

import random
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from vgg_mm.datasets.class_names import sorted_names
from vgg_mm.installation import argument

from ..check_dataset.layout import NO_SPLITS, Layout

#: Names of the folders that are taken as splits, in lower case.
TRAIN_NAMES = ('train', 'training')

VAL_NAMES = ('val', 'valid', 'validation', 'test', 'testing')

#: Share of each class that is kept for validation where the folder has no splits.
VAL_SHARE = 0.2

#: (path relative to the folder, class number)
Photos = list[tuple[str, int]]

#: What ``class_weights`` can be.
BALANCED = 'balanced'

#: So many times as many photos in the largest class as in the smallest are worth a notice.
STRONG = 5


class Split(NamedTuple):
    """Training and validation photos; ``how`` says in words where the split comes from.

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
            validation, or a class that is only in validation.
    """
    splits = {name.lower(): number for number, name in enumerate(layout.splits)}
    if list(splits) == [NO_SPLITS]:
        train, val, how = _draw(_photos(layout, 0), seed)
    else:
        train = _photos(layout, _choose(layout, splits, TRAIN_NAMES))
        val = _photos(layout, _choose(layout, splits, VAL_NAMES))
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


def _choose(layout: Layout, splits: dict[str, int], names: Sequence[str]) -> int:
    found = [name for name in names if name in splits]
    if not found:
        raise ValueError(
            f'{layout.folder} has the splits {", ".join(layout.splits)}: expected '
            'FOLDER/train/CLASS/* and FOLDER/val/CLASS/*, or FOLDER/CLASS/*'
        )
    return splits[found[0]]


def _photos(layout: Layout, split: int) -> list[tuple[str, str]]:
    """(path, name of the class) of a split's photos."""
    names = list(layout.splits.values())[split]
    return [
        (path, names[label])
        for path, number, label in zip(layout.paths, layout.split, layout.label)
        if number == split
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


def list_lines(photos: Photos) -> str:
    """The photos as MMPretrain's ``CustomDataset`` reads them from a file."""
    return ''.join(f'{path} {label}\n' for path, label in photos)


def class_weights(split: Split) -> list[float]:
    """Weights inverse to the photos to train on, on average 1 over the photos.

    N / (K n) for a class with n of the N photos of K classes, as scikit-learn's 'balanced'.
    """
    counts = Counter(label for _, label in split.train)
    total, classes = len(split.train), len(split.classes)
    return [round(total / (classes * counts[label]), 4) for label in range(classes)]


def describe_balance(split: Split, balanced: bool) -> str:
    """A line on class weights, or on classes that differ strongly without them; '' if neither."""
    counts = Counter(label for _, label in split.train)
    ordered = counts.most_common()
    (most, largest), (least, smallest) = (
        (split.classes[label], count) for label, count in (ordered[0], ordered[-1])
    )
    if balanced:
        weights = class_weights(split)
        return (
            f'Loss       weighted by class, from {min(weights):g} ({most}) to {max(weights):g} '
            f'({least})'
        )
    if largest < STRONG * smallest:
        return ''
    return (
        f'Notice     {most} has {largest:,} photos to train on, {least} {smallest:,}: '
        f'{argument("class_weights", BALANCED)} makes each class count the same'
    )
