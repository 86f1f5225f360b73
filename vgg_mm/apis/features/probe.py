"""A linear SVM on features (paper, Appendix B): files, split, test and report."""

import json
import os
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Optional, Union

import numpy as np

from vgg_mm.checkpoints import write_atomically
from vgg_mm.installation import argument
from vgg_mm.text import is_positive, printable
from vgg_mm.visualization.confusion import confusion_picture

from ..inference.report import make_folder
from ..subprocess_tools import available_cores
from ..tables import say
from .files import NO_LABEL, Features, load_features
from .parts import SHARED, Settings
from .result import ProbeResult, Retrieved, retrieval_sheet
from .svm import DEFAULT_C, FOLDS, Fitted, fit, import_sklearn, nearest

RESULT, CONFUSION, SHEET = 'linear_probe.json', 'confusion.png', 'retrieval.jpg'

Files = Union[str, os.PathLike, Sequence[Union[str, os.PathLike]]]


class Labelled(NamedTuple):
    """Features of images with a class: ``values`` (N, dimension) of length 1, ``labels`` (N,).

    ``photos`` are the images' files, ``classes`` the names; ``broken`` images could not be read and
    ``unlabelled`` ones are in no class folder: neither are among the N. ``settings`` are of each
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

    Raises:
        FileNotFoundError, ValueError, ImportError: in one line, if a file is missing, is another
            kind of file, has different images, or has no image with a class.
    """
    files = [load_features(path) for path in paths]
    first = files[0]
    for path, other in zip(paths, files):
        if (other.paths, _classes(other)) != (first.paths, _classes(first)):
            raise ValueError(
                f'{path} and {paths[0]} are of different images: they cannot be stacked'
            )
    broken = np.any([[bool(error) for error in one.errors] for one in files], axis=0)
    unlabelled = ~broken & (first.labels == NO_LABEL)
    kept = np.flatnonzero(~broken & ~unlabelled)
    if not len(kept):
        raise ValueError(
            f'{paths[0]} has no image with a class: extract FOLDER/CLASS/*, one folder per class'
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
            of the training images of each class is held out for the test.
        val_fraction: That share.
        seed: Of that choice.

    Raises:
        ValueError: in one line, if the two do not match, or there is only one class.
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
            f'{argument("test")} needs one file for each of the {len(train)} training files, got '
            f'{len(test)}'
        )
    for one, other, one_path, other_path in zip(learn.settings, held_out.settings, train, test):
        if differences := one.differences(other, SHARED):
            raise ValueError(
                f'{other_path} does not match {one_path}: it was extracted with {differences}'
            )
    if both := set(map(os.path.realpath, learn.photos)) & set(
        map(os.path.realpath, held_out.photos)
    ):
        raise ValueError(
            f'{argument("test")}: {len(both):,} of its images are training images, too, e.g. '
            f'{min(both)}'
        )


def _with_classes_of(learn: Labelled, data: Labelled) -> Labelled:
    """The same images with the labels that the classes have for learning."""
    numbers = {learn.classes[label]: label for label in np.unique(learn.labels)}
    for label in np.unique(data.labels):
        if data.classes[label] not in numbers:
            raise ValueError(
                f'{argument("test")}: class {data.classes[label]!r} has no training images'
            )
    own = np.array([numbers.get(name, NO_LABEL) for name in data.classes])
    return data._replace(labels=own[data.labels], classes=learn.classes)


def _split(data: Labelled, share: float, seed: int) -> tuple[Labelled, Labelled]:
    """A share of each class for the test, drawn by ``seed``; at least one image is left."""
    if not 0 < share < 1:
        raise ValueError(f'{argument("val_fraction")} must be between 0 and 1, got {share}')
    draw = np.random.default_rng(seed)
    chosen = np.zeros(len(data.labels), bool)
    for label in np.unique(data.labels):
        own = draw.permutation(np.flatnonzero(data.labels == label))
        chosen[own[: min(max(round(share * len(own)), 1), len(own) - 1)]] = True
    if not chosen.any():
        raise ValueError(
            'every class has only one image: none can be held out for the test; give '
            + argument('test', ['FEATURES'])
        )
    held_out = data.take(np.flatnonzero(chosen))._replace(broken=0, unlabelled=0)
    return data.take(np.flatnonzero(~chosen)), held_out


