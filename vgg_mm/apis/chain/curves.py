"""The course of a training as a picture: loss, errors and learning rate."""

import json
import os.path as osp
from collections.abc import Sequence
from glob import escape, glob
from typing import NamedTuple, Optional

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from vgg_mm.visualization.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    PINK,
    grid,
    log_ticks,
    note,
    plot_style,
)

#: The picture in a work directory.
CURVES_FILE = 'curves.png'

#: The learning rate drops where it falls to this share or less.
DROP = 0.5

#: The thick line is a moving average over this share of the points.
SMOOTHING = 1 / 30


class Curves(NamedTuple):
    """Values over the epochs (or iterations, if a training counts these).

    ``loss`` and ``rate`` are (N, 2), a row (x, value) for each logged iteration; ``errors`` is
    {k: (M, 2)} of validation, top-k error in percent; ``drops`` is where the rate fell; ``unit``
    is what x counts.
    """

    loss: np.ndarray
    rate: np.ndarray
    errors: dict[int, np.ndarray]
    drops: list[float]
    unit: str


def draw_curves(work_dir: str, title: Optional[str] = None) -> str:
    """Draw ``curves.png`` in a work directory, from the logs of all runs in it.

    Args:
        work_dir: Work directory of ``tools/train.py``.
        title: Above the picture; None: the folder's name.

    Returns:
        Its path.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if it has no log of a training.
    """
    if not osp.isdir(work_dir):
        raise FileNotFoundError(f'no such folder: {work_dir}')
    curves = read_curves(work_dir)
    with plot_style():
        figure = Figure(figsize=(9, 8), layout='constrained')
        panels = figure.subplots(3, sharex=True, height_ratios=(3, 3, 1.5))
        _loss_panel(panels[0], curves)
        _error_panel(panels[1], curves)
        _rate_panel(panels[2], curves.rate)
        for panel in panels:
            grid(panel)
            for x in curves.drops:
                panel.axvline(x, color=GREY, linestyle='--', linewidth=1, zorder=0)
        panels[-1].set_xlabel(curves.unit)
        panels[-1].set_xlim(0, 1.01 * curves.rate[-1, 0])
        figure.suptitle(title or osp.basename(osp.normpath(work_dir)), fontsize=13)
        path = osp.join(work_dir, CURVES_FILE)
        figure.savefig(path)
    return path


def _loss_panel(panel: Axes, curves: Curves) -> None:
    x, values = curves.loss.T
    panel.plot(x, values, color=BLUE, alpha=0.3, linewidth=0.8, label='as logged')
    # Smoothed for each learning rate separately: the step at a drop is not noise.
    for part in np.split(curves.loss, np.searchsorted(x, curves.drops)):
        smoothed = smooth(part[:, 1], max(1, round(SMOOTHING * len(x) / 2)))
        label = 'smoothed' if part[0, 0] == x[0] else None
        panel.plot(part[:, 0], smoothed, color=BLUE, linewidth=2, label=label)
    panel.set_title('training loss')
    panel.set_ylim(0, 1.05 * np.max(values[np.isfinite(values)], initial=1e-3))
    _legend(panel)


def _error_panel(panel: Axes, curves: Curves) -> None:
    panel.set_title('validation error, %')
    for (k, points), color in zip(sorted(curves.errors.items()), (PINK, GREEN)):
        x, values = points.T
        best = int(values.argmin())
        label = f'top-{k}: {values[-1]:.1f}, best {values[best]:.1f} (○)'
        panel.plot(x, values, color=color, marker='.', markersize=5, linewidth=1.6, label=label)
        panel.plot(
            x[best], values[best], 'o', color=color, markersize=9, fillstyle='none', clip_on=False
        )
    if curves.errors:
        highest = max(e[:, 1].max() for e in curves.errors.values())
        panel.set_ylim(0, min(100, max(1, 1.05 * highest)))
        _legend(panel)
    else:
        note(panel, 'no validation')


