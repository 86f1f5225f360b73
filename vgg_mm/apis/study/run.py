"""``tools/run_study.py``: train, test, compare and report, going on where it stopped."""

import os
import os.path as osp
from collections.abc import Sequence
from typing import Optional, TextIO

from ..chain.curves import CURVES_FILE
from ..chain.report import duration
from ..errors import EXPECTED, one_line
from ..subprocess_tools import interruptible, run_tool
from .collect import collect
from .estimate import estimate_table
from .load import load_study
from .passes import Trainings
from .plan import Task, select, tasks
from .report import write_report
from .study import Study
from .trainings import Training, trainings

#: All of the tools' output, in the study's work directory.
LOG_FILE = 'study.log'

#: A failure is named in a line of at most so many letters; the log has all of it.
LONGEST_LINE = 300


def run_study(
    study: str,
    root: str,
    profile: Optional[str] = None,
    data: Sequence[str] = (),
    seeds: Optional[Sequence[int]] = None,
    only: Sequence[str] = (),
    amp: bool = False,
    dry_run: bool = False,
    measure: bool = True,
    report_only: bool = False,
) -> None:
    """Train and test what a study needs, then write its results and its report.

    What is finished is used as it is. A run that fails is reported in a line, and the others go on.

    Args:
        study: The study file.
        root: Folder that holds ``tools``.
        profile: Which of its profiles; None: the first.
        data: ``NAME=FOLDER`` in place of the profile's folders.
        seeds: Which seeds to run; None: the profile's. The report is on the profile's and these.
        only: Claims and runs to work on.
        amp: Mixed precision.
        dry_run: Print what is to be done and how long it takes, and do nothing.
        measure: With ``dry_run``: also time a few steps of nets of which none is finished.
        report_only: Only make results and report from what is there.

    Raises:
        FileNotFoundError, ValueError: in one line, before anything runs, if something is wrong.
        RuntimeError: at the end, if runs failed.
    """
    loaded = load_study(study, profile, seeds, _roots(data))
    found = trainings(loaded, root, amp)
    chosen = select(loaded, only)
    todo = list(tasks(loaded, chosen, found, loaded.seeds if seeds is None else seeds))
    if dry_run:
        everything = list(tasks(loaded, select(loaded), found, loaded.seeds))
        print(estimate_table(loaded, todo, everything, measure))
        return
    failures = [] if report_only else _run_all(loaded, todo, found)
    _report(loaded, found)
    if failures:
        print('\nFailed:\n' + '\n'.join(f'  {line}' for line in failures))
        raise RuntimeError(
            f'{len(failures)} of {len(todo)} runs failed (see above); the same command tries again'
        )


def _roots(data: Sequence[str]) -> dict[str, str]:
    roots = {}
    for text in data:
        name, _, root = text.partition('=')
        if not (name and root):
            raise ValueError(f'--data takes NAME=FOLDER, got {text!r}')
        roots[name] = root
    return roots


def _run_all(study: Study, todo: Sequence[Task], found: Trainings) -> list[str]:
    """Do what is not done; returns a line for each failure."""
    failures, without = _without_data(study)
    os.makedirs(study.work_dir, exist_ok=True)
    path = osp.join(study.work_dir, LOG_FILE)
    with open(path, 'a', encoding='utf-8') as log, interruptible():
        for number, task in enumerate(todo, start=1):
            if task.where.data in without:
                continue
            try:
                _do(task, f'[{number}/{len(todo)}] ', log)
            except EXPECTED as error:
                line = f'{task}: {one_line(error)}'
                failures.append(line if len(line) < LONGEST_LINE else f'{line[:LONGEST_LINE]}...')
                print(f'failed: {failures[-1]}', flush=True)
            is_last = number == len(todo) or todo[number].where.seed != task.where.seed
            if is_last and number < len(todo):
                _report(study, found)
    return failures


def _without_data(study: Study) -> tuple[list[str], set[str]]:
    """Lines for data sets whose folder is not there, and their names."""
    missing = {name for name, data in study.data.items() if not osp.isdir(data.root)}
    lines = [
        f'{name}: no data folder {study.data[name].root!r}: give yours with --data {name}=FOLDER'
        for name in study.data
        if name in missing
    ]
    if missing == set(study.data):
        raise FileNotFoundError('; '.join(lines))
    for line in lines:
        print(f'failed: {line}', flush=True)
    return lines, missing


def _do(task: Task, number: str, log: TextIO) -> None:
    if isinstance(task, Training):
        _train(task, number, log)
    elif task.training.done and not task.done:
        print(f'{number}{task}', flush=True)
        _run(task.command(), task.shown_command(), log)
        task.note_done()


def _train(training: Training, number: str, log: TextIO) -> None:
    if problem := training.problem():
        raise ValueError(problem)
    if training.done or training.not_finite():
        return
    source = training.source
    if source is not None and not source.done:
        raise RuntimeError(f'it starts from {source.where.run}, which is not trained')
    print(f'{number}{training}: training', flush=True)
    try:
        _run(training.command(), training.shown_command(), log)
    except RuntimeError as error:
        if not training.note_failure(one_line(error)):
            raise
        print(f'  {training.not_finite()}: kept as a result', flush=True)
        return
    curves = osp.join(training.folder, CURVES_FILE)
    print(f'  {duration(training.minutes)}, curves: {curves}', flush=True)


def _run(command: Sequence[str], shown: str, log: TextIO) -> None:
    log.write(f'$ {shown}\n')
    run_tool(command, lambda line: None, log)


def _report(study: Study, found: Trainings) -> None:
    """Results and report of what is there."""
    results = {name: collect(study, name, found) for name in study.data}
    for path in write_report(study, results):
        print(f'written: {path}', flush=True)
