"""Assignment of results to the paper's tables and rows."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Optional, Union

from vgg_mm.architectures import ARCHITECTURES, BASE_CHANNELS
from vgg_mm.evaluation import TestRecord, scale_texts
from vgg_mm.evaluation.paper_results import (
    TABLE_3,
    TABLE_4,
    TABLE_5,
    TABLE_6,
    TABLE_7,
    PaperResult,
)

from .run import Result

#: Order of the rows; others follow by name.
NETS = tuple(ARCHITECTURES)
PROTOCOLS = ('centre crop', 'dense', 'multi_crop', 'dense+multi_crop')

#: Note to the mark of a time that several rows have in common.
SHARED_TIME = '* time of one pass that gave several protocols'


class Row(NamedTuple):
    """``net`` is the first column; ``record`` is None where there is no result."""

    net: str
    record: Optional[TestRecord]
    paper: Optional[PaperResult]

    @property
    def setting(self) -> Union[TestRecord, PaperResult]:
        """What has the row's ``scale``, ``test_scales`` and ``protocol``."""
        setting = self.record or self.paper
        assert setting is not None, "a row has a result or is a paper's"
        return setting

    @property
    def shares_time(self) -> bool:
        """Whether the record's time is that of several protocols together."""
        return bool(self.record and self.record.protocols_together > 1)


class Table(NamedTuple):
    """A table and the lines below it; ``number`` is the paper's, if it has such a table."""

    number: Optional[int]
    title: str
    rows: list[Row]
    notes: list[str]


class Section(NamedTuple):
    """The tables of one data set; ``compared``: with the paper's figures."""

    title: str
    compared: bool
    tables: list[Table]


#: Number of a table in the paper -> its subject and its rows; None: a table the paper lacks.
KINDS: dict[Optional[int], tuple[str, tuple[PaperResult, ...]]] = {
    3: ('one test scale', TABLE_3),
    4: ('several test scales', TABLE_4),
    5: ('dense and multi-crop', TABLE_5),
    6: ('fusion of nets', TABLE_6),
    7: ('the state of the art', TABLE_7),
    None: ('centre crop', ()),
}


def _uses_crops(record: TestRecord) -> bool:
    return not record.members and record.protocol not in ('dense', 'centre crop')


def _net_setting(record: TestRecord) -> tuple:
    return record.net, record.width, record.scale, record.test_scales


def _numbers(record: TestRecord, crops: set[tuple]) -> list[Optional[int]]:
    """The tables that a result is in; ``crops``: settings of nets that were tested with crops."""
    if record.members:
        return [6]
    if record.protocol == 'centre crop':
        return [None]
    if _uses_crops(record):
        return [5]
    number = 4 if len(record.test_scales) > 1 else 3
    return [number, 5] if _net_setting(record) in crops else [number]


def sections(results: Iterable[Result], show_imagenet: bool = False) -> list[Section]:
    """Tables of every data set, those to compare with the paper first.

    Each result is in one table at least; ``show_imagenet``: with a section of ImageNet even where
    there is no result of it.
    """
    groups: dict[tuple[bool, bool, str], list[Result]] = {}
    for result in results:
        record = result.record
        compared = record.imagenet and record.width == BASE_CHANNELS
        groups.setdefault((compared, record.imagenet, record.data), []).append(result)
    if show_imagenet and not any(compared for compared, *_ in groups):
        groups[True, True, ''] = []
    order = sorted(groups, key=lambda group: (not group[0], not group[1], group[2]))
    return [_section(*group, groups[group]) for group in order]


def _section(compared: bool, imagenet: bool, data: str, results: Sequence[Result]) -> Section:
    heading = data
    if imagenet:
        nets = '' if compared else f', nets whose width is not {BASE_CHANNELS}'
        heading = f'ILSVRC-2012{nets}: {data or "no results"}'
    records = [result.record for result in results]
    crops = {_net_setting(record) for record in records if _uses_crops(record)}
    fusions = list(dict.fromkeys(tuple(record.members) for record in records if record.members))
    names = _names(results, fusions)
    tables = []
    for number, (kind, papers_rows) in KINDS.items():
        paper = papers_rows if compared else ()
        named = [
            (name, record)
            for name, record in zip(names, records)
            if number in _numbers(record, crops) or any(_is_row(row, record) for row in paper)
        ]
        if rows := _rows(named, paper):
            title = kind.capitalize() + (f' (as Table {number})' if number else '')
            if number and compared:
                title = f'Table {number}: {kind}'
            tables.append(Table(number, title, rows, _notes(rows, fusions)))
    return Section(heading, compared, tables)


def _names(results: Sequence[Result], fusions: list[tuple[str, ...]]) -> list[str]:
    """The rows' first column, with what distinguishes equal ones."""
    keys = Counter(result.record.key for result in results)
    folders = [os.path.realpath(result.folder) for result in results]
    top = os.path.dirname(os.path.commonpath(folders)) if folders else ''
    names = []
    for (record, _), folder in zip(results, folders):
        name = record.net
        # The width of a fusion of several widths is 0.
        if record.width not in (BASE_CHANNELS, 0):
            name += f', width {record.width}'
        if record.members:
            name += f' [{fusions.index(tuple(record.members)) + 1}]'
        if keys[record.key] > 1:
            name += f' ({os.path.relpath(folder, top)})'
        names.append(name)
    return names


def _rows(named: Sequence[tuple[str, TestRecord]], paper: Sequence[PaperResult]) -> list[Row]:
    """The paper's rows, each with what was found or empty, and the other records."""
    rows = []
    for line in paper:
        found = [Row(name, record, line) for name, record in named if _is_row(line, record)]
        rows += found or [Row(line.net, None, line)]
    others = [
        Row(name, record, None)
        for name, record in named
        if not any(_is_row(line, record) for line in paper)
    ]
    return sorted(rows + others, key=_order) if others else rows


def _order(row: Row) -> tuple:
    """Net, S (fixed ones first), Q, protocol."""
    setting = row.setting
    low, high = setting.scale or (0, 0)
    return (
        place(setting.net, NETS),
        setting.net,
        row.record.width if row.record else BASE_CHANNELS,
        (low != high, low, high),
        setting.test_scales,
        place(setting.protocol, PROTOCOLS),
        row.net,
    )


def setting_cells(row: Row) -> list[str]:
    """S, Q and the protocol; empty for other authors' rows."""
    if row.record is None and not row.paper.protocol:
        return [''] * 3
    return [*scale_texts(row.setting), row.setting.protocol]


def place(name: str, known: Sequence[str]) -> int:
    """The place of a name in a list; after its end if it is not in it."""
    return known.index(name) if name in known else len(known)


def _notes(rows: Sequence[Row], fusions: list[tuple[str, ...]]) -> list[str]:
    notes = [SHARED_TIME] if any(row.shares_time for row in rows) else []
    used = [tuple(row.record.members) for row in rows if row.record]
    notes += [
        f'[{number}] averages {"; ".join(members)}'
        for number, members in enumerate(fusions, start=1)
        if members in used
    ]
    return notes


def _is_row(paper: PaperResult, record: TestRecord) -> bool:
    """Whether the record is a measurement of the paper's row; widths are not compared."""
    if paper.protocol != record.protocol:
        return False
    if paper.members or record.members:
        return sorted(paper.members) == sorted(record.members)
    return (paper.net, paper.scale, paper.test_scales) == (
        record.net,
        record.scale,
        record.test_scales,
    )
