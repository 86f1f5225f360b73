"""Features to learn from and to test on."""

import os
from collections.abc import Sequence
from typing import NamedTuple, Optional

import numpy as np

from .files import Features, load_features
from .photos import NO_LABEL
from .settings import SHARED, Settings


class Labelled(NamedTuple):
    """Features of images with a class: ``values`` (N, dimension) of length 1, ``labels`` (N,).

    ``photos`` are the images' files, ``classes`` the names; ``broken`` images could not be read and
    ``unlabelled`` ones lie in no class folder: neither are among the N. ``settings`` are of each
    file that the values were stacked from.
    """

    values: np.ndarray
    labels: np.ndarray
    photos: list[str]
    classes: list[str]
    broken: int
    unlabelled: int
    settings: list[Settings]

    def take(self, indices: np.ndarray) -> 'Labelled':
        """Some of the images."""
        photos = [self.photos[i] for i in indices]
        return self._replace(
            values=self.values[indices], labels=self.labels[indices], photos=photos
        )


def load_labelled(paths: Sequence[str]) -> Labelled:
    """Read files of features; those of several nets are stacked image by image (Appendix B).

    Args:
        paths: Files of the same images.

    Raises:
        FileNotFoundError, ValueError, ImportError: in one line, if a file is missing, is another
            kind of file, has other images than the first, or has no image with a class.
    """
    files = [load_features(path) for path in paths]
    first = files[0]
    for path, other in zip(paths, files):
        if (other.paths, _classes(other)) != (first.paths, _classes(first)):
            raise ValueError(f'{path} and {paths[0]} are of other images: they cannot be stacked')
    broken = np.any([[bool(error) for error in one.errors] for one in files], axis=0)
    unlabelled = ~broken & (first.labels == NO_LABEL)
    kept = np.flatnonzero(~broken & ~unlabelled)
    if not len(kept):
        raise ValueError(
            f'{paths[0]} has no image with a class: extract FOLDER/CLASS/*, a folder for each class'
        )
    values = np.concatenate([one.values[kept] for one in files], axis=1) / np.sqrt(len(files))
    return Labelled(
        values,
        first.labels[kept],
        [os.path.join(first.info['folder'], first.paths[i]) for i in kept],
        first.classes,
        int(broken.sum()),
        int(unlabelled.sum()),
        [Settings.from_info(one.info) for one in files],
    )


def _classes(features: Features) -> list[str]:
    return [features.classes[label] if label >= 0 else '' for label in features.labels]


def train_and_test(
    train: Sequence[str], test: Optional[Sequence[str]], val_fraction: float, seed: int
) -> tuple[Labelled, Labelled]:
    """Features to learn from and to test on, with the same classes.

    Args:
        train: Files of features.
        test: Files of features of other images, by the same nets in the same order; None: a share
            of the training images of each class is kept for the test.
        val_fraction: That share.
        seed: Of that choice.

    Raises:
        ValueError: in one line, if the two do not fit together, or there is only one class.
    """
    learn = load_labelled(train)
    if test is None:
        learn, held_out = _split(learn, val_fraction, seed)
    else:
        held_out = load_labelled(test)
        _check_pair(learn, held_out, train, test)
        held_out = _with_classes_of(learn, held_out)
    if len(set(learn.labels.tolist())) < 2:
        name = learn.classes[learn.labels[0]]
        raise ValueError(
            f'{train[0]} has images of one class ({name}): a classifier needs two or more'
        )
    return learn, held_out


def _check_pair(
    learn: Labelled, held_out: Labelled, train: Sequence[str], test: Sequence[str]
) -> None:
    if len(train) != len(test):
        raise ValueError(
            f'--test needs a file for each of the {len(train)} to learn from, got {len(test)}'
        )
    for one, other, one_path, other_path in zip(learn.settings, held_out.settings, train, test):
        if differences := one.differences(other, SHARED):
            raise ValueError(
                f'{other_path} does not go with {one_path}: it was made with {differences}'
            )
    if both := set(map(os.path.realpath, learn.photos)) & set(
        map(os.path.realpath, held_out.photos)
    ):
        raise ValueError(
            f'--test: {len(both):,} of its images are learnt from as well, such as {min(both)}'
        )


def _with_classes_of(learn: Labelled, data: Labelled) -> Labelled:
    """The same images with the labels that the classes have for learning."""
    numbers = {learn.classes[label]: label for label in np.unique(learn.labels)}
    for label in np.unique(data.labels):
        if data.classes[label] not in numbers:
            raise ValueError(f'--test: class {data.classes[label]!r} has no images to learn from')
    own = np.array([numbers.get(name, NO_LABEL) for name in data.classes])
    return data._replace(labels=own[data.labels], classes=learn.classes)


def _split(data: Labelled, share: float, seed: int) -> tuple[Labelled, Labelled]:
    """A share of each class for the test, drawn by ``seed``; at least one image is left."""
    if not 0 < share < 1:
        raise ValueError(f'--val-fraction must be between 0 and 1, got {share}')
    draw = np.random.default_rng(seed)
    chosen = np.zeros(len(data.labels), bool)
    for label in np.unique(data.labels):
        own = draw.permutation(np.flatnonzero(data.labels == label))
        chosen[own[: min(max(round(share * len(own)), 1), len(own) - 1)]] = True
    if not chosen.any():
        raise ValueError('every class has one image: none can be kept for the test; give --test')
    held_out = data.take(np.flatnonzero(chosen))._replace(broken=0, unlabelled=0)
    return data.take(np.flatnonzero(~chosen)), held_out
