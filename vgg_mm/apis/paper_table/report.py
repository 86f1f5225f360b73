"""From work directories to tables: in the terminal, as Markdown and as a page."""

import os
from collections.abc import Sequence
from textwrap import fill
from typing import Optional

from vgg_mm.apis.document import DIM, Block, Heading, Text, aligned, markdown, page
from vgg_mm.apis.document import Table as DocumentTable
from vgg_mm.apis.tables import format_table, record_cells, say
from vgg_mm.apis.test_results import HEADERS
from vgg_mm.checkpoints import write_atomically
from vgg_mm.evaluation import RECORDS_FILE
from vgg_mm.installation import argument, command

from .plots import plots_of
from .run import find_results, run_missing
from .tables import Row, Section, Table, sections, setting_cells

TITLE = 'Tables 3 to 7 of arXiv 1409.1556'

PAPER = 'paper'

#: Columns whose cells end at the same place.
RIGHT = ('top-1 error', 'top-5 error', 'images', 'ms/image', PAPER)

MISSING = 'missing'

CAPTION = 'Errors in percent, with 95 % confidence intervals (Wilson).'

PAPER_CAPTION = (
    "The column 'paper' shows the paper's top-1 / top-5 errors on the 50,000 validation images of "
    'ILSVRC-2012, in Tables 6 and 7 also the top-5 error on its test images; they are not '
    "measurements of this package. 'missing': no result of that row was found."
)


def paper_table(
    folders: Sequence[str],
    out: Optional[str] = None,
    run: bool = False,
    data_root: Optional[str] = None,
    show_imagenet: bool = False,
) -> None:
    """Print the paper's Tables 3 to 7 from the test results below the folders.

    Args:
        folders: Work directories, or folders above them.
        out: Folder for ``tables.md`` and ``tables.html``.
        run: First run the tests whose results are missing.
        data_root: With ``run``: replaces the configs' ``DATA_ROOT``.
        show_imagenet: Also the paper's tables where there is no result on ImageNet.

    Raises:
        FileNotFoundError: if there is no such folder, or no result in any.
        ValueError: if a results file is broken, or ``data_root`` is given without ``run``.
        RuntimeError: at the end, if tests failed.
    """
    if data_root is not None and not run:
        raise ValueError(
            f'{argument("data_root", data_root)} has no effect without {argument("run", True)}'
        )
    results = find_results(folders)
    tests = failed = 0
    if run:
        tests, failed = run_missing(folders, results, data_root)
        results = find_results(folders)
    if not results:
        raise FileNotFoundError(
            f'no results ({RECORDS_FILE}) in {", ".join(folders)}; '
            f'{command("test")} leaves them in its work directory'
        )
    found = sections(results, show_imagenet)
    say(plain(found))
    if out is not None:
        stem = os.path.join(out, 'tables')
        write_atomically(f'{stem}.md', markdown(blocks(found), stem).encode())
        html = page(blocks(found, plots=True), TITLE, {MISSING: DIM})
        write_atomically(f'{stem}.html', html.encode())
    if failed:
        raise RuntimeError(f'{failed} of {tests} tests failed (see above)')


def document_table(table: Table) -> DocumentTable:
    """The table as text; with a column of the paper's figures if it has any of these rows."""
    papers = [row.paper for row in table.rows if row.paper]
    has_test = any(paper.test_top5 is not None for paper in papers)

    def of_paper(row: Row) -> str:
        if row.paper is None:
            return ''
        errors = [row.paper.top1, row.paper.top5, *([row.paper.test_top5] if has_test else [])]
        return ' / '.join('-' if error is None else f'{error:.1f}' for error in errors)

    if not papers:
        return DocumentTable(HEADERS, list(map(_measured, table.rows)), RIGHT)
    rows = [[*_measured(row), of_paper(row)] for row in table.rows]
    return DocumentTable([*HEADERS, PAPER], rows, RIGHT)


def _measured(row: Row) -> list[str]:
    record = row.record
    if record is None:
        return [row.net, *setting_cells(row), MISSING if row.paper.protocol else '', '', '', '']
    time = f'{1000 * record.seconds_per_image:,.1f}' if record.seconds_per_image else ''
    time += '*' * row.shares_time
    return [row.net, *record_cells(record)[1:], f'{record.images:,}', time]


def blocks(sections: Sequence[Section], plots: bool = False) -> list[Block]:
    """All tables as a document, with plots or without."""
    found: list[Block] = [Heading(1, TITLE)]
    for section in sections:
        caption = f'{CAPTION} {PAPER_CAPTION}' if section.compared else CAPTION
        found += [Heading(2, section.title), Text(caption)]
        for table in section.tables:
            found += [Heading(3, table.title), document_table(table)]
            found += [Text(note, note=True) for note in table.notes]
        if plots:
            found += plots_of(section)
    return found


def plain(sections: Sequence[Section]) -> str:
    """All tables in letters, for the terminal."""
    parts = []
    for block in blocks(sections)[1:]:
        if isinstance(block, Heading):
            line = '\n' + '=' * len(block.text) if block.level == 2 else ''
            parts.append(block.text + line)
        elif isinstance(block, DocumentTable):
            parts.append(format_table(block.headers, aligned(block)))
        elif isinstance(block, Text):
            parts.append(fill(block.text, 100))
    return '\n\n'.join(parts)
