"""Problems and statistics of a data set."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from ..image_folders import VALIDATION_FOLDERS
from .layout import Layout
from .scan import Scan

#: Kinds of problems: those that training should not start with, and others.
SERIOUS = UNREADABLE, ACROSS_SPLITS, MISSING_CLASS, FLAT = (
    'unreadable',
    'duplicate across splits',
    'missing class',
    'split without class folders',
)
ACROSS_CLASSES, WITHIN_CLASS = 'duplicate across classes', 'duplicate within class'
EMPTY_CLASS, OUTSIDE = 'empty class', 'outside class folders'
INCOMPLETE, WRONG_EXTENSION, DECODER_WARNING = 'incomplete', 'wrong extension', 'decoder warning'

#: Bounds of the histogram of width over height.
RATIOS = (1 / 2, 3 / 4, 4 / 3, 2)


class Problem(NamedTuple):
    path: str
    kind: str
    reason: str


class Duplicates(NamedTuple):
    """Groups of images of equal content, as places in the layout's ``paths``.

    A group is in every list that applies: with images of several splits, of several classes
    (by name), and with several images of one class in one split.
    """

    across_splits: list[np.ndarray]
    across_classes: list[np.ndarray]
    within_class: list[np.ndarray]


class Findings(NamedTuple):
    """A data set and all that was found in it."""

    layout: Layout
    scan: Scan
    duplicates: Duplicates
    crop_size: int

    @property
    def missing(self) -> dict[str, list[str]]:
        """Class folders that a split lacks and another one has."""
        splits = self.layout.splits
        names = set().union(*splits.values())
        missing = {split: sorted(names.difference(found)) for split, found in splits.items()}
        return {split: names for split, names in missing.items() if names}

    @property
    def flat(self) -> dict[str, int]:
        """Validation images in no class folders, as ImageNet publishes them: count by folder.

        Test images may be in none.
        """
        splits = self.layout.splits
        names = {os.path.normpath(folder): count for folder, count in self.layout.outside.items()}
        return {
            name: count
            for name, count in names.items()
            if name.lower() in VALIDATION_FOLDERS and name not in splits
        }

    @property
    def sides(self) -> np.ndarray:
        """Height and width in pixels of the readable images, (N, 2), as training uses them."""
        records = self.scan.records[self.scan.readable]
        return np.stack([records['height'], records['width']], axis=1)

    @property
    def short_sides(self) -> np.ndarray:
        """The smaller side in pixels of each readable image, (N,)."""
        return self.sides.min(axis=1)

    @property
    def ratios(self) -> np.ndarray:
        """Width over height of each readable image, (N,)."""
        return self.sides[:, 1] / self.sides[:, 0]

    @property
    def bounds(self) -> list[int]:
        """Bounds of the short side's histogram: the crop's side, halved and doubled."""
        crop = self.crop_size
        return sorted({max(1, crop // 4), max(1, crop // 2), crop, 2 * crop, 4 * crop, 8 * crop})

    @property
    def small(self) -> int:
        """Number of images whose short side is below the crop's."""
        return int((self.short_sides < self.crop_size).sum())

    @property
    def modes(self) -> dict[str, np.ndarray]:
        """Readable images by colour mode, the most frequent one first."""
        readable = self.scan.readable
        modes = self.scan.records['mode'][readable]
        images = {name: readable[modes == i] for i, name in enumerate(self.scan.modes)}
        return dict(sorted(images.items(), key=lambda item: -len(item[1])))

    @property
    def rotated(self) -> np.ndarray:
        """Images that are rotated or mirrored without their EXIF tag."""
        return np.flatnonzero(self.scan.records['rotated'])

    @property
    def complete(self) -> bool:
        """Whether all images were checked."""
        return self.scan.seen == len(self.layout.paths)


def histogram(values: np.ndarray, bounds: Sequence[float]) -> np.ndarray:
    """Number of values below the first bound, from each to the next, and from the last on."""
    return np.bincount(np.searchsorted(bounds, values, 'right'), minlength=len(bounds) + 1)


def class_counts(layout: Layout) -> dict[str, dict[str, int]]:
    """Number of images of each class of each split."""
    counts = {}
    for number, (split, names) in enumerate(layout.splits.items()):
        labels = layout.label[layout.split == number]
        found = np.bincount(labels, minlength=len(names)).tolist()
        counts[split] = dict(zip(names, found))
    return counts


def find_duplicates(layout: Layout, scan: Scan) -> Duplicates:
    """Groups of readable images whose files have the same bytes."""
    result = Duplicates([], [], [])
    for group in _equal(scan.readable, scan.records['digest']):
        places = [layout.place(index) for index in group]
        splits, classes = map(set, zip(*places))
        if len(splits) > 1:
            result.across_splits.append(group)
        if len(classes) > 1:
            result.across_classes.append(group)
        if len(set(places)) < len(places):
            result.within_class.append(group)
    return result


def _equal(images: np.ndarray, digests: np.ndarray) -> list[np.ndarray]:
    """Groups of at least two images with the same digest, in the order of their first images."""
    images = images[np.lexsort(digests[images].T)]
    differs = (digests[images[1:]] != digests[images[:-1]]).any(axis=1)
    bounds = np.flatnonzero(np.concatenate([[True], differs, [True]]))
    groups = [
        np.sort(images[first:end]) for first, end in zip(bounds[:-1], bounds[1:]) if end - first > 1
    ]
    return sorted(groups, key=lambda group: group[0])


