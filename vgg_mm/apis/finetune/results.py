"""What a fine-tuned net takes each class for: a table, a CSV file and a confusion matrix."""

import csv
import io
import os.path as osp
from typing import NamedTuple, Optional

import numpy as np

from vgg_mm.checkpoints import write_atomically
from vgg_mm.evaluation.posteriors import Posteriors, load_posteriors
from vgg_mm.models.tta.paper_tta import DENSE
from vgg_mm.text import printable

from ..tables import format_table

TABLE_FILE, MATRIX_FILE, PICTURE_FILE = (
    'per_class.csv',
    'confusion_matrix.csv',
    'confusion_matrix.png',
)

#: Classes that are printed, the worst first; the files have all.
PRINTED = 12

#: With more classes the picture has no numbers in its cells.
MOST_NUMBERS = 25


class ClassResult(NamedTuple):
    """Of a class: ``images``, how many of them were ``right``, how many of all were ``taken`` for
    it, and for which other class it was ``mostly`` taken, ``times`` times."""

    name: str
    images: int
    right: int
    taken: int
    mostly: Optional[str]
    times: int

    @property
    def recall(self) -> float:
        """Share of the images that were right, in percent; NaN without images."""
        return 100 * self.right / self.images if self.images else float('nan')

    @property
    def precision(self) -> float:
        """Share of those taken for the class that were of it, in percent; NaN without any."""
        return 100 * self.right / self.taken if self.taken else float('nan')


def confusion_matrix(posteriors: Posteriors, protocol: str) -> np.ndarray:
    """Counts (classes, classes): true classes by row, predicted ones by column.

    Images that could not be read are left out.
    """
    scores = posteriors.scores[protocol]
    read = ~np.isnan(scores).any(1)
    count = len(posteriors.classes)
    cells = posteriors.labels[read] * count + scores[read].argmax(1)
    return np.bincount(cells, minlength=count**2).reshape(count, count)


def class_results(matrix: np.ndarray, classes: list[str]) -> list[ClassResult]:
    """A result for each class, in order."""
    wrong = matrix - np.diag(np.diag(matrix))
    return [
        ClassResult(
            name,
            int(matrix[i].sum()),
            int(matrix[i, i]),
            int(matrix[:, i].sum()),
            classes[int(wrong[i].argmax())] if wrong[i].any() else None,
            int(wrong[i].max()),
        )
        for i, name in enumerate(classes)
    ]


def report_classes(folder: str) -> str:
    """Write the files beside a test's posteriors, ``FOLDER/posteriors.npz``; the table to print."""
    posteriors = load_posteriors(osp.join(folder, 'posteriors.npz'))
    matrix = confusion_matrix(posteriors, DENSE)
    results = class_results(matrix, posteriors.classes)
    _write_csv(
        osp.join(folder, TABLE_FILE),
        [
            ['class', 'images', 'right', 'recall', 'precision', 'mostly taken for', 'times'],
            *(
                [
                    r.name,
                    r.images,
                    r.right,
                    f'{r.recall:.1f}',
                    f'{r.precision:.1f}',
                    r.mostly or '',
                    r.times,
                ]
                for r in results
            ),
        ],
    )
    rows = [[name, *row] for name, row in zip(posteriors.classes, matrix.tolist())]
    _write_csv(osp.join(folder, MATRIX_FILE), [['true class', *posteriors.classes], *rows])
    write_atomically(osp.join(folder, PICTURE_FILE), _picture(matrix, posteriors.classes))
    return _table(results, folder)


def _table(results: list[ClassResult], folder: str) -> str:
    worst = sorted((r for r in results if r.images), key=lambda r: (r.recall, -r.images))
    rows = [
        [
            printable(r.name),
            r.images,
            f'{r.recall:.1f}',
            f'{r.precision:.1f}' if r.taken else '',
            f'{printable(r.mostly)} ({r.times})' if r.mostly else '',
        ]
        for r in worst[:PRINTED]
    ]
    table = format_table(('class', 'images', 'recall, %', 'precision, %', 'mostly taken for'), rows)
    more = f'; the {PRINTED} worst of {len(results)}' if len(worst) > PRINTED else ''
    files = ', '.join((TABLE_FILE, MATRIX_FILE, PICTURE_FILE))
    return f'Each class, the worst first{more}:\n\n{table}\n\nAll classes: {files} in {folder}'


def _write_csv(path: str, rows: list[list]) -> None:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    write_atomically(path, text.getvalue().encode('utf-8', 'backslashreplace'))


def _picture(matrix: np.ndarray, classes: list[str]) -> bytes:
    import matplotlib

    matplotlib.use('Agg', force=False)
    import torch
    from matplotlib import pyplot
    from mmpretrain.evaluation import ConfusionMatrix

    few = len(classes) <= MOST_NUMBERS
    figure = ConfusionMatrix.plot(
        torch.from_numpy(matrix),
        include_values=few,
        classes=[printable(name) for name in classes] if few else None,
        colorbar=False,
        show=False,
    )
    try:
        content = io.BytesIO()
        figure.savefig(content, format='png', bbox_inches='tight')
    finally:
        pyplot.close(figure)
    return content.getvalue()
