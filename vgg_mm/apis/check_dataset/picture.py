"""The findings as one figure."""

import os
import textwrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from vgg_mm.text import shortened
from vgg_mm.visualization.style import COLORS, ERROR, GREY, NAMED_CLASSES, WARNING, note, plot_style

from .findings import SERIOUS, Findings, class_counts, count_problems

#: Longest name of a class or folder, in characters.
NAME_LENGTH = 24

THOUSANDS = FuncFormatter(lambda value, _: f'{value:,.0f}')

#: Ticks of width over height.
RATIO_TICKS = {1 / 2: '1:2', 3 / 4: '3:4', 1: '1:1', 4 / 3: '4:3', 2: '2:1'}
RATIO_LIMIT = 4


def picture(findings: Findings, verdict: str, path: str) -> None:
    """Draw classes, sizes, aspect ratios, and modes with problems, as a PNG file."""
    with plot_style():
        figure = Figure(
            figsize=(12, 8.4),
            layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12, hspace=0.05, wspace=0.04),
        )
        name = os.path.basename(os.path.realpath(findings.layout.folder))
        title = f'{shortened(name, NAME_LENGTH)}, {len(findings.layout.paths):,} images: {verdict}'
        figure.suptitle(textwrap.fill(title, 120), x=0.012, ha='left', fontsize=13)
        (classes, sizes), (kinds, ratios) = figure.subplots(2, 2)
        _classes(classes, findings)
        _sizes(sizes, findings)
        _ratios(ratios, findings)
        _kinds(kinds, findings)
        figure.savefig(path)


def _classes(panel: Axes, findings: Findings) -> None:
    """Images per class, most first, the splits on top of each other."""
    counts = class_counts(findings.layout)
    names = sorted(set().union(*counts.values()))
    table = np.array([[found.get(name, 0) for name in names] for found in counts.values()])
    order = np.argsort(-table.sum(axis=0), kind='stable')
    table, places = table[:, order], np.arange(len(names))
    colors, labels = _colors(len(table)), [split or 'images' for split in counts]
    if len(names) > NAMED_CLASSES:
        panel.stackplot(places + 1, table, step='mid', colors=colors, labels=labels)
        panel.yaxis.set_major_formatter(THOUSANDS)
        panel.set(xlabel='classes, largest first', ylabel='images', xlim=(0.5, len(names) + 0.5))
    else:
        starts = np.cumsum(table, axis=0) - table
        for row, start, color, label in zip(table, starts, colors, labels):
            panel.barh(places, row, 0.8, start, color=color, label=label)
        size = 9.5 if len(names) <= 16 else 7
        shown = [shortened(names[i], NAME_LENGTH) for i in order]
        panel.set_yticks(places, shown, fontsize=size)
        panel.set(ylim=(len(names) - 0.4, -0.6), xlabel='images')
        panel.tick_params(axis='y', length=0)
        panel.xaxis.set_major_locator(MaxNLocator('auto', integer=True))
        panel.xaxis.set_major_formatter(THOUSANDS)
    panel.set_title(f'Images per class ({len(names):,} classes)')
    if len(table) > 1:
        # Beside the title: bars may reach to any place below it.
        panel.legend(
            loc='lower right',
            bbox_to_anchor=(1, 1),
            ncols=len(table),
            borderaxespad=0,
            frameon=False,
        )


def _colors(count: int) -> list[str]:
    return [COLORS[i % len(COLORS)] for i in range(count)]


