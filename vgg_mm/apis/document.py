"""Reports of headings, text, tables and plots, as Markdown and as one HTML page."""

import os
import os.path as osp
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from html import escape
from typing import NamedTuple, Union

from jinja2 import ChainableUndefined, Environment, PackageLoader, Template
from markupsafe import Markup
from matplotlib.figure import Figure

from vgg_mm.visualization.style import inline_svg, plot_style

from .tables import format_table

#: Letters from which a cell of a table is text that may take several lines.
LONG_CELL = 40

#: Classes of the page's style for cells that are a verdict: ``classes`` of :func:`page`.
GOOD, BAD, DIM = 'good', 'bad', 'dim'


class Heading(NamedTuple):
    level: int
    text: str


class Text(NamedTuple):
    """A paragraph, a point of a list (``item``), or a line below a table (``note``).

    ``**bold**`` and `` `code` `` are as in Markdown.
    """

    text: str
    item: bool = False
    note: bool = False


class Table(NamedTuple):
    """A table; cells of the columns ``right``, named by their headers, end at the same place."""

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: Collection[str] = ()


class Commands(NamedTuple):
    lines: Sequence[str]


class Plot(NamedTuple):
    """A plot; ``name`` is a part of its file's name, ``draw`` makes it."""

    name: str
    caption: str
    draw: Callable[[], Figure]


Block = Union[Heading, Text, Table, Commands, Plot]


def markdown(blocks: Sequence[Block], stem: str) -> str:
    """A Markdown document; its plots are written as ``DIR/images/STEM_NAME.png``."""
    parts: list[str] = []
    for block in blocks:
        if isinstance(block, Text) and block.item and parts and parts[-1].startswith('- '):
            parts[-1] += f'\n- {block.text}'
        else:
            parts.append(_markdown(block, stem))
    return '\n\n'.join(parts) + '\n'


def _markdown(block: Block, stem: str) -> str:
    if isinstance(block, Heading):
        return f'{"#" * block.level} {block.text}'
    if isinstance(block, Text):
        # A star at the beginning would make a list of it.
        return f'- {block.text}' if block.item else re.sub(r'^\*(?=\s)', r'\\*', block.text)
    if isinstance(block, Table):
        rows = [[cell.replace('|', r'\|') for cell in row] for row in aligned(block)]
        return format_table(block.headers, rows, markdown=True)
    if isinstance(block, Commands):
        return '```bash\n' + '\n'.join(block.lines) + '\n```'
    name = osp.join('images', f'{osp.basename(stem)}_{block.name}.png')
    path = osp.join(osp.dirname(stem), name)
    os.makedirs(osp.dirname(path), exist_ok=True)
    with plot_style():
        # Without metadata the same results give the same file.
        block.draw().savefig(path, dpi=80, facecolor='white', metadata={'Software': None})
    return f'![{block.caption}]({name.replace(os.sep, "/")})\n\n{block.caption}'


def aligned(table: Table) -> list[list[str]]:
    """The rows, with blanks before the cells of the columns that end at the same place."""
    columns = [
        [cell.rjust(max(map(len, column))) for cell in column] if title in table.right else column
        for title, column in zip(table.headers, zip(*table.rows))
    ]
    return [list(row) for row in zip(*columns)]


def page(blocks: Sequence[Block], title: str, classes: Mapping[str, str] = {}) -> str:
    """A self-contained HTML document: inline style, inline SVG.

    Args:
        blocks: What it consists of.
        title: Of the browser's window.
        classes: Text of a cell -> :data:`GOOD`, :data:`BAD` or :data:`DIM`.
    """
    return _template().render(
        title=title,
        blocks=[(type(block).__name__, block) for block in blocks],
        classes=classes,
        long=LONG_CELL,
    )


@cache
def _template() -> Template:
    loader = PackageLoader('vgg_mm.apis', '.')
    environment = Environment(loader=loader, autoescape=True, undefined=ChainableUndefined)
    environment.trim_blocks = environment.lstrip_blocks = True
    environment.filters.update(inline=_inline, svg=_svg, plain=_plain)
    return environment.get_template('document.html.jinja')


def _inline(text: str) -> Markup:
    html = re.sub(r'`([^`]+)`', r'<code>\1</code>', escape(text, quote=False))
    return Markup(re.sub(r'\*\*([^*]+)\*\*', r'<strong>\1</strong>', html))


def _plain(text: str) -> str:
    """A cell's text without Markdown marks."""
    return text.replace('*', '')


def _svg(plot: Plot) -> Markup:
    with plot_style():
        figure = plot.draw()
    return Markup(inline_svg(figure, plot.name))
