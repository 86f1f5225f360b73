"""Predictions as a table for the terminal and as files."""

import csv
import io
import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Optional

import numpy as np

from vgg_mm.apis.subprocess_tools import interruptible
from vgg_mm.apis.tables import format_table
from vgg_mm.checkpoints import write_atomically
from vgg_mm.datasets.class_names import are_numbers, class_numbers
from vgg_mm.evaluation.test_record import wilson_interval
from vgg_mm.installation import argument
from vgg_mm.progress import Progress, with_progress
from vgg_mm.text import printable

if TYPE_CHECKING:
    from .prediction import Prediction

#: What ``out`` can be, by its ending.
ENDINGS = ('.csv', '.json')

#: Seconds between two writes of a file while predictions are made; more if a write takes long.
SAVE_EVERY = 60


def table(predictions: Sequence['Prediction']) -> str:
    """A line an image: the best class and those that follow; then the broken images."""
    whole = [p for p in predictions if not p.error]
    broken = [p for p in predictions if p.error]
    rows = []
    for p in whole:
        first, *others = [
            (printable(name), f'{100 * s:.1f}') for name, s in zip(p.classes, p.scores)
        ]
        rows.append([printable(p.image), *first, ', '.join(' '.join(pair) for pair in others)])
    blocks = [format_table(('image', 'class', '%', 'then'), rows)] if rows else []
    if broken:
        # Most errors name their file.
        errors = [p.error if p.image in p.error else f'{p.image}: {p.error}' for p in broken]
        lines = [f'  {printable(error)}' for error in errors]
        blocks.append('\n'.join([f'could not be read: {len(broken):,}', *lines]))
    return '\n\n'.join(blocks)


def errors_by_folder(predictions: Sequence['Prediction'], classes: Sequence[str]) -> str:
    """The errors, if every image lies in a folder named, or numbered, as its class; else ''.

    >>> errors_by_folder(done, classes)
    'top-1 error 12.5 % [3.5, 36.0], by the names of the folders (16 images)'
    """
    whole = [p for p in predictions if not p.error]
    folders = [os.path.basename(os.path.dirname(os.path.abspath(p.image))) for p in whole]
    names = sorted(set(folders))
    numbers = dict(zip(names, class_numbers(names, classes)))
    if not whole or None in numbers.values():
        return ''
    parts = []
    for k in (1, 5) if len(classes) > 5 else (1,):
        best = [np.argsort(-np.asarray(p.posterior), kind='stable')[:k] for p in whole]
        wrong = sum(numbers[folder] not in first for folder, first in zip(folders, best))
        low, high = wilson_interval(wrong, len(whole))
        error = 100 * wrong / len(whole)
        parts.append(f'top-{k} error {error:.1f} % [{100 * low:.1f}, {100 * high:.1f}]')
    by_number = are_numbers(names) and not are_numbers(classes)
    how = ', taken as numbers of classes from 0 on' if by_number else ''
    return f'{", ".join(parts)}, by the names of the folders{how} ({len(whole):,} images)'


def check_out(path: str) -> None:
    """Refuse a file that could not be written when everything is done.

    Raises:
        ValueError: if its ending is none of :data:`ENDINGS`, or it is a folder.
        OSError: if its folder cannot be made or written to.
    """
    if not path.lower().endswith(ENDINGS):
        raise ValueError(f'{argument("out", path)}: the file must end in {" or ".join(ENDINGS)}')
    if os.path.isdir(path):
        raise ValueError(f'{argument("out", path)} is a folder; give a file in it')
    make_folder(os.path.dirname(path) or '.', argument('out'))


def make_folder(folder: str, option: str) -> None:
    """Make a folder for results, or say in one line why not.

    Raises:
        OSError: with the option that named it.
    """
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise OSError(f'{option}: the folder {folder} cannot be made: {reason}') from error
    if not os.access(folder, os.W_OK):
        raise PermissionError(f'{option}: the folder {folder} cannot be written to')


class ResultsFile:
    """The CSV or JSON file ``out``, written at the end and now and then before.

    File names that are no text are written with ``\\udcxx`` for their bytes.

    Args:
        path: Ends in one of :data:`ENDINGS`.
        info: What a JSON file says besides the predictions.
        count: How many predictions there will be.
        entry: What a JSON file has of a prediction; by default of a :class:`Prediction`.
        table: A CSV file of predictions; by default of these.
    """

    def __init__(
        self,
        path: str,
        info: dict[str, Any],
        count: int,
        entry: Optional[Callable[[Any], dict[str, Any]]] = None,
        table: Optional[Callable[[Sequence[Any]], str]] = None,
    ) -> None:
        self.path, self.info, self.count = path, info, count
        self._entry, self._table = entry or _entry, table or _csv
        self._due = time.monotonic() + SAVE_EVERY

    def write(self, done: Sequence[Any]) -> None:
        """Write, whole or not at all, the rows (entries of 'predictions') of the images so far."""
        if self.path.lower().endswith('.csv'):
            text = self._table(done)
        else:
            entries = [self._entry(prediction) for prediction in done]
            content = dict(self.info, complete=len(done) == self.count, predictions=entries)
            text = json.dumps(content, ensure_ascii=False, indent=1) + '\n'
        write_atomically(self.path, text.encode('utf-8', 'backslashreplace'))

    def write_if_due(self, done: Sequence[Any]) -> None:
        """Write if :data:`SAVE_EVERY` seconds have passed, more after a write that took long."""
        start = time.monotonic()
        if start >= self._due:
            self.write(done)
            end = time.monotonic()
            # A long file must not cost more time than the predictions do.
            self._due = end + max(SAVE_EVERY, 20 * (end - start))


def collect(
    results: Iterable[Any], progress: Progress, file: Optional[ResultsFile], done: list[Any]
) -> None:
    """Append to ``done`` what comes, until the end or a signal, and write the file when it is due.

    Args:
        results: Predictions, or what the file takes.
        progress: Of the images.
        file: None: none.
        done: Those so far; it has them also where this ends early.
    """
    with interruptible():
        for one in with_progress(results, progress):
            done.append(one)
            if file is not None:
                file.write_if_due(done)


def _csv(predictions: Sequence['Prediction']) -> str:
    top = max((len(p.labels) for p in predictions), default=0)
    ranks = [f'{name}_{k}' for k in range(1, top + 1) for name in ('label', 'class', 'score')]
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(['image', 'error', 'picture', *ranks])
    for p in predictions:
        cells = [cell for triple in zip(p.labels, p.classes, p.scores) for cell in triple]
        writer.writerow([p.image, p.error, p.picture, *cells, *[''] * (len(ranks) - len(cells))])
    return file.getvalue()


def _entry(p: 'Prediction') -> dict[str, Any]:
    entry: dict[str, Any] = dict(image=p.image)
    if p.error:
        entry['error'] = p.error
    else:
        names = ('label', 'class', 'score')
        entry['top'] = [dict(zip(names, t)) for t in zip(p.labels, p.classes, p.scores)]
    if p.picture:
        entry['picture'] = p.picture
    return entry
