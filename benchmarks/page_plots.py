"""The plots of the page."""

import statistics
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from vgg_mm.visualization.style import COLORS, INK, MARKERS, OUTSIDE, PANEL, WIDTH, grid

#: Height in inches of a row, and of the space around the rows of a panel.
ROW, AROUND = 0.3, 0.9

MIB = 2**20


def spans(panels: Mapping[str, Mapping[str, Sequence[float]]], unit: str) -> Figure:
    """Median, lowest and highest value of every row, in panels below each other."""
    heights = [len(rows) * ROW + AROUND for rows in panels.values()]
    figure = Figure(figsize=(WIDTH, sum(heights)), layout='constrained')
    axes = figure.subplots(len(panels), height_ratios=heights, squeeze=False)[:, 0]
    for panel, (title, rows) in zip(axes, panels.items()):
        for y, values in enumerate(rows.values()):
            color = COLORS[y % len(COLORS)]
            middle = statistics.median(values)
            panel.barh(y, middle, color=color, alpha=0.35, height=0.6)
            panel.errorbar(
                middle, y, xerr=[[middle - min(values)], [max(values) - middle]], fmt='o',
                color=color, markersize=4.5, capsize=3,
            )  # fmt: skip
        panel.set_yticks(range(len(rows)), list(rows))
        panel.set_ylim(len(rows) - 0.4, -0.6)
        panel.set_title(title)
        grid(panel, 'x')
        panel.tick_params(axis='y', length=0)
    axes[-1].set_xlabel(unit)
    return figure


def growth(curves: Mapping[str, dict]) -> Figure:
    """Time and work of every curve, relative to its first point, on logarithmic axes."""
    columns = min(3, len(curves))
    rows = -(-len(curves) // columns)
    figure = Figure(figsize=(WIDTH, PANEL * rows), layout='constrained')
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for panel, (name, curve), color in zip(axes, curves.items(), COLORS):
        _curve(panel, curve, color)
        panel.set_title(name)
        panel.set_xlabel(curve['over'])
    for panel in axes[len(curves) :]:
        panel.axis('off')
    return figure


def _curve(panel: Axes, curve: dict, color: str) -> None:
    first = statistics.median(curve['seconds'][0])
    values = [[one / first for one in times] for times in curve['seconds']]
    middle = [statistics.median(times) for times in values]
    below = [m - min(times) for m, times in zip(middle, values)]
    above = [max(times) - m for m, times in zip(middle, values)]
    panel.errorbar(
        curve['x'], middle, yerr=[below, above], color=color, marker='o', capsize=3, label='time'
    )
    work = [one / curve['work'][0] for one in curve['work']]
    panel.plot(curve['x'], work, color=INK, linestyle='--', label='work', zorder=3)
    panel.set(xscale='log', yscale='log', ylabel='times the first point')
    # A range of less than a factor of two would fill the panel and look steep.
    low, high = panel.get_ylim()
    panel.set_ylim(min(low, 0.5), max(high, 2))
    panel.set_xticks(curve['x'], [f'{x:g}' for x in curve['x']])
    panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.yaxis.set_major_formatter('{x:g}')
    panel.minorticks_off()
    grid(panel)
    panel.legend()


def courses(panels: Mapping[str, Mapping[str, dict]]) -> Figure:
    """Resident memory over images, one line per kind."""
    figure = Figure(figsize=(WIDTH, PANEL * len(panels)), layout='constrained')
    axes = figure.subplots(len(panels), squeeze=False)[:, 0]
    for panel, (title, kinds) in zip(axes, panels.items()):
        for (name, found), color, marker in zip(kinds.items(), COLORS, MARKERS):
            held = [value / MIB for value in found['resident']]
            panel.plot(found['images'], held, color=color, marker=marker, markersize=4, label=name)
        panel.set_title(title)
        panel.set(xlabel='images', ylabel='resident memory, MiB')
        panel.set_ylim(0, 1.1 * panel.get_ylim()[1])
        grid(panel)
        panel.legend(**OUTSIDE)
    return figure
