"""The predictions of a fine-tuned net for each class: a table, a CSV file, a confusion matrix."""

import csv
import io
import os.path as osp

import numpy as np

from vgg_mm.checkpoints import write_atomically
from vgg_mm.evaluation.posteriors import Posteriors, load_posteriors
from vgg_mm.models.tta.paper_tta import DENSE
from vgg_mm.text import printable
from vgg_mm.visualization.confusion import confusion_picture

from ..chain.job import POSTERIORS
from ..tables import format_table

TABLE_FILE, MATRIX_FILE, PICTURE_FILE = FILES = (
    'per_class.csv',
    'confusion_matrix.csv',
    'confusion_matrix.png',
)

#: Maximum number of classes that are printed, the worst first; the files have all.
MAX_ROWS = 12


def confusion_matrix(posteriors: Posteriors, protocol: str) -> np.ndarray:
    """Counts (classes, classes): true classes by row, predicted ones by column.

    Images that could not be read are left out.
    """
    scores = posteriors.scores[protocol]
    read = ~np.isnan(scores).any(1)
    count = len(posteriors.classes)
    cells = posteriors.labels[read] * count + scores[read].argmax(1)
    return np.bincount(cells, minlength=count**2).reshape(count, count)


def report_classes(folder: str) -> str:
    """Write the files next to a test's ``FOLDER/posteriors.npz``; returns the table to print."""
    posteriors = load_posteriors(osp.join(folder, POSTERIORS))
    classes, matrix = posteriors.classes, confusion_matrix(posteriors, DENSE)
    images, right, taken = matrix.sum(1), matrix.diagonal(), matrix.sum(0)
    wrong = matrix - np.diag(right)
    mostly, times = wrong.argmax(1), wrong.max(1)
    with np.errstate(invalid='ignore'):  # NaN of a class without images, or never predicted
        recall, precision = 100 * right / images, 100 * right / taken
    header = ['class', 'images', 'right', 'recall', 'precision', 'mostly taken for', 'times']
    rows = [
        [
            name, images[i], right[i], f'{recall[i]:.1f}', f'{precision[i]:.1f}',
            classes[mostly[i]] if times[i] else '', times[i],
        ]
        for i, name in enumerate(classes)
    ]  # fmt: skip
    _write_csv(osp.join(folder, TABLE_FILE), [header, *rows])
    rows = [[name, *row] for name, row in zip(classes, matrix.tolist())]
    _write_csv(osp.join(folder, MATRIX_FILE), [['true class', *classes], *rows])
    error = 100 * (1 - right.sum() / max(1, images.sum()))
    title = f'{images.sum():,} images, {DENSE}: top-1 error {error:.1f} %'
    write_atomically(osp.join(folder, PICTURE_FILE), confusion_picture(matrix, classes, title))

    worst = sorted(np.flatnonzero(images), key=lambda i: (recall[i], -images[i]))
    rows = [
        [
            printable(classes[i]),
            images[i],
            f'{recall[i]:.1f}',
            f'{precision[i]:.1f}' if taken[i] else '',
            f'{printable(classes[mostly[i]])} ({times[i]})' if times[i] else '',
        ]
        for i in worst[:MAX_ROWS]
    ]
    table = format_table(('class', 'images', 'recall, %', 'precision, %', 'mostly taken for'), rows)
    more = f'; the {MAX_ROWS} worst of {len(classes)}' if len(worst) > MAX_ROWS else ''
    return (
        f'Each class, the worst first{more}:\n\n{table}\n\n'
        f'All classes: {", ".join(FILES)} in {folder}'
    )


def _write_csv(path: str, rows: list[list]) -> None:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    write_atomically(path, text.getvalue().encode('utf-8', 'backslashreplace'))
