"""Plots as inline SVG whose text and axes take the colour of the page's text."""

import io
import re
from contextlib import AbstractContextManager

import matplotlib
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

#: Drawn in this colour, a line or a letter becomes the page's ``currentColor``.
INK = '#010203'

STYLE = {
    'svg.fonttype': 'none',  # letters, not outlines: small, and searchable
    'font.family': 'sans-serif',
    'font.size': 10,
    'text.color': INK,
    'axes.edgecolor': INK,
    'axes.labelcolor': INK,
    'xtick.color': INK,
    'ytick.color': INK,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'legend.frameon': False,
    'axes.titlelocation': 'left',
    'axes.titlesize': 10,
}


def style(plot: str) -> AbstractContextManager:
    """The names inside a plot's SVG come from its own name: the same at every run, in no other."""
    return matplotlib.rc_context({**STYLE, 'svg.hashsalt': plot})


def log_ticks(axis: Axis) -> None:
    """Label a logarithmic axis with plain numbers, also between powers of ten if there is room."""
    for set_formatter in (axis.set_major_formatter, axis.set_minor_formatter):
        set_formatter(LogFormatter(minor_thresholds=(2, 0.5)))


def inline_svg(figure: Figure) -> str:
    """The ``<svg>`` element alone: no metadata, no address; gids become what a pointer shows."""
    buffer = io.StringIO()
    figure.savefig(buffer, format='svg', transparent=True, metadata={'Date': None})
    svg = buffer.getvalue()
    svg = re.sub(r'<metadata>.*?</metadata>', '', svg[svg.index('<svg') :], flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', '', svg)
    # matplotlib numbers its own groups (axes_1): such names would occur again in the next plot.
    svg = re.sub(r'<g id="[\w.]+"', '<g', svg)
    svg = re.sub(r'<g id="([^"]*)">', r'<g><title>\1</title>', svg)
    return svg.replace(INK, 'currentColor')
