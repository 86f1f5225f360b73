"""The plots of a study; what is missing is said where it would be."""

from collections.abc import Sequence
from typing import Any, Optional

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vgg_mm.architectures import ARCHITECTURES
from vgg_mm.models.tta.paper_tta import DENSE
from vgg_mm.visualization.style import (
    COLORS,
    INK,
    MARKERS,
    OUTSIDE,
    PANEL,
    WIDTH,
    grid,
    log_ticks,
    note,
)

from .. import statistics
from ..results import Results, ResultsByData
from ..study import LOW, NO_BETTER, Candidate, Study
from ..verdicts import Judgement
from .paper import paper_error

#: Fully-connected layers of every net (Section 2.1).
FC_LAYERS = 3

#: Inches of a row.
LINE = 0.23


def effects(judgements: Sequence[Judgement], found: ResultsByData) -> Figure:
    """The difference of every comparison with its interval, a panel a data set."""
    rows = [(one.claim, comparison) for one in judgements for comparison in one.claim.comparisons]
    findings = {(f.comparison, f.data): f for one in judgements for f in one.findings}
    figure = Figure(figsize=(WIDTH, LINE * len(rows) + 1.1), layout='constrained')
    panels = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
    for panel, data in zip(panels, found):
        for y, (claim, comparison) in enumerate(rows):
            finding = findings[comparison, data]
            if finding.paired is not None:
                value, low, high = finding.paired.difference
                panel.errorbar(
                    value, y, xerr=[[value - low], [high - value]], fmt='o', capsize=2,
                    color=COLORS[(claim.number - 1) % len(COLORS)], markersize=4,
                    fillstyle='full' if comparison.decides else 'none',
                )  # fmt: skip
            else:
                panel.text(0, y, ' missing', va='center', fontsize=8)
            if comparison.kind == NO_BETTER:
                panel.plot(-comparison.margin, y, marker='|', markersize=12, color=INK)
        panel.axvline(0, color=INK, linewidth=0.8)
        panel.set_title(data)
        panel.set_xlabel('difference of errors, points')
        grid(panel, 'x')
        panel.tick_params(axis='y', length=0)
    names = [f'{c.number}: {_short(x.better)} - {_short(x.than)}' for c, x in rows]
    panels[0].set_yticks(range(len(rows)), names)
    panels[0].set_ylim(len(rows) - 0.4, -0.6)
    return figure


def _short(side: Optional[Candidate]) -> str:
    return 'guessing' if side is None else str(side)


def depth(study: Study, found: ResultsByData) -> Figure:
    """Error over the number of weight layers, with the paper's own panel."""
    sides = study.plots.depth
    figure = Figure(figsize=(WIDTH, PANEL), layout='constrained')
    *panels, paper = figure.subplots(1, len(found) + 1)
    for panel, (data, results) in zip(panels, found.items()):
        points = []
        for side in sides:
            wrong = results.wrong(side, study.seeds)
            if wrong is not None:
                points.append((_layers(study, side), statistics.error(wrong), side.runs[0]))
        beside = _beside(points)
        for x, (value, low, high), name in beside:
            _point(panel, x, value, low, high, COLORS[0], 'o')
            _name(panel, name, x, value, beside)
        _frame(panel, data, 'weight layers')
    points = [(_layers(study, s), paper_error(study, s, LOW), s.runs[0]) for s in sides]
    points = [point for point in points if point[1] is not None]
    beside = _beside(points)
    for x, value, name in beside:
        paper.plot(x, value, 'D', color=INK, fillstyle='none')
        _name(paper, study.runs[name].arch, x, value, beside)
    _frame(paper, "ImageNet, the paper's", 'weight layers')
    for panel in (*panels, paper):
        layers = sorted({_layers(study, side) for side in sides})
        panel.set_xticks(layers)
        panel.set_xlim(min(layers) - 1, max(layers) + 2)
    return figure


def _layers(study: Study, side: Candidate) -> int:
    return ARCHITECTURES[study.runs[side.runs[0]].arch].conv_layers + FC_LAYERS


def _beside(points: list[tuple]) -> list[tuple]:
    """Points (x, ...) of which none hides another: those at the same x a little apart."""
    seen: dict[float, int] = {}
    moved = []
    for x, *rest in points:
        seen[x] = seen.get(x, -1) + 1
        moved.append((x + 0.35 * seen[x], *rest))
    return moved


