"""``tools/linear_probe.py``: a linear SVM on features (paper, Appendix B)."""

import json
import os
from collections.abc import Sequence
from typing import Any, Optional, Union

import numpy as np

from vgg_mm.checkpoints import write_atomically
from vgg_mm.text import printable

from ..cores import available_cores
from ..inference.report import make_folder
from ..tables import say
from .neighbours import nearest
from .probe_data import Labelled, train_and_test
from .result import ProbeResult
from .svm import DEFAULT_C, FOLDS, Fitted, fit, import_sklearn

RESULT, CONFUSION, SHEET = 'linear_probe.json', 'confusion.png', 'retrieval.jpg'

Files = Union[str, os.PathLike, Sequence[Union[str, os.PathLike]]]


def linear_probe(
    features: Files,
    test: Optional[Files] = None,
    val_fraction: float = 0.2,
    c: Sequence[float] = DEFAULT_C,
    folds: int = FOLDS,
    seed: int = 0,
    neighbours: int = 5,
    queries: int = 8,
    out: Union[str, os.PathLike, None] = None,
) -> ProbeResult:
    """Learn a linear SVM for each class against the others, and test it (Appendix B).

    C is the one with the best mean class recall in cross-validation on the images to learn from.

    >>> result = linear_probe('train.parquet', 'val.parquet')
    >>> result.accuracy, result.accuracy_interval, result.mean_class_recall

    Args:
        features: File of :func:`extract_features`; of several nets on the same images, whose
            features are stacked.
        test: The same for the images to test on; None: a share of the images of each class.
        val_fraction: That share.
        c: What C is chosen from; with one there is no cross-validation.
        folds: Of the cross-validation.
        seed: Of split, folds and the choice of queries.
        neighbours: How many images are retrieved for each test image.
        queries: Rows of the retrieval sheet.
        out: Folder for ``linear_probe.json``, ``confusion.png`` and ``retrieval.jpg``; None writes
            nothing.

    Raises:
        FileNotFoundError, ValueError, ImportError: in one line, if a file is missing or files or
            arguments do not fit together.
    """
    import_sklearn()
    for name, value in (
        ('neighbours (--neighbours)', neighbours),
        ('queries (--queries)', queries),
    ):
        if not isinstance(value, int) or value < 1:
            raise ValueError(f'{name} must be a positive number, got {value!r}')
    if out is not None:
        make_folder(os.fspath(out), '--out')
    learn, held_out = train_and_test(
        _paths(features), None if test is None else _paths(test), val_fraction, seed
    )
    fitted = fit(learn.values, learn.labels, c, folds, seed, available_cores())
    k = min(neighbours, len(learn.labels))
    places, cosines = nearest(learn.values, held_out.values, k)
    result = _result(learn, held_out, fitted, places)
    if out is not None:
        _write(os.fspath(out), result, learn, held_out, places, cosines, queries, seed)
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
        found.append(f'classes without test images, which the means leave out: {missing:,}')
    if fitted.recalls and fitted.c in (min(fitted.recalls), max(fitted.recalls)):
        found.append(
            f'the best C is at the edge of those tried; more may be better: --C {_more(fitted)}'
        )
    if not fitted.converged:
        found.append(f'the SVM with C = {fitted.c:g} did not converge; a smaller C does')
    return found


def _more(fitted: Fitted) -> str:
    """The C around an edge."""
    return ' '.join(f'{fitted.c * factor:g}' for factor in (0.01, 0.1, 1, 10, 100))


def _write(
    out: str,
    result: ProbeResult,
    learn: Labelled,
    held_out: Labelled,
    places: np.ndarray,
    cosines: np.ndarray,
    queries: int,
    seed: int,
) -> None:
    """Write numbers and pictures into a folder."""
    # matplotlib takes as long to import as a small probe to run.
    from .pictures import Row, confusion_picture, retrieval_sheet

    rows = [
        Row(
            held_out.photos[query],
            held_out.classes[held_out.labels[query]],
            [learn.photos[i] for i in places[query]],
            [learn.classes[label] for label in learn.labels[places[query]]],
            cosines[query].tolist(),
        )
        for query in _queries(held_out.labels, queries, seed)
    ]
    title = f'Accuracy {result.accuracy:.1f} % of {result.images:,} test images'
    sheet_title = (
        f'Test photos and the {result.k} nearest learnt from, by cosine; green: same class'
    )
    content = {
        CONFUSION: confusion_picture(result.confusion, result.classes, title),
        SHEET: retrieval_sheet(rows, sheet_title),
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