def _sizes(panel: Axes, findings: Findings) -> None:
    """Histogram of the short side, with the crop's."""
    panel.set_title('Short side, pixels')
    sides, crop = findings.short_sides, findings.crop_size
    if not len(sides):
        _nothing(panel)
        return
    # Room on both sides of the images and of the crop.
    low, high = min(sides.min(), crop) / 1.25, max(sides.max(), crop) * 1.25
    _histogram(panel, findings, sides, np.geomspace(low, high, 50))
    panel.axvspan(low, crop, color=ERROR, alpha=0.07, lw=0, zorder=0)
    panel.axvline(crop, color=ERROR, lw=1.2)
    share = 100 * findings.small / len(sides)
    left = crop < np.sqrt(low * high)
    panel.annotate(
        f'crop {crop}: {findings.small:,} smaller ({share:.1f} %)',
        (crop, 1), xycoords=('data', 'axes fraction'), xytext=(5 if left else -5, -2),
        textcoords='offset points', va='top', ha='left' if left else 'right', color=ERROR,
    )  # fmt: skip
    panel.set(xscale='log', xlim=(low, high), ylabel='images')
    factors = (1, 2, 5) if high > 10 * low else (1, 1.5, 2, 3, 4, 5, 6, 8)
    ticks = [factor * 10**power for power in range(6) for factor in factors]
    panel.set_xticks([tick for tick in ticks if low <= tick <= high])
    panel.xaxis.set_major_formatter(THOUSANDS)
    panel.xaxis.set_minor_locator(NullLocator())


def _ratios(panel: Axes, findings: Findings) -> None:
    panel.set_title('Width to height')
    ratios = findings.ratios
    if not len(ratios):
        _nothing(panel)
        return
    # One that is far out is counted in the last bin.
    ratios = np.clip(ratios, 1 / RATIO_LIMIT, RATIO_LIMIT)
    edge = 1.04 * RATIO_LIMIT
    _histogram(panel, findings, ratios, np.geomspace(1 / edge, edge, 52))
    panel.set(xscale='log', xlim=(1 / edge, edge), ylabel='images')
    ticks = {
        1 / RATIO_LIMIT: f'≤ 1:{RATIO_LIMIT}',
        **RATIO_TICKS,
        RATIO_LIMIT: f'≥ {RATIO_LIMIT}:1',
    }
    panel.set_xticks([*ticks], [*ticks.values()])
    panel.xaxis.set_minor_locator(NullLocator())


def _histogram(panel: Axes, findings: Findings, values: np.ndarray, bounds: Any) -> None:
    """The splits on top of each other."""
    split = findings.layout.split[findings.scan.readable]
    numbers = range(len(findings.layout.splits))
    panel.hist(
        [values[split == number] for number in numbers],
        bounds, stacked=True, color=_colors(len(numbers)),
    )  # fmt: skip
    panel.margins(y=0.12)
    panel.yaxis.set_major_locator(MaxNLocator('auto', integer=True))
    panel.yaxis.set_major_formatter(THOUSANDS)


def _nothing(panel: Axes) -> None:
    panel.set_axis_off()
    note(panel, 'no readable images')


def _kinds(panel: Axes, findings: Findings) -> None:
    """How many images are of each colour mode, and have each problem."""
    problems = count_problems(findings)
    rows = [(mode, len(images), COLORS[0]) for mode, images in findings.modes.items()]
    rows += [('turned by EXIF', len(findings.rotated), GREY)] * bool(len(findings.rotated))
    rows += [
        (kind, count, ERROR if kind in SERIOUS else WARNING) for kind, count in problems.items()
    ]
    if not rows:
        _nothing(panel)
        return
    names, counts, colors = zip(*rows)
    places = [i + 0.5 * (name in problems) for i, name in enumerate(names)]
    panel.barh(places, counts, 0.72, color=colors)
    for place, count in zip(places, counts):
        panel.annotate(
            f'{count:,}', (count, place), xytext=(4, 0), textcoords='offset points', va='center'
        )
    if not problems:
        panel.annotate(
            'no problems', (0, places[-1] + 1), xycoords=('axes fraction', 'data'),
            xytext=(4, 0), textcoords='offset points', va='center', color=GREY,
        )  # fmt: skip
    panel.set_yticks(places, names)
    panel.set_title('Colour modes, problems (red: not ready), logarithmic')
    panel.set(xscale='log', xlim=(0.7, 4 * max(counts)), ylim=(max(places[-1], 6) + 0.6, -0.6))
    panel.tick_params(axis='y', length=0)
    panel.xaxis.set_visible(False)
    panel.spines['bottom'].set_visible(False)