def linear_probe(
    features: Files,
    test: Optional[Files] = None,
    val_fraction: float = 0.2,
    c: Iterable[float] = DEFAULT_C,
    folds: int = FOLDS,
    seed: int = 0,
    neighbours: int = 5,
    queries: int = 8,
    out: Union[str, os.PathLike, None] = None,
) -> ProbeResult:
    """Learn a linear SVM for each class against the others, and test it (Appendix B).

    C is the one with the best mean class recall in cross-validation on the training images.

    >>> result = linear_probe('train.parquet', 'val.parquet')
    >>> result.accuracy, result.accuracy_interval, result.mean_class_recall

    Args:
        features: File of :func:`extract_features`; of several nets on the same images, whose
            features are stacked.
        test: The same for the images to test on; None: a share of the images of each class.
        val_fraction: That share.
        c: Values of C to choose from; with one there is no cross-validation.
        folds: Of the cross-validation.
        seed: Of split, folds and the choice of queries.
        neighbours: How many images are retrieved for each test image.
        queries: Rows of the retrieval sheet.
        out: Folder for ``linear_probe.json``, ``confusion.png`` and ``retrieval.jpg``; None writes
            nothing.

    Raises:
        FileNotFoundError, ValueError, ImportError: in one line, if a file is missing or
            files or arguments are incompatible.
    """
    import_sklearn()
    for name, value in (('neighbours', neighbours), ('queries', queries)):
        if not is_positive(value):
            raise ValueError(f'{argument(name)} must be a positive number, got {value!r}')
    if out is not None:
        make_folder(os.fspath(out), argument('out'))
    learn, held_out = train_and_test(
        _paths(features), None if test is None else _paths(test), val_fraction, seed
    )
    fitted = fit(learn.values, learn.labels, c, folds, seed, available_cores())
    k = min(neighbours, len(learn.labels))
    places, cosines = nearest(learn.values, held_out.values, k)
    result = _result(learn, held_out, fitted, places)
    if out is not None:
        sheet = [
            Retrieved(
                held_out.photos[query],
                held_out.classes[held_out.labels[query]],
                [learn.photos[i] for i in places[query]],
                [learn.classes[label] for label in learn.labels[places[query]]],
                cosines[query].tolist(),
            )
            for query in _queries(held_out.labels, queries, seed)
        ]
        _write(os.fspath(out), result, sheet)
    return result


def _paths(files: Files) -> list[str]:
    several = [files] if isinstance(files, (str, os.PathLike)) else files
    return [os.fspath(file) for file in several]


def _result(learn: Labelled, held_out: Labelled, fitted: Fitted, places: np.ndarray) -> ProbeResult:
    from sklearn.metrics import average_precision_score, confusion_matrix

    known = fitted.svm.classes_
    scores = np.full((len(held_out.labels), len(learn.classes)), -np.inf)
    scores[:, known] = fitted.scores(held_out.values)
    precision = np.full(len(learn.classes), np.nan)
    for label in np.unique(held_out.labels):
        precision[label] = average_precision_score(held_out.labels == label, scores[:, label])
    numbers = list(range(len(learn.classes)))
    same = learn.labels[places] == held_out.labels[:, None]
    return ProbeResult(
        classes=learn.classes,
        confusion=confusion_matrix(held_out.labels, scores.argmax(axis=1), labels=numbers),
        average_precision=precision,
        precision_at_k=float(same.mean()),
        k=places.shape[1],
        c=fitted.c,
        cross_validation=fitted.recalls,
        features=[settings.describe() for settings in learn.settings],
        train_images=len(learn.labels),
        broken=learn.broken + held_out.broken,
        unlabelled=learn.unlabelled + held_out.unlabelled,
        notices=_notices(held_out, fitted),
    )


def _notices(held_out: Labelled, fitted: Fitted) -> list[str]:
    found = []
    if missing := len(held_out.classes) - len(np.unique(held_out.labels)):
        found.append(f'classes without test images, excluded from the means: {missing:,}')
    if fitted.recalls and fitted.c in (min(fitted.recalls), max(fitted.recalls)):
        around = [float(f'{fitted.c * factor:g}') for factor in (0.01, 0.1, 1, 10, 100)]
        found.append(
            'the best C is at the edge of those tried; more may be better: ' + argument('c', around)
        )
    if not fitted.converged:
        found.append(f'the SVM with C = {fitted.c:g} did not converge; use a smaller C')
    return found


def _write(out: str, result: ProbeResult, sheet: list[Retrieved]) -> None:
    """Write numbers and pictures into a folder."""
    title = f'Accuracy {result.accuracy:.1f} % of {result.images:,} test images'
    sheet_title = (
        f'Test photos and the {result.k} nearest learnt from, by cosine; green: same class'
    )
    content = {
        CONFUSION: confusion_picture(result.confusion, result.classes, title),
        SHEET: retrieval_sheet(sheet, sheet_title),
    }
    result.files = {name: os.path.join(out, name) for name in (RESULT, *content)}
    content[RESULT] = json.dumps(result.to_json(), ensure_ascii=False, indent=1).encode()
    for name, data in content.items():
        write_atomically(result.files[name], data)


def _queries(labels: np.ndarray, count: int, seed: int) -> list[int]:
    """Test images of as many classes as there can be, drawn by ``seed``, in order of class."""
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    # Every class's first image comes before any class's second.
    turn = np.zeros(len(labels), int)
    for label in np.unique(labels):
        own = shuffled[labels[shuffled] == label]
        turn[own] = np.arange(len(own))
    chosen = shuffled[np.argsort(turn[shuffled], kind='stable')][:count]
    return sorted(chosen.tolist(), key=lambda i: (labels[i], i))


def probe_files(features: list[str], out: Optional[str] = None, **options: Any) -> None:
    """What ``tools/linear_probe.py`` does: :func:`linear_probe`, with its table.

    Args:
        features: Files.
        out: Folder; by default ``work_dirs/linear_probe/NAME`` of the first file.
        options: The other arguments of :func:`linear_probe`.
    """
    name = os.path.splitext(os.path.basename(features[0]))[0]
    out = out or os.path.join('work_dirs', 'linear_probe', name)
    result = linear_probe(features, out=out, **options)
    say(result.table())
    say('\n'.join(['', *(f'notice: {notice}' for notice in result.notices)]).rstrip())
    say('results are in ' + ', '.join(map(printable, result.files.values())))
