"""The paper's sequence of trainings as one command (Section 3.1)."""

import math
import os
import os.path as osp
import re
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Optional, TextIO, Union

import torch

from vgg_mm.evaluation import RECORDS_FILE, TestRecord, read_records
from vgg_mm.installation import argument
from vgg_mm.progress import SILENCE, short_duration, to_stderr

from ..cfg_options import CfgOptions
from ..errors import one_line
from ..subprocess_tools import interruptible, message_of, run_tool
from ..tables import format_table, record_cells, say
from ..test_results import describe
from .curves import CURVES_FILE, draw_curves
from .job import DONE, PART_WAY, TO_DO, Job, Record, final_checkpoints, locked, note_process
from .plan import batch_notes, plan_table
from .stages import LAST, RunOptions, load_chain, option_texts

#: Lines shown of the output of a training, and of a test, whose results are in a table.
TRAINING = re.compile(
    r'Epoch\(val\)(?!.* eta:)|staged initialisation from|Load checkpoint from|resumed epoch|'
    r'resuming from|stopping|cached maps|WARNING - (?!.*(deprecated|its requires_grad=False))'
)

TESTING = re.compile(r'Epoch\(test\).* eta:')

#: Lines of progress: the first one is shown, then one every SILENCE seconds.
PROGRESS = re.compile(
    r'Epoch\((train|val)\)|Iter\(train\)|iteration \d+ of|[\d,]+ of [\d,]+ images'
)

#: All of the tools' output, in each stage's folder.
LOG_FILE = 'chain_stage.log'

HEADERS = (
    'stage', 'net', 'S', 'Q', 'protocol', 'top-1 error', 'top-5 error', 'training', 'test',
)  # fmt: skip


def train_chain(
    chain: str,
    work_dir: Union[str, os.PathLike] = 'work_dirs',
    cfg_options: CfgOptions = (),
    amp: bool = False,
    auto_scale_lr: bool = False,
    launcher: str = 'none',
    gpus: Optional[int] = None,
    first: Optional[str] = None,
    until: Optional[str] = None,
    dry_run: bool = False,
    measure: bool = True,
    accept_changes: bool = False,
    kernels: str = 'auto',
) -> str:
    """Train the stages of a chain in order, then test them; resume an earlier run.

    Each stage is a run of ``tools/train.py`` in the folder WORK_DIR/NAME. Stages that are finished
    there are used as they are, whichever chain trained them.

    Args:
        chain: The chain's config (see :func:`load_chain`).
        work_dir: Folder of the stages' folders.
        cfg_options: Settings for every stage, ``{'a.b': 1}``; they override the stages' own.
        amp, auto_scale_lr: As of ``tools/train.py``.
        launcher: 'pytorch' to start several processes, or 'none'.
        gpus: How many processes; None: as many as there are GPUs.
        first, until: Names of the first and last stage to run; None: of the chain.
        dry_run: Return the plan and run nothing.
        measure: Estimate the plan's hours.
        accept_changes: Use existing results even if settings have changed since.
        kernels: 'auto' or 'plain', as of ``tools/train.py``.

    Returns:
        The table of errors, or of the plan.

    Raises:
        FileNotFoundError, ValueError: in one line, before anything runs, if something is wrong.
        RuntimeError: in one line that names the stage, if a tool fails.
    """
    work_dir = os.fspath(work_dir)
    try:
        option_texts({'load_from': work_dir})  # the tools are given checkpoints in it
    except ValueError as error:
        raise ValueError(
            f'{argument("work_dir", work_dir)}: checkpoints in it cannot be passed by '
            f'{argument("cfg_options")}: use a path without quotes'
        ) from error
    processes = _processes(launcher, gpus)
    texts = option_texts(cfg_options) if isinstance(cfg_options, Mapping) else cfg_options
    run = RunOptions(work_dir, tuple(texts), amp, auto_scale_lr, processes, kernels)
    jobs: dict[str, Job] = {}
    for stage in load_chain(chain):
        jobs[stage.name] = Job(stage, run, jobs.get(stage.source or ''))
    chosen = _choose(list(jobs.values()), first, until)
    if dry_run:
        table = plan_table(chosen, measure)
        say(table)
        _check(chosen, accept_changes)
        return table
    _check(chosen, accept_changes)
    for job in chosen:
        if job.state() != DONE or job.missing_tests():
            job.check_data()
    for note in batch_notes(chosen):
        say(note)
    with interruptible():
        for number, job in enumerate(chosen, start=1):
            _train(job, f'\nStage {number} of {len(chosen)}: {job.name}', accept_changes)
        for job in chosen:
            _test(job)
    table = results_table(chosen)
    say(f'\n{table}\n\nCheckpoints, logs and curves: {work_dir}')
    return table


def _processes(launcher: str, gpus: Optional[int]) -> Optional[int]:
    if launcher == 'none':
        if gpus is not None:
            raise ValueError(f'{argument("gpus", gpus)} needs {argument("launcher", "pytorch")}')
        return None
    processes = torch.cuda.device_count() if gpus is None else gpus
    if processes < 1:
        raise ValueError(
            f'{argument("launcher", launcher)}: no GPU here; give the number of processes by '
            + argument('gpus')
        )
    return processes


