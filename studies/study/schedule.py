"""Running the tasks of a study, several in parallel if requested."""

import os
import os.path as osp
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import NamedTuple, Optional, TextIO

from vgg_mm.apis.chain.curves import CURVES_FILE
from vgg_mm.apis.errors import EXPECTED, one_line
from vgg_mm.apis.subprocess_tools import interruptible
from vgg_mm.progress import short_duration

from .plan import Task
from .tool_pool import ToolPool
from .trainings import Training, TrainingKey

#: Maximum length of a line about a failure, in characters; the log has the full text.
MAX_LINE = 300


class Numbered(NamedTuple):
    """A task and its place in the study."""

    task: Task
    number: str


class TaskLog:
    """A task's part of a log: each line begins with its number."""

    def __init__(self, log: TextIO, number: str):
        self._log = log
        self._number = number

    def write(self, line: str) -> None:
        self._log.write(f'{self._number} {line}')

    def flush(self) -> None:
        self._log.flush()


class Schedule:
    """Runs tasks in order, each after those that it depends on.

    A failed task is reported in one line, and the others continue.

    Args:
        tasks: The tasks, each after those that it depends on.
        jobs: How many to run in parallel.
        log: Path of the file to which the output of all tools is appended.
        on_task: Called with each finished task; if it fails, the task counts as failed.
        on_seed: Called when all tasks of a seed have ended, except for the last seed.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        jobs: int,
        log: str,
        on_task: Callable[[Task], object],
        on_seed: Callable[[], object],
    ) -> None:
        self.jobs = jobs
        self.log = log
        self.on_task = on_task
        self.on_seed = on_seed
        self.failures: list[str] = []
        total = len(tasks)
        self._waiting = [Numbered(t, f'[{i}/{total}]') for i, t in enumerate(tasks, start=1)]
        self._running: dict[Future, Numbered] = {}

    def run(self) -> list[str]:
        """Run everything that is not done; return one line per failure."""
        os.makedirs(osp.dirname(self.log), exist_ok=True)
        with (
            open(self.log, 'a', encoding='utf-8') as log,
            interruptible(),
            ToolPool(self.jobs) as pool,
        ):
            while self._waiting or self._running:
                self._fill(pool, log)
                self._collect()
        return self.failures

    def _fill(self, pool: ToolPool, log: TextIO) -> None:
        """Start as many tasks as may run."""
        while len(self._running) < self.jobs and (one := self._next()):
            self._waiting.remove(one)
            try:
                command = _start(one)
            except EXPECTED as error:
                self._fail(one.task, error)
                command = None
            if command is None:
                self._over(one.task)
                continue
            part = TaskLog(log, one.number)
            part.write(f'$ {one.task.shown_command()}\n')
            self._running[pool.submit(command, part)] = one

    def _next(self) -> Optional[Numbered]:
        """The first task that need not wait for an unfinished training."""
        unfinished = [one.task for one in (*self._waiting, *self._running.values())]
        trainings = {task.key for task in unfinished if isinstance(task, Training)}
        return next((one for one in self._waiting if _needs(one.task) not in trainings), None)

    def _collect(self) -> None:
        """Wait until a task ends."""
        # Python handles a signal only when its main thread wakes, and one that comes just before
        # the wait does not wake it.
        ended: set[Future] = set()
        while self._running and not ended:
            ended = wait(self._running, 0.2, FIRST_COMPLETED).done
        for future in ended:
            one = self._running.pop(future)
            try:
                _finish(one.task, future)
                self.on_task(one.task)
            except EXPECTED as error:
                self._fail(one.task, error)
            self._over(one.task)

    def _fail(self, task: Task, error: BaseException) -> None:
        line = f'{task}: {one_line(error)}'
        self.failures.append(line if len(line) < MAX_LINE else f'{line[:MAX_LINE]}...')
        print(f'failed: {self.failures[-1]}', flush=True)

    def _over(self, task: Task) -> None:
        left = [*self._waiting, *self._running.values()]
        if left and all(one.task.key.seed != task.key.seed for one in left):
            self.on_seed()


def _needs(task: Task) -> Optional[TrainingKey]:
    """The training that a task depends on."""
    if not isinstance(task, Training):
        return task.key
    return task.source.key if task.source else None


def _start(one: Numbered) -> Optional[list[str]]:
    """The command of a task that can start; None if there is nothing to do.

    Raises:
        ValueError, RuntimeError: in one line, if it cannot.
    """
    task = one.task
    if not isinstance(task, Training):
        if task.done or not task.training.done:
            return None
        print(f'{one.number} {task}', flush=True)
        return task.command()
    if problem := task.problem():
        raise ValueError(problem)
    if task.done or task.not_finite():
        return None
    if task.source is not None and not task.source.done:
        raise RuntimeError(f'it starts from {task.source.key.run}, which is not trained')
    print(f'{one.number} {task}: training', flush=True)
    return task.command()


def _finish(task: Task, future: Future) -> None:
    """Record the outcome of a task.

    Raises:
        RuntimeError: in one line, if it failed.
    """
    if not isinstance(task, Training):
        future.result()
        task.note_done()
        return
    try:
        future.result()
    except RuntimeError as error:
        if not task.note_failure(one_line(error)):
            raise
        print(f'  {task}: {task.not_finite()}: kept as a result', flush=True)
        return
    curves = osp.join(task.folder, CURVES_FILE)
    print(f'  {task}: {short_duration(task.minutes)}, curves: {curves}', flush=True)
