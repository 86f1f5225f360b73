"""Plots of the tables' errors and of what they cost."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vgg_mm.apis.document import Plot
from vgg_mm.architectures import ARCHITECTURES
from vgg_mm.visualization.style import BLUE, COLORS, INK, WIDTH, grid, log_ticks

from .tables import Row, Section, Table, place, setting_cells

NET_COLORS = dict(zip(ARCHITECTURES, COLORS))
PROTOCOL_MARKERS = {'centre crop': 'v', 'dense': 'o', 'multi_crop': 's', 'dense+multi_crop': 'D'}

#: Tables whose panels have the same axis; other authors' errors are far apart.
SAME_SCALE = (3, 4, 5, 6)

#: Inches.
ROW_HEIGHT, TABLE_HEIGHT = 0.24, 0.6

COST_CAPTION = (
    'Top-1 error against the time that an image takes, as measured. '
    'A pointer over a point shows its row.'
)


def plots_of(section: Section) -> list[Plot]:
    """Errors, and errors over time, as far as there is anything to draw."""
    plots = []
    tables = [t._replace(rows=list(filter(_has_point, t.rows))) for t in section.tables]
    tables = [table for table in tables if table.rows]
    if tables:
        paper = " and the paper's figure (hollow)" if section.compared else ''
        caption = f'Top-1 error with its 95 % confidence interval (filled){paper}, table by table.'
        plots.append(Plot(f'errors {section.title}', caption, partial(error_plot, tables)))
    rows = list({id(row.record): row for table in section.tables for row in table.rows}.values())
    rows = [r for r in rows if r.record and r.record.seconds_per_image and 1 in r.record.wrong]
    if len(rows) > 1:
        plots.append(Plot(f'cost {section.title}', COST_CAPTION, partial(cost_plot, rows)))
    return plots


def error_plot(tables: Sequence[Table]) -> Figure:
    """Top-1 error of each row with its interval, a panel a table; hollow: the paper's."""
    heights = [len(table.rows) * ROW_HEIGHT + TABLE_HEIGHT for table in tables]
    figure = Figure(figsize=(WIDTH, sum(heights)), layout='constrained')
    panels = figure.subplots(len(tables), height_ratios=heights, squeeze=False)[:, 0]
    for panel, table in zip(panels, tables):
        _error_panel(panel, table)
    _share_scale([p for p, table in zip(panels, tables) if table.number in SAME_SCALE])
    panels[-1].set_xlabel('top-1 error, %')
    return figure


def _has_point(row: Row) -> bool:
    return (row.record is not None and 1 in row.record.wrong) or (
        row.paper is not None and row.paper.top1 is not None
    )


def _error_panel(panel: Axes, table: Table) -> None:
    for y, row in enumerate(table.rows):
        if row.record is not None and 1 in row.record.wrong:
            error = row.record.error(1)
            low, high = row.record.interval(1)
            panel.errorbar(
                error, y, xerr=[[error - low], [high - error]], fmt='o', color=BLUE,
                markersize=4.5, capsize=3,
            )  # fmt: skip
        if row.paper is not None and row.paper.top1 is not None:
            panel.plot(row.paper.top1, y, marker='D', markersize=6, color=INK, fillstyle='none')
    panel.set_yticks(range(len(table.rows)), [_label(row) for row in table.rows])
    panel.set_ylim(len(table.rows) - 0.4, -0.6)
    panel.set_title(table.title)
    grid(panel, 'x')
    panel.tick_params(axis='y', length=0)


def _share_scale(panels: Sequence[Axes]) -> None:
    """So that errors can be compared from table to table."""
    limits = [panel.get_xlim() for panel in panels]
    for panel in panels:
        panel.set_xlim(min(low for low, _ in limits), max(high for _, high in limits))


def _label(row: Row) -> str:
    scale, test_scales, protocol = setting_cells(row)
    texts = [row.net, scale and f'S={scale}', test_scales and f'Q={test_scales}', protocol]
    return ', '.join(text for text in texts if text)


def cost_plot(rows: Sequence[Row]) -> Figure:
    """Top-1 error against the time an image takes."""
    figure = Figure(figsize=(WIDTH, 4.6), layout='constrained')
    panel = figure.subplots()
    for row in rows:
        record = row.record
        panel.plot(
            1000 * record.seconds_per_image,
            record.error(1),
            gid=_label(row),
            marker=_marker(record.protocol),
            color=_color(record.net),
            fillstyle='none' if row.shares_time else 'full',
            markersize=_size(len(record.test_scales)),
        )
    panel.set(xscale='log', xlabel='ms per image', ylabel='top-1 error, %')
    log_ticks(panel.xaxis)
    grid(panel, which='both')
    figure.legend(handles=_legend(rows), loc='outside right upper')
    return figure


def _legend(rows: Sequence[Row]) -> list[Line2D]:
    """A handle for each net, protocol and number of test scales that is there."""
    records = [row.record for row in rows]
    nets = sorted({r.net for r in records}, key=lambda net: (place(net, [*NET_COLORS]), net))
    protocols = dict.fromkeys(record.protocol for record in records)
    scales = sorted({len(record.test_scales) for record in records})
    point: dict[str, Any] = dict(linestyle='', color=INK)
    handles = [
        Line2D([], [], marker='o', linestyle='', color=_color(net), label=f'net {net}')
        for net in nets
    ]
    handles += [Line2D([], [], marker=_marker(p), label=p, **point) for p in protocols]
    handles += [
        Line2D(
            [], [], marker='o', markersize=_size(n), label=f'{n} test scale{"s" * (n > 1)}', **point
        )
        for n in scales
    ]
    if any(row.shares_time for row in rows):
        label = 'hollow: time of several\nprotocols together'
        handles.append(Line2D([], [], marker='o', fillstyle='none', label=label, **point))
    return handles


def _color(net: str) -> str:
    return NET_COLORS.get(net, INK)


def _marker(protocol: str) -> str:
    return PROTOCOL_MARKERS.get(protocol, 'X')


def _size(test_scales: int) -> float:
    return 4 + 1.5 * test_scales