def _choose(jobs: list[Job], first: Optional[str], until: Optional[str]) -> list[Job]:
    names = [job.name for job in jobs]
    for end, name in (('first', first), ('until', until)):
        if name is not None and name not in names:
            raise ValueError(f'{argument(end, name)}: no such stage; available: {", ".join(names)}')
    start = 0 if first is None else names.index(first)
    stop = len(names) if until is None else names.index(until) + 1
    if start >= stop:
        raise ValueError(f'{argument("first", first)} comes after {argument("until", until)}')
    return jobs[start:stop]


def _check(jobs: Sequence[Job], accept_changes: bool) -> None:
    """Refuse existing results with other settings, or print them if they are accepted."""
    for job in jobs:
        if problem := job.problem():
            if not accept_changes:
                accept = argument('accept_changes', True)
                raise ValueError(f'{problem}; {accept} uses it as it is')
            say(f'accepted: {problem}')
        source = job.source
        starts = source is not None and job.state() == TO_DO
        if starts and (source not in jobs or source.state() == DONE):
            source.checkpoint()
        if job.state() == DONE and job.missing_tests():
            job.checkpoint()


def _train(job: Job, title: str, accept_changes: bool) -> None:
    """Train or resume a stage, unless it is finished, and draw its curves."""
    with locked(job.work_dir, job.name) as lock:
        if not accept_changes:
            # Another chain may have trained it since the plan was made.
            _check([job], accept_changes)
        if job.state() == DONE:
            say(f'{title}: done before, in {short_duration(job.record().minutes)}')
            if osp.isfile(osp.join(job.work_dir, CURVES_FILE)):
                return
        else:
            start = job.progress() if job.state() == PART_WAY else f'from {job.stage.start}'
            say(f'{title}, {start}')
            record = _train_now(job, lock)
            last = osp.join(job.work_dir, record.checkpoints[LAST])
            say(f'  finished after {short_duration(record.minutes)}: {last}')
        try:
            draw_curves(job.work_dir, job.name)
        except ValueError as error:
            to_stderr(f'  no curves: {error}')


def _train_now(job: Job, lock: TextIO) -> Record:
    record = job.record() or Record(config=job.stage.config, settings={})
    record.config, record.settings = job.stage.config, job.settings
    if job.source is not None and (record.source is None or job.state() == TO_DO):
        source = job.source.record()
        record.source = job.source.name
        record.source_finished = source.finished if source else None
    record.write(job.work_dir)
    before, started = record.minutes, time.monotonic()

    def note_time() -> None:
        record.minutes = before + (time.monotonic() - started) / 60
        record.write(job.work_dir)

    try:
        # Noted at every line shown: a power failure loses the time of an epoch at most.
        _run(job, job.train_command(), TRAINING, lock, on_shown=note_time)
    finally:
        note_time()
    record.checkpoints = final_checkpoints(job.work_dir, job.name)
    record.finished = datetime.now().isoformat()
    record.write(job.work_dir)
    return record


def _run(
    job: Job,
    command: list[str],
    shown: re.Pattern,
    lock: TextIO,
    on_shown: Optional[Callable[[], None]] = None,
) -> None:
    """Run a tool for a stage, showing the lines that matter."""
    last = -math.inf

    def show(line: str) -> None:
        nonlocal last
        now = time.monotonic()
        progress = PROGRESS.search(line)
        if shown.search(line) or progress and now - last >= SILENCE:
            last = now if progress else last
            say(f'  {message_of(line).rstrip(":")}')
            if on_shown is not None:
                on_shown()

    path = osp.join(job.work_dir, LOG_FILE)
    with open(path, 'a', encoding='utf-8') as log:
        log.write(f'$ {shlex.join(command)}\n')
        try:
            run_tool(
                command,
                show,
                log,
                on_start=lambda number: note_process(lock, number),
                pass_fds=[lock.fileno()],
            )
        except RuntimeError as error:
            raise RuntimeError(
                f'stage {job.name} failed: {one_line(error)}; all of its output is in {path}; run '
                'the same command again to resume it'
            ) from error


def _test(job: Job) -> None:
    with locked(job.work_dir, job.name) as lock:
        for name in job.missing_tests():
            say(f'\nTesting {job.name}: {name}')
            _run(job, job.test_command(name), TESTING, lock)
            job.note_test(name)


def results_table(jobs: Sequence[Job]) -> str:
    """Errors of every tested stage, and the times of training and testing."""
    rows = [
        [
            job.name,
            *record_cells(record),
            short_duration(job.record().minutes),
            short_duration(record.images * record.seconds_per_image / 60),
        ]
        for job in jobs
        for record in _records(job)
    ]
    if not rows:
        return 'The chain has no tests.'
    explanation = (
        'Errors in percent with 95 % confidence intervals; the time of a test is that of all '
        'protocols\nof one pass.'
    )
    return f'{explanation}\n\n{format_table(HEADERS, rows)}'


def _records(job: Job) -> list[TestRecord]:
    """The results of the stage's checkpoint on its test images."""
    path = osp.join(job.work_dir, RECORDS_FILE)
    if not osp.isfile(path):
        return []
    checkpoint = osp.basename(job.record().checkpoints.get(job.stage.use, ''))
    data = osp.realpath(describe(job.cfg)['data'])
    # Chosen before the newest of each row are: a later test of another checkpoint hides none.
    return read_records(
        path, lambda r: osp.basename(r.checkpoint) == checkpoint and osp.realpath(r.data) == data
    )
