"""The tables in the terminal and in Markdown."""

from collections.abc import Sequence
from textwrap import fill
from typing import Optional

from vgg_mm.apis.tables import error_cell, format_table
from vgg_mm.evaluation import scale_texts
from vgg_mm.evaluation.paper_results import PaperResult

from .tables import Row, Section, Table

TITLE = 'Tables 3 to 7 of arXiv 1409.1556'

HEADERS = ('net', 'S', 'Q', 'protocol', 'top-1 error', 'top-5 error', 'images', 'ms/image')

PAPER = 'paper'

#: Columns whose cells end at the same place.
RIGHT = ('top-1 error', 'top-5 error', 'images', 'ms/image', PAPER)

MISSING = 'missing'

CAPTION = 'Errors in percent, with 95 % confidence intervals (Wilson).'
PAPER_CAPTION = (
    "The column 'paper' holds the paper's top-1 / top-5 errors on the 50,000 validation images of "
    'ILSVRC-2012, in Tables 6 and 7 also the top-5 error on its test images; they are not '
    "measurements of this package. 'missing': no result of that row was found."
)


def caption(section: Section) -> str:
    """What the reader has to know of a section's columns."""
    return f'{CAPTION} {PAPER_CAPTION}' if section.compared else CAPTION


def headers(table: Table) -> list[str]:
    """Column titles; the paper's only where the paper has rows."""
    return [*HEADERS, PAPER] if any(row.paper for row in table.rows) else list(HEADERS)


def cells(table: Table) -> list[list[str]]:
    """The cells of each row, a cell a title."""
    papers = [row.paper for row in table.rows if row.paper]
    has_test = any(paper.test_top5 is not None for paper in papers)
    return [
        _measured(row) + ([_paper(row.paper, has_test)] if papers else []) for row in table.rows
    ]


def setting_cells(row: Row) -> list[str]:
    """S, Q and the protocol; empty for other authors' rows."""
    if row.record is None and not row.paper.protocol:
        return [''] * 3
    return [*scale_texts(row.setting), row.setting.protocol]


def _measured(row: Row) -> list[str]:
    record = row.record
    if record is None:
        return [row.net, *setting_cells(row), MISSING if row.paper.protocol else '', '', '', '']
    time = f'{1000 * record.seconds_per_image:,.1f}' if record.seconds_per_image else ''
    return [
        row.net,
        *setting_cells(row),
        error_cell(record, 1),
        error_cell(record, 5),
        f'{record.images:,}',
        time + '*' * row.shares_time,
    ]


def _paper(paper: Optional[PaperResult], has_test: bool) -> str:
    if paper is None:
        return ''
    errors = [paper.top1, paper.top5, *([paper.test_top5] if has_test else [])]
    return ' / '.join('-' if error is None else f'{error:.1f}' for error in errors)


def render(sections: Sequence[Section], markdown: bool = False) -> str:
    """All tables, plain or as a Markdown document."""
    blocks = [f'# {TITLE}'] if markdown else []
    for section in sections:
        title = (
            f'## {section.title}' if markdown else f'{section.title}\n{"=" * len(section.title)}'
        )
        blocks += [title, _paragraph(caption(section), markdown)]
        for table in section.tables:
            blocks.append(f'### {table.title}' if markdown else table.title)
            blocks.append(_table(table, markdown))
            blocks += [_paragraph(note, markdown) for note in table.notes]
    return '\n\n'.join(blocks)


def _paragraph(text: str, markdown: bool) -> str:
    # In Markdown a star would begin a list.
    return text.replace('*', r'\*') if markdown else fill(text, 100)


def _table(table: Table, markdown: bool) -> str:
    titles = headers(table)
    columns = [
        _to_the_right(column) if title in RIGHT else column
        for title, column in zip(titles, zip(*cells(table)))
    ]
    rows = [
        [cell.replace('|', r'\|') if markdown else cell for cell in row] for row in zip(*columns)
    ]
    return format_table(titles, rows, markdown)


def _to_the_right(column: Sequence[str]) -> list[str]:
    width = max(map(len, column))
    return [cell.rjust(width) for cell in column]
