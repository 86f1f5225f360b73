"""The plots of a study; missing results are marked in their place."""

from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from vgg_mm.visualization.style import (
    BLUE,
    COLORS,
    GREY,
    INK,
    MARKERS,
    ORANGE,
    grid,
    log_ticks,
    note,
)

from .. import statistics
from ..learnt import how_it_ended
from ..results import Results, ResultsByData
from ..study import NO_BETTER, USUAL, Candidate, DataSet, Study
from ..verdicts import Finding, Judgement
from ..words import nets_words, pixels, run_words, sentence, test_words
from .paper import paper_difference

#: Width of every plot in inches: text stays legible when a narrow screen shrinks it.
WIDTH = 5.2

#: Height in inches of a row of a claim's plot, of a small panel, and of a large one.
ROW, SMALL, LARGE = 0.46, 1.4, 3.0

#: Smallest error on a training curve, in percent.
MIN_ERROR = 0.1

#: Number of small panels side by side, and of characters in a line of their titles.
COLUMNS, TITLE = 3, 24


def claim(study: Study, one: Judgement) -> Figure:
    """Differences of a claim's comparisons with their intervals, and the paper's."""
    by_data = {name: [f for f in one.findings if f.data == name] for name in one.by_data}
    by_data = {name: findings for name, findings in by_data.items() if findings}
    heights = [len(findings) + 0.6 for findings in by_data.values()]
    figure = Figure(figsize=(WIDTH, ROW * sum(heights) + 1.1), layout='constrained')
    panels = figure.subplots(len(by_data), sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    for panel, (name, findings) in zip(panels, by_data.items()):
        panel.axvline(0, color=INK, linewidth=0.8)
        for y, finding in enumerate(findings):
            _row(panel, y, study, one, finding)
        panel.set_title(study.data[name].title)
        panel.set_ylim(len(findings) - 0.4, -0.75)
        panel.set_yticks([])
        panel.spines['left'].set_visible(False)
        grid(panel, 'x')
    low, high = panels[0].get_xlim()
    room = 0.05 * (high - low)
    panels[0].set_xlim(min(low, -room), max(high, room))
    panels[-1].set_xlabel('difference of errors, points; left of 0 the first is better')
    figure.legend(handles=_signs(one), loc='outside upper left', ncols=2, fontsize=9)
    return figure


def _row(panel: Axes, y: int, study: Study, one: Judgement, finding: Finding) -> None:
    """A comparison in words, and its result below."""
    comparison = finding.comparison
    text = sentence(study, study.data[finding.data], comparison)
    across = panel.get_yaxis_transform()
    panel.text(0, y - 0.36, text, va='center', fontsize=9, transform=across)
    if finding.paired is None:
        panel.text(0, y, finding.verdict, va='center', fontsize=9, color=GREY, transform=across)
    else:
        value, low, high = finding.paired.difference
        panel.errorbar(
            value, y, xerr=[[value - low], [high - value]], fmt='o', capsize=3, color=BLUE,
            markersize=6, fillstyle='full' if comparison.decides else 'none',
        )  # fmt: skip
    effect = paper_difference(study, one.claim, comparison)
    if effect is not None:
        panel.plot(effect, y, 'D', color=ORANGE, fillstyle='none', markersize=7)
    if comparison.kind == NO_BETTER:
        panel.plot(-comparison.margin, y, '|', color=INK, markersize=14)


def _signs(one: Judgement) -> list[Line2D]:
    """The entries of the legend."""
    here = dict(color=BLUE, marker='o', linestyle='-')
    signs = [Line2D([], [], label='here, with 95 % interval', **here)]
    if not all(comparison.decides for comparison in one.claim.comparisons):
        signs.append(Line2D([], [], label='here, decides nothing', fillstyle='none', **here))
    paper = dict(color=ORANGE, marker='D', fillstyle='none', linestyle='')
    signs.append(Line2D([], [], label="the paper's, on ImageNet", **paper))
    if any(comparison.kind == NO_BETTER for comparison in one.claim.comparisons):
        margin = dict(color=INK, marker='|', markersize=12, linestyle='')
        signs.append(Line2D([], [], label='margin: a help would be left of it', **margin))
    return signs


def trained_runs(study: Study, data: DataSet, results: Results) -> tuple[list[str], list[str]]:
    """The runs that are trained with at least one seed, and the others."""
    there = {key.rpartition('/')[0] for key in results.courses}
    runs = study.runs_on(data.name)
    return [run for run in runs if run in there], [run for run in runs if run not in there]


def learning(study: Study, data: DataSet, results: Results) -> Figure:
    """Validation error over all epochs, one panel per trained net and one line per seed."""
    runs, _ = trained_runs(study, data, results)
    rows = -(-len(runs) // COLUMNS)
    figure = Figure(figsize=(WIDTH, SMALL * rows + 0.6), layout='constrained')
    panels = figure.subplots(rows, COLUMNS, sharex=True, sharey=True, squeeze=False)
    for panel, run in zip(panels.flat, runs):
        courses = {seed: results.courses.get(f'{run}/{seed}') for seed in study.seeds}
        there = {seed: course for seed, course in courses.items() if course is not None}
        for seed, color in zip(study.seeds, COLORS):
            if seed in there:
                # A logarithmic axis has no zero.
                y = np.maximum(there[seed].errors, MIN_ERROR)
                panel.plot(there[seed].error_epochs, y, color=color, linewidth=1.2)
        for x in {x for course in there.values() for x in course.drops}:
            panel.axvline(x, color=INK, alpha=0.4, linestyle='--', linewidth=0.8)
        panel.set_title(fill(run_words(study, data, run), TITLE), fontsize=8)
        brief = study.runs[run].brief
        ends = [how_it_ended(course, results.chance, brief) for course in there.values()]
        if words := next((one for one in ('guesses', 'not learnt') if one in ends), ''):
            panel.text(0.97, 0.9, words, ha='right', va='top', color=GREY, fontsize=9,
                       transform=panel.transAxes)  # fmt: skip
    for panel in panels.flat[len(runs) :]:
        panel.set_axis_off()
    for panel in panels.flat[: len(runs)]:
        panel.set_yscale('log')
        log_ticks(panel.yaxis)
        panel.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        panel.tick_params(labelbottom=True)
        grid(panel)
    for panel in panels[:, 0]:
        panel.set_ylabel('error, %', fontsize=8)
    for panel in panels[-1]:
        panel.set_xlabel('epoch', fontsize=8)
    lines = [Line2D([], [], color=c, label=f'seed {s}') for s, c in zip(study.seeds, COLORS)]
    dashed = Line2D([], [], color=INK, alpha=0.4, linestyle='--', label='the rate drops')
    figure.legend(handles=[*lines, dashed], loc='outside upper left', ncols=4, fontsize=8)
    return figure


def curve(study: Study, found: ResultsByData) -> Figure:
    """Error over Q of nets tested at a single Q; the band is the interval."""
    figure, panels = _panels(found, len(study.plots.curve))
    for (panel, below), (name, results) in zip(panels, found.items()):
        data = study.data[name]
        for run, color, marker in zip(study.plots.curve, COLORS, MARKERS):
            wrong = {q: results.wrong(Candidate((run,), USUAL, q), study.seeds) for q in data.curve}
            points = [(q, *statistics.error(w)) for q, w in wrong.items() if w is not None]
            if points:
                q, value, low, high = np.array(points).T
                label = f'trained with S = {pixels(data.scales[study.runs[run].scale])}'
                panel.plot(q, value, color=color, marker=marker, label=label)
                panel.fill_between(q, low, high, color=color, alpha=0.12, linewidth=0)
        _frame(panel, below, data.title, 'Q (shorter side of the test image), pixels')
        panel.set_xticks(data.curve, data.curve, rotation=45 if data.crop > 100 else 0)
    return figure


def cost(study: Study, found: ResultsByData) -> Figure:
    """Error over time per image."""
    figure, panels = _panels(found, len(study.plots.cost))
    for (panel, below), (name, results) in zip(panels, found.items()):
        data = study.data[name]
        for side, color, marker in zip(study.cost_sides(data), COLORS, MARKERS):
            wrong = results.wrong(side, study.seeds)
            times = [results.answers[f'{side}/{seed}'].seconds_per_image for seed in study.seeds
                     if wrong is not None]  # fmt: skip
            if times and None not in times:
                value, low, high = statistics.error(wrong)
                label = f'{nets_words(study, data, side)}, {test_words(study, data, side)}'
                panel.errorbar(
                    1000 * float(np.mean(times)), value, yerr=[[value - low], [high - value]],
                    marker=marker, linestyle='', capsize=3, color=color, label=label,
                )  # fmt: skip
        panel.set_xscale('log')
        log_ticks(panel.xaxis)
        _frame(panel, below, data.title, 'ms per image')
    return figure


def _panels(found: ResultsByData, entries: int) -> tuple[Figure, list[tuple[Axes, Axes]]]:
    """A panel for each data set, with space below for a legend of so many entries."""
    heights = [LARGE, 0.2 * entries + 0.1]
    figure = Figure(figsize=(WIDTH, sum(heights) * len(found)), layout='constrained')
    panels = figure.subplots(2 * len(found), 1, height_ratios=heights * len(found))
    return figure, list(zip(panels[::2], panels[1::2]))


def _frame(panel: Axes, below: Axes, title: str, x: str) -> None:
    """Titles, grid and legend of a panel that has been drawn, or 'missing' if nothing was."""
    panel.set_title(title)
    panel.set(xlabel=x, ylabel='top-1 error, %')
    grid(panel)
    below.set_axis_off()
    if panel.has_data():
        signs = panel.get_legend_handles_labels()
        below.legend(*signs, loc='upper left', borderaxespad=0, fontsize=9)
    else:
        note(panel, 'missing')
