"""Tables for the terminal and for Markdown."""

import sys
from collections.abc import Iterable, Sequence

from vgg_mm.evaluation import TestRecord, scale_texts


def format_table(headers: Sequence[str], rows: Sequence[Sequence], markdown: bool = False) -> str:
    """Align columns: numbers to the right, everything else to the left.

    Args:
        headers: Column titles.
        rows: Cells; they are printed with ``str``.
        markdown: With the bars of a Markdown table, or plain.
    """
    cells = [[str(cell) for cell in row] for row in [headers, *rows]]
    widths = [max(map(len, column)) for column in zip(*cells)]
    right = [all(_is_number(c) for c in column[1:]) for column in zip(*cells)]
    lines = [
        [c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right)] for row in cells
    ]
    if markdown:
        rules = ['-' * (w - 1) + ':' if r else '-' * w for w, r in zip(widths, right)]
        return '\n'.join('| ' + ' | '.join(line) + ' |' for line in [lines[0], rules, *lines[1:]])
    lines.insert(1, ['-' * w for w in widths])
    return '\n'.join('  '.join(line).rstrip() for line in lines)


def _is_number(cell: str) -> bool:
    digits = cell.replace(',', '').removeprefix('-').removesuffix('%').strip()
    return digits.replace('.', '', 1).isdigit() or not cell


def error_cell(record: TestRecord, k: int) -> str:
    """Top-k error in percent with its 95 % confidence interval: '25.6 [25.2, 26.0]'."""
    if k not in record.wrong:
        return ''
    low, high = record.interval(k)
    return f'{record.error(k):.1f} [{low:.1f}, {high:.1f}]'


def record_cells(record: TestRecord, top_k: Iterable[int] = (1, 5)) -> list[str]:
    """Net, S, Q, protocol and errors of a test."""
    errors = [error_cell(record, k) for k in top_k]
    return [record.net, *scale_texts(record), record.protocol, *errors]


def say(text: str) -> None:
    """Print, also where file or class names hold letters that the terminal's encoding lacks."""
    encoding = sys.stdout.encoding or 'utf-8'
    print(text.encode(encoding, 'backslashreplace').decode(encoding), flush=True)
