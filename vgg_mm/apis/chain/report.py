"""The errors of a chain's stages as a table."""

import os.path as osp
from collections.abc import Iterable, Sequence

from vgg_mm.evaluation import RECORDS_FILE, TestRecord, read_records, scale_texts

from ..tables import error_cell, format_table
from ..test_results import describe
from .job import Job

HEADERS = (
    'stage', 'net', 'S', 'Q', 'protocol', 'top-1 error', 'top-5 error', 'training', 'test',
)  # fmt: skip

#: (largest number of minutes that is shown so, minutes in it, unit).
UNITS = ((120, 1, 'min'), (48 * 60, 60, 'h'), (float('inf'), 24 * 60, 'd'))


def results_table(jobs: Sequence[Job]) -> str:
    """Errors of every tested stage, and what training and testing took."""
    rows = [_row(job, record) for job in jobs for record in _records(job)]
    if not rows:
        return 'The chain has no tests.'
    explanation = (
        'Errors in percent with 95 % confidence intervals; the time of a test is that of all '
        'protocols\nof one pass.'
    )
    return f'{explanation}\n\n{format_table(HEADERS, rows)}'


def _records(job: Job) -> Iterable[TestRecord]:
    """The results of the stage's checkpoint on its test images."""
    path = osp.join(job.work_dir, RECORDS_FILE)
    if not osp.isfile(path):
        return []
    checkpoint = job.record().checkpoints.get(job.stage.use)
    return [
        record
        for record in read_records(path)
        if osp.basename(record.checkpoint) == checkpoint
        and osp.realpath(record.data) == osp.realpath(describe(job.cfg)['data'])
    ]


def _row(job: Job, record: TestRecord) -> list[str]:
    return [
        job.name,
        record.net,
        *scale_texts(record),
        record.protocol,
        *(error_cell(record, k) for k in (1, 5)),
        duration(job.record().minutes),
        duration(record.images * record.seconds_per_image / 60),
    ]


def duration(minutes: float) -> str:
    """'8.0 min', '5.3 h' or '14.2 d'."""
    size, unit = next((size, unit) for limit, size, unit in UNITS if minutes < limit)
    return f'{minutes / size:.1f} {unit}'