def shared_images(findings: Findings) -> Iterator[tuple[str, str, int]]:
    """(small split, large split, images of the small one that are also in the large one)."""
    layout = findings.layout
    sizes = np.bincount(layout.split, minlength=len(layout.splits))
    order = sorted(range(len(sizes)), key=lambda split: -sizes[split])
    names = list(layout.splits)
    for large, small in combinations(order, 2):
        splits = [layout.split[group] for group in findings.duplicates.across_splits]
        count = sum(int((found == small).sum()) for found in splits if large in found)
        if count:
            yield names[small], names[large], count


def label_shift(splits: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """For each split but the first: one class that has another number there."""
    (first, expected), *others = splits.items()
    for split, found in others:
        numbers = {name: number for number, name in enumerate(found)}
        for number, name in enumerate(expected):
            if numbers.get(name, number) != number:
                yield f'{name!r} is label {number} in {first} and {numbers[name]} in {split}'
                break


def problems(findings: Findings) -> Iterator[Problem]:
    """All problems, kind by kind, the serious ones first."""
    layout, scan = findings.layout, findings.scan
    yield from _of_images(layout, UNREADABLE, scan.unreadable)
    yield from _copies(findings)
    for split, names in findings.missing.items():
        for name in names:
            owners = [other for other, found in layout.splits.items() if name in found]
            path = os.path.join(layout.folder, split, name)
            yield Problem(path, MISSING_CLASS, f'this class is in {", ".join(owners)}')
    for name, count in findings.flat.items():
        path = os.path.join(layout.folder, name)
        reason = f'{count:,} images without a class: move them to CLASS/'
        yield Problem(path, FLAT, reason)
    for split, classes in class_counts(layout).items():
        for name, count in classes.items():
            if not count:
                path = os.path.join(layout.folder, split, name)
                yield Problem(path, EMPTY_CLASS, 'it has a label, but no images')
    for folder, count in layout.outside.items():
        if os.path.normpath(folder) not in findings.flat:
            path = os.path.normpath(os.path.join(layout.folder, folder))
            reason = f'images directly in it, not used for training: {count:,}'
            yield Problem(path, OUTSIDE, reason)
    yield from _of_images(layout, INCOMPLETE, scan.incomplete, 'used anyway: ')
    yield from _of_images(layout, WRONG_EXTENSION, scan.wrong_format, 'the content is ')
    yield from _of_images(layout, DECODER_WARNING, scan.warnings)


def _of_images(
    layout: Layout, kind: str, texts: Mapping[int, str], start: str = ''
) -> Iterator[Problem]:
    for path, text in _texts(layout, texts).items():
        yield Problem(path, kind, f'{start}{text}')


def _copies(findings: Findings) -> Iterator[Problem]:
    """Every image that repeats one of a larger split, another class, or its own class."""
    layout, duplicates = findings.layout, findings.duplicates
    sizes = np.bincount(layout.split)

    def problem(index: int, kind: str, original: int) -> Problem:
        return Problem(layout.path(index), kind, f'same content as {layout.path(original)}')

    for group in duplicates.across_splits:
        original = max(group, key=lambda index: sizes[layout.split[index]])
        for index in group:
            if layout.split[index] != layout.split[original]:
                yield problem(index, ACROSS_SPLITS, original)
    for group in duplicates.across_classes:
        for index in group:
            if layout.place(index)[1] != layout.place(group[0])[1]:
                yield problem(index, ACROSS_CLASSES, group[0])
    for group in duplicates.within_class:
        originals: dict[tuple[str, str], int] = {}
        for index in group:
            if originals.setdefault(layout.place(index), index) != index:
                yield problem(index, WITHIN_CLASS, originals[layout.place(index)])


def count_problems(findings: Findings) -> Counter:
    """Number of problems of each kind, in the order of ``problems``."""
    return Counter(problem.kind for problem in problems(findings))


def summary(findings: Findings) -> dict:
    """All counts and lists; paths start with the folder that was given.

    Colour modes are listed image by image except for the most frequent one.
    """
    layout, scan = findings.layout, findings.scan
    return dict(
        folder=layout.folder,
        images=len(layout.paths),
        images_read=scan.seen,
        splits=class_counts(layout),
        missing_classes=findings.missing,
        crop_size=findings.crop_size,
        smaller_than_crop=findings.small,
        short_side=_distribution(findings.short_sides, findings.bounds),
        aspect_ratio=_distribution(findings.ratios, RATIOS),
        modes={mode: len(images) for mode, images in findings.modes.items()},
        images_of_mode={
            mode: _paths(layout, images) for mode, images in [*findings.modes.items()][1:]
        },
        exif_rotated=_paths(layout, findings.rotated),
        problems=dict(count_problems(findings)),
        unreadable=_texts(layout, scan.unreadable),
        incomplete=_texts(layout, scan.incomplete),
        wrong_extension=_texts(layout, scan.wrong_format),
        decoder_warnings=_texts(layout, scan.warnings),
        duplicates={
            kind: [_paths(layout, group) for group in groups]
            for kind, groups in findings.duplicates._asdict().items()
        },
        outside_class_folders=dict(layout.outside),
        skipped=dict(layout.skipped),
    )


def _distribution(values: np.ndarray, bounds: Sequence[float]) -> dict:
    """Extremes and a histogram: below the first bound, from each to the next, from the last on."""
    if not len(values):
        return {}
    return dict(
        smallest=values.min().item(),
        median=np.median(values).item(),
        largest=values.max().item(),
        bounds=list(bounds),
        counts=histogram(values, bounds).tolist(),
    )


def _paths(layout: Layout, images: Iterable[int]) -> list[str]:
    return [layout.path(index) for index in images]


def _texts(layout: Layout, texts: Mapping[int, str]) -> dict[str, str]:
    """By path, in the layout's order."""
    return {layout.path(index): text for index, text in sorted(texts.items())}
