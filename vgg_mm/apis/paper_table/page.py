"""The tables and plots as one HTML file that needs nothing else."""

from collections.abc import Sequence
from html import escape
from typing import Optional

from .plots import cost_plot, error_plot
from .tables import Section, Table
from .text import MISSING, RIGHT, TITLE, caption, cells, headers

STYLE = """
:root { color-scheme: light dark; --line: #8884; --dim: #6b6b6b; }
@media (prefers-color-scheme: dark) { :root { --dim: #a0a0a0; } }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 80rem; margin: 2rem auto; }
body { padding: 0 1rem; }
h2 { border-bottom: 1px solid var(--line); margin-top: 3rem; overflow-wrap: anywhere; }
h3 { margin: 2rem 0 .5rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; white-space: nowrap; }
th { text-align: left; font-weight: 600; }
th, td { padding: .2rem .55rem; border-bottom: 1px solid var(--line); }
.right { text-align: right; }
.missing, .note, figcaption { color: var(--dim); }
.note { margin: .4rem 0; font-size: .9em; }
figure { margin: 2rem 0; overflow-x: auto; }
svg { max-width: 100%; height: auto; }
"""

ERROR_CAPTION = 'Top-1 error with its 95 % confidence interval (filled){paper}, table by table.'
COST_CAPTION = (
    'Top-1 error against the time that an image takes, as measured. '
    'A pointer over a point shows its row.'
)


def page(sections: Sequence[Section]) -> str:
    """An HTML document with inline style and inline SVG."""
    body = '\n'.join(_section(section) for section in sections)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{TITLE}</title>\n<style>{STYLE}</style>\n</head>\n'
        f'<body>\n<h1>{TITLE}</h1>\n{body}\n</body>\n</html>\n'
    )


def _section(section: Section) -> str:
    paper = " and the paper's figure (hollow)" if section.compared else ''
    parts = [
        f'<section>\n<h2>{escape(section.title)}</h2>\n<p>{escape(caption(section))}</p>',
        *(_table(table) for table in section.tables),
        _figure(error_plot(section), ERROR_CAPTION.format(paper=paper)),
        _figure(cost_plot(section), COST_CAPTION),
        '</section>',
    ]
    return '\n'.join(part for part in parts if part)


def _figure(svg: Optional[str], text: str) -> str:
    return f'<figure>\n{svg}<figcaption>{text}</figcaption>\n</figure>' if svg else ''


def _table(table: Table) -> str:
    titles = headers(table)
    head = ''.join(_cell('th', title, title) for title in titles)
    rows = [
        '<tr>' + ''.join(_cell('td', title, cell) for title, cell in zip(titles, row)) + '</tr>'
        for row in cells(table)
    ]
    notes = ''.join(f'\n<p class="note">{escape(note)}</p>' for note in table.notes)
    return (
        f'<h3>{escape(table.title)}</h3>\n<div class="wide"><table>\n<thead><tr>{head}</tr></thead>'
        '\n<tbody>\n' + '\n'.join(rows) + f'\n</tbody>\n</table></div>{notes}'
    )


def _cell(tag: str, title: str, text: str) -> str:
    """A cell of the column of that title."""
    classes = ['right'] * (title in RIGHT) + ['missing'] * (text == MISSING)
    attribute = f' class="{" ".join(classes)}"' if classes else ''
    return f'<{tag}{attribute}>{escape(text)}</{tag}>'
