"""What a report consists of, as Markdown and as one HTML page."""

import os
import os.path as osp
import re
from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple, Union

import matplotlib
from matplotlib.figure import Figure

from vgg_mm.apis.paper_table.page import STYLE as PAGE_STYLE
from vgg_mm.apis.svg import STYLE as PLOT_STYLE
from vgg_mm.apis.svg import inline_svg, style
from vgg_mm.apis.tables import format_table

from ..verdicts import CONFIRMED, CONTRADICTED, NOT_SEEN, UNDECIDED

#: verdict -> class of its cells on the page
CLASSES = {
    CONFIRMED: 'confirmed',
    CONTRADICTED: 'contradicted',
    NOT_SEEN: 'unseen',
    UNDECIDED: 'missing',
}

STYLE = (
    PAGE_STYLE
    + """
.confirmed { color: #2fa14f; font-weight: 600; }
.contradicted { color: #d6458b; font-weight: 600; }
td { vertical-align: top; }
.text { white-space: normal; min-width: 16rem; }
pre { overflow-x: auto; font-size: .85em; padding: .6rem; border: 1px solid var(--line); }
"""
)

#: Letters from which a cell of a table is text that may take several lines.
LONG = 40


class Heading(NamedTuple):
    level: int
    text: str


class Text(NamedTuple):
    """A paragraph, or with ``item`` a point of a list; ``**bold**`` and `` `code` `` as usual."""

    text: str
    item: bool = False


class Rows(NamedTuple):
    """A table."""

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]


class Commands(NamedTuple):
    lines: Sequence[str]


class Plot(NamedTuple):
    """A plot; ``name`` is a part of its file's name, ``draw`` makes it."""

    name: str
    caption: str
    draw: Callable[[], Figure]


Block = Union[Heading, Text, Rows, Commands, Plot]


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
        return f'- {block.text}' if block.item else block.text
    if isinstance(block, Rows):
        rows = [[cell.replace('|', r'\|') for cell in row] for row in block.rows]
        return format_table(block.headers, rows, markdown=True)
    if isinstance(block, Commands):
        return '```bash\n' + '\n'.join(block.lines) + '\n```'
    name = osp.join('images', f'{osp.basename(stem)}_{block.name}.png')
    path = osp.join(osp.dirname(stem), name)
    os.makedirs(osp.dirname(path), exist_ok=True)
    with matplotlib.rc_context(PLOT_STYLE):
        # Without metadata the same results give the same file.
        block.draw().savefig(path, dpi=80, facecolor='white', metadata={'Software': None})
    return f'![{block.caption}]({name.replace(os.sep, "/")})\n\n{block.caption}'


def page(blocks: Sequence[Block], title: str) -> str:
    """An HTML document that needs nothing else: inline style, inline SVG."""
    parts: list[str] = []
    for block in blocks:
        text = _html(block)
        if isinstance(block, Text) and block.item and parts and parts[-1].endswith('</ul>'):
            parts[-1] = parts[-1].removesuffix('</ul>') + text + '</ul>'
        else:
            parts.append(f'<ul>{text}</ul>' if isinstance(block, Text) and block.item else text)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n'
        + '\n'.join(parts)
        + '\n</body>\n</html>\n'
    )


def _html(block: Block) -> str:
    if isinstance(block, Heading):
        return f'<h{block.level}>{_inline(block.text)}</h{block.level}>'
    if isinstance(block, Text):
        tag = 'li' if block.item else 'p'
        return f'<{tag}>{_inline(block.text)}</{tag}>'
    if isinstance(block, Rows):
        head = ''.join(f'<th>{_inline(title)}</th>' for title in block.headers)
        rows = '\n'.join('<tr>' + ''.join(map(_cell, row)) + '</tr>' for row in block.rows)
        return (
            f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n'
            '</tbody>\n</table></div>'
        )
    if isinstance(block, Commands):
        return '<pre>' + escape('\n'.join(block.lines)) + '</pre>'
    with style(block.name):
        svg = inline_svg(block.draw())
    return f'<figure>\n{svg}<figcaption>{_inline(block.caption)}</figcaption>\n</figure>'


def _cell(text: str) -> str:
    kind = CLASSES.get(text.replace('*', ''), 'text' if len(text) > LONG else '')
    return f'<td class="{kind}">{_inline(text)}</td>' if kind else f'<td>{_inline(text)}</td>'


def _inline(text: str) -> str:
    text = re.sub(r'`([^`]+)`', r'<code>\1</code>', escape(text, quote=False))
    return re.sub(r'\*\*([^*]+)\*\*', r'<strong>\1</strong>', text)
