"""The look of every plot: one palette, one style, as PNG files and inside HTML pages."""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

#: Of middle lightness: they are read on white and on black.
BLUE, ORANGE, GREEN, PINK, TEAL, BROWN, GREY = COLORS = (
    '#3b82f6', '#d9822b', '#2fa14f', '#d6458b', '#17a2a2', '#a8774f', '#8a8a8a',
)  # fmt: skip

#: One for each colour.
MARKERS = ('o', 's', 'D', '^', 'v', 'P', 'X')

#: What is wrong, and what may be.
ERROR, WARNING = '#d33f49', '#e0a13a'

#: Letters and axes; inside a page they take the colour of its text.
INK = '#222222'

#: Inches of a page's plots: their width, and the height of one panel.
WIDTH, PANEL = 10.0, 3.6

#: Maximum number of class names along an axis.
NAMED_CLASSES = 30

#: A legend next to a panel, where it hides nothing.
OUTSIDE = dict(loc='upper left', bbox_to_anchor=(1.01, 1), borderaxespad=0)

STYLE: dict[str, Any] = {
    'font.family': 'sans-serif',
    'font.size': 10,
    'text.color': INK,
    'text.parse_math': False,  # a class may be called a$b$c
    'axes.edgecolor': INK,
    'axes.labelcolor': INK,
    'xtick.color': INK,
    'ytick.color': INK,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.titlelocation': 'left',
    'axes.titlesize': 10.5,
    'axes.titleweight': 'bold',
    'legend.frameon': False,
    'savefig.dpi': 110,
    'svg.fonttype': 'none',  # letters, not outlines: small, and searchable
}


@contextmanager
def plot_style(**changes: Any) -> Iterator[None]:
    """Draw and save in :data:`STYLE`, without warnings of letters that the font lacks.

    Args:
        changes: Other of matplotlib's settings, with ``_`` for ``.``.
    """
    settings: Any = STYLE | {key.replace('_', '.', 1): value for key, value in changes.items()}
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings('ignore', message='Glyph')
        yield


def grid(panel: Axes, axis: Literal['both', 'x', 'y'] = 'both', **kwargs: Any) -> None:
    """Thin lines behind what is drawn."""
    panel.grid(axis=axis, color=INK, alpha=0.15, **kwargs)


def note(panel: Axes, text: str) -> None:
    """Write in the middle of a panel why nothing is drawn in it."""
    panel.text(0.5, 0.5, text, ha='center', color=GREY, transform=panel.transAxes)


def log_ticks(axis: Axis) -> None:
    """Label a logarithmic axis with plain numbers, between powers of ten too where they fit."""
    for set_formatter in (axis.set_major_formatter, axis.set_minor_formatter):
        set_formatter(LogFormatter(minor_thresholds=(2, 0.5)))


def encoded(figure: Figure, kind: str, **options: Any) -> bytes:
    """The content of a file of a kind, 'png' or 'jpg'; options are ``savefig``'s."""
    content = io.BytesIO()
    figure.savefig(content, format=kind, **options)
    return content.getvalue()


def inline_svg(figure: Figure, name: str) -> str:
    """The ``<svg>`` element alone: no metadata, no address; gids become what a pointer shows.

    Args:
        figure: Drawn in :func:`plot_style`.
        name: Name of the plot. The names inside the SVG come from it: the same whenever it is
            drawn, and in no other plot of a page.
    """
    buffer = io.StringIO()
    with plot_style(svg_hashsalt=name):
        figure.savefig(buffer, format='svg', transparent=True, metadata={'Date': None})
    svg = buffer.getvalue()
    svg = re.sub(r'<metadata>.*?</metadata>', '', svg[svg.index('<svg') :], flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', '', svg)
    # matplotlib numbers its own groups (axes_1): such names would occur again in the next plot.
    svg = re.sub(r'<g id="[\w.]+"', '<g', svg)
    svg = re.sub(r'<g id="([^"]*)">', r'<g><title>\1</title>', svg)
    return svg.replace(INK, 'currentColor')