def _rate_panel(panel: Axes, rate: np.ndarray) -> None:
    panel.plot(*rate.T, color=INK, linewidth=1.6, drawstyle='steps-post')
    panel.set_title('learning rate')
    panel.set_yscale('log')
    positive = rate[rate[:, 1] > 0, 1]
    if len(positive):
        panel.set_ylim(positive.min() / 2, positive.max() * 2)
    panel.yaxis.set_major_locator(LogLocator(numticks=6))
    log_ticks(panel.yaxis)


def _legend(panel: Axes) -> None:
    """Legend above the panel, at the right of its title, where it hides nothing."""
    panel.legend(loc='lower right', bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0)


def read_curves(work_dir: str) -> Curves:
    """Read the logs of all runs in a work directory as one training.

    Raises:
        ValueError: if there is no log of a training.
    """
    files = sorted(glob(osp.join(escape(work_dir), '*', 'vis_data', 'scalars.json')))
    train, val = merge_runs([read_rows(file) for file in files])
    if not train:
        raise ValueError(f'{work_dir} has no log of a training (*/vis_data/scalars.json)')
    by_epoch = all('epoch' in row for row in train)
    # An epoch's last logged iteration is its last, or at most a logging interval before it.
    an_epoch = max(-(-row['iter'] // row['epoch']) for row in train) if by_epoch else 1
    loss = [(row['iter'] / an_epoch, row['loss']) for row in train]
    rate = [(row['iter'] / an_epoch, row['lr']) for row in train]
    errors = {}
    for k in (1, 5):
        points = [(row['step'], _error(row, k)) for row in val if _error(row, k) is not None]
        if points:
            errors[k] = np.array(points)
    drops = [x for (_, before), (x, now) in zip(rate, rate[1:]) if now <= DROP * before]
    unit = 'epoch' if by_epoch else 'iteration'
    return Curves(np.array(loss), np.array(rate), errors, drops, unit)


def merge_runs(runs: Sequence[list[dict]]) -> tuple[list[dict], list[dict]]:
    """Rows of training and of validation, each in order, of a training in several runs.

    A run resumes from a checkpoint: rows of an earlier run after that point are dropped.

    Args:
        runs: The rows of each run's log, in the order of the runs. A row of training has 'loss' and
            'iter', and 'epoch' (counted from 1) where the training counts epochs; a row of
            validation has 'step', its epoch or else its iteration.
    """
    train: list[dict] = []
    val: list[dict] = []
    for rows in runs:
        new_train = [row for row in rows if 'loss' in row and 'iter' in row]
        new_val = [row for row in rows if 'loss' not in row and 'step' in row]
        if new_train:
            first = new_train[0]
            train = [row for row in train if row['iter'] < first['iter']]
            # A validation comes after the iterations of its step.
            val = [row for row in val if row['step'] < first.get('epoch', first['iter'])]
        if new_val:
            val = [row for row in val if row['step'] < new_val[0]['step']]
        train += new_train
        val += new_val
    return train, val


def smooth(values: np.ndarray, half: int) -> np.ndarray:
    """Mean of each value and the ``half`` ones before and after it; of fewer at the ends."""
    sums = np.cumsum([0.0, *values])
    places = np.arange(len(values))
    first, end = np.maximum(places - half, 0), np.minimum(places + half + 1, len(values))
    return (sums[end] - sums[first]) / (end - first)


def read_rows(path: str) -> list[dict]:
    """The rows of a log; a last line that was cut off is left out."""
    with open(path, encoding='utf-8') as file:
        lines = file.read().splitlines()
    rows = []
    for line in lines:
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


def _error(row: dict, k: int) -> Optional[float]:
    """Top-k error in percent, from whichever metric there is."""
    if f'error/top{k}' in row:
        return row[f'error/top{k}']
    return 100 - row[f'accuracy/top{k}'] if f'accuracy/top{k}' in row else None