def _point(
    panel: Axes, x: float, value: float, low: float, high: float, color: str, marker: str, **kwargs
) -> None:
    panel.errorbar(
        x, value, yerr=[[value - low], [high - value]], marker=marker, linestyle='', capsize=3,
        color=color, **kwargs,
    )  # fmt: skip


def _name(panel: Axes, name: str, x: float, y: float, points: list[tuple]) -> None:
    """Write a point's name at its right; at its left if there is another of the points."""
    left = any(0 < other[0] - x < 1 for other in points)
    place = dict(xytext=(-6, 4), ha='right') if left else dict(xytext=(6, 4))
    panel.annotate(name, (x, y), textcoords='offset points', fontsize=9, **place)


def _frame(panel: Axes, title: str, x: str, y: str = 'top-1 error, %') -> None:
    """Titles and grid of a panel that has been drawn, or 'missing' if nothing was."""
    panel.set_title(title)
    panel.set(xlabel=x, ylabel=y)
    grid(panel)
    if not panel.has_data():
        note(panel, 'missing')


def curve(study: Study, found: ResultsByData) -> Figure:
    """Error over Q of nets that are tested at one Q each time; the band is the interval."""
    figure = Figure(figsize=(WIDTH, PANEL * len(found)), layout='constrained')
    panels = figure.subplots(len(found), 1, squeeze=False)[:, 0]
    for panel, (data, results) in zip(panels, found.items()):
        for name, color, marker in zip(study.plots.curve, COLORS, MARKERS):
            wrong = {
                q: results.wrong(Candidate((name,), DENSE, q), study.seeds)
                for q in study.data[data].curve
            }
            points = [(q, *statistics.error(w)) for q, w in wrong.items() if w is not None]
            if points:
                q, value, low, high = np.array(points).T
                label = f'{name}: S = {_pixels(study.data[data].scales[study.runs[name].scale])}'
                panel.plot(q, value, color=color, marker=marker, label=label)
                panel.fill_between(q, low, high, color=color, alpha=0.12, linewidth=0)
        _frame(panel, data, 'Q (shorter side of the test image), pixels')
        panel.set_xticks(study.data[data].curve)
        if panel.has_data():
            panel.legend(**OUTSIDE)
    return figure


def _pixels(scale: Any) -> str:
    return f'[{scale[0]}; {scale[1]}]' if isinstance(scale, list) else str(scale)


def cost(study: Study, found: ResultsByData) -> Figure:
    """Error over the time that an image takes."""
    figure = Figure(figsize=(WIDTH, PANEL * len(found)), layout='constrained')
    panels = figure.subplots(len(found), 1, squeeze=False)[:, 0]
    for panel, (data, results) in zip(panels, found.items()):
        for side, color, marker in zip(study.plots.cost, COLORS, MARKERS):
            wrong = results.wrong(side, study.seeds)
            times = [results.answers[f'{side}/{seed}'].seconds_per_image for seed in study.seeds
                     if wrong is not None]  # fmt: skip
            if times and None not in times:
                x = 1000 * float(np.mean(times))
                _point(panel, x, *statistics.error(wrong), color, marker, label=str(side))
        _frame(panel, data, 'ms per image')
        panel.set_xscale('log')
        log_ticks(panel.xaxis)
        if panel.has_data():
            panel.legend(**OUTSIDE)
    return figure


def training(study: Study, data: str, results: Results) -> Figure:
    """Training loss and error of the centre crop over the epochs, a line a seed."""
    figure = Figure(figsize=(WIDTH, 2 * PANEL), layout='constrained')
    loss, error = figure.subplots(2, 1, sharex=True)
    drops: set[float] = set()
    for name, color in zip(study.plots.training, COLORS):
        courses = [results.courses.get(f'{name}/{seed}') for seed in study.seeds]
        for one in (course for course in courses if course is not None and course.epochs):
            label = name if name not in loss.get_legend_handles_labels()[1] else None
            loss.plot(one.epochs, one.loss, color=color, label=label, linewidth=1.2)
            error.plot(one.error_epochs, one.errors, color=color, marker='.', linewidth=1.2)
            drops.update(one.drops)
    _frame(loss, f'{data}: training loss', '', 'loss')
    _frame(error, f'{data}: error of the centre crop', 'epoch')
    for panel in (loss, error):
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        for x in drops:
            panel.axvline(x, color=INK, alpha=0.4, linestyle='--', linewidth=0.8)
    if loss.has_data():
        loss.legend(**OUTSIDE)
    return figure
