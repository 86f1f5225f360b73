"""``studies/run.py``: train, test, compare and report, resuming where it stopped."""

import os
import os.path as osp
from collections.abc import Sequence
from typing import Optional

from vgg_mm.apis.subprocess_tools import available_cores

from .collect import collect
from .estimate import estimate_table
from .evaluations import Trainings
from .load import load_study
from .plan import Task, missing, select, tasks
from .report import write_report
from .results import ResultsByData
from .schedule import Schedule
from .study import Study
from .trainings import trainings

#: Log of all tools' output, in the study's work directory.
LOG_FILE = 'study.log'


def run_study(
    study: str,
    profile: Optional[str] = None,
    data: Sequence[str] = (),
    seeds: Optional[Sequence[int]] = None,
    only: Sequence[str] = (),
    amp: bool = False,
    out: Optional[str] = None,
    jobs: int = 1,
    dry_run: bool = False,
    measure: bool = True,
    report_only: bool = False,
) -> None:
    """Train and test what a study needs, then write its results and its report.

    Finished runs are reused, and existing results are not computed again. A failed run is reported
    in one line, and the others continue. The arguments are the options of ``studies/run.py``;
    several ``jobs`` share the cores, unless OMP_NUM_THREADS is set in the environment.

    Raises:
        FileNotFoundError, ValueError: in one line, before anything runs, if something is wrong.
        RuntimeError: at the end, if runs failed.
    """
    if jobs < 1:
        raise ValueError(f'--jobs must be at least 1, got {jobs}')
    if out is not None and osp.exists(out) and not osp.isdir(out):
        raise ValueError(f'--out {out} is a file; give a folder')
    if jobs > 1:
        os.environ.setdefault('OMP_NUM_THREADS', str(max(1, available_cores() // jobs)))
    loaded = load_study(study, profile, seeds, _roots(data), out)
    found = trainings(loaded, amp)
    chosen = select(loaded, only)
    todo = list(tasks(chosen, found, loaded.seeds if seeds is None else seeds))
    left = missing(loaded, todo, found)
    if dry_run:
        everything = list(tasks(select(loaded), found, loaded.seeds))
        print(estimate_table(loaded, todo, left, everything, measure))
        return
    failures = [] if report_only else _run_all(loaded, left, found, jobs)
    results = _report(loaded, found)
    if report_only:
        _name_unused(results, found)
    if failures:
        print('\nFailed:\n' + '\n'.join(f'  {line}' for line in failures))
        raise RuntimeError(
            f'{len(failures)} of {len(left)} runs failed (see above); the same command tries again'
        )


def _roots(data: Sequence[str]) -> dict[str, str]:
    roots = {}
    for text in data:
        name, _, root = text.partition('=')
        if not (name and root):
            raise ValueError(f'--data takes NAME=FOLDER, got {text!r}')
        roots[name] = root
    return roots


def _run_all(study: Study, todo: Sequence[Task], found: Trainings, jobs: int) -> list[str]:
    """Run what is not done; return one line per failure."""
    failures, without = _without_data(study, {task.key.data for task in todo})
    possible = [task for task in todo if task.key.data not in without]
    log = osp.join(study.work_dir, LOG_FILE)
    schedule = Schedule(
        possible,
        jobs,
        log,
        # Results are saved after each task, so that an interruption loses none.
        on_task=lambda task: collect(study, task.key.data, found),
        on_seed=lambda: _report(study, found),
    )
    return failures + schedule.run()


def _without_data(study: Study, wanted: set[str]) -> tuple[list[str], set[str]]:
    """One line for each wanted data set whose folder is missing, and their names."""
    absent = {name for name in wanted if not osp.isdir(study.data[name].root)}
    lines = [
        f'{name}: no data folder {study.data[name].root!r}: give yours with --data {name}=FOLDER'
        for name in study.data
        if name in absent
    ]
    if absent and absent == wanted:
        raise FileNotFoundError('; '.join(lines))
    for line in lines:
        print(f'failed: {line}', flush=True)
    return lines, absent


def _name_unused(results: ResultsByData, found: Trainings) -> None:
    """Print which finished trainings are not in the report, and why."""
    for key, training in found.items():
        there = f'{key.run}/{key.seed}' in results[key.data].courses
        if not there and (problem := training.problem()):
            # Without the advice at the end, which is meant for a training.
            print(f'not in the report: {key}: {problem.rpartition(": ")[0]}', flush=True)


def _report(study: Study, found: Trainings) -> ResultsByData:
    """Collect the existing results, and write the report."""
    results = {name: collect(study, name, found) for name in study.data}
    for path in write_report(study, results):
        print(f'written: {path}', flush=True)
    return results
