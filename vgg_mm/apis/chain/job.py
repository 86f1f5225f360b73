"""A stage with its folder: what is to be done with which commands, and what is recorded there."""

import json
import os
import os.path as osp
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from glob import escape, glob
from typing import Any, Optional, TextIO

from mmengine.config import Config

from vgg_mm.checkpoints import named_checkpoint, write_atomically
from vgg_mm.checkpoints.atomic_write import lock_file
from vgg_mm.checkpoints.resume_point import NUMBERED, newest_first
from vgg_mm.installation import argument

from ..config import check_data_folders
from ..errors import named
from ..subprocess_tools import tool_command
from .stages import (
    BEST,
    LAST,
    RunOptions,
    Stage,
    changes,
    given_options,
    option_texts,
    stage_config,
    test_fingerprint,
    training_settings,
)

#: File in a stage's folder; its content is a :class:`Record`.
RECORD_FILE = 'chain_stage.json'

#: Locked while a process trains or tests a stage; its content is the number of the process.
LOCK_FILE = 'chain_stage.lock'

#: States of a stage.
DONE, PART_WAY, TO_DO = 'done', 'part-way', 'to do'

#: File in a stage's folder with the class posteriors of its last test, for tools/ensemble.py.
POSTERIORS = 'posteriors.npz'


@dataclass
class Record:
    """A training of a stage.

    Args:
        config: Path of its config.
        settings: The flattened config and what else its result depends on.
        source: Name of the stage it started from.
        source_finished: When that one was finished.
        minutes: Spent on training in all, interrupted runs included.
        finished: When it was, in ISO format with microseconds; None: not yet.
        checkpoints: 'last' and 'best' -> files, from the folder, once it is finished.
        tests: Protocol -> fingerprint of a finished test.
    """

    config: str
    settings: dict[str, Any]
    source: Optional[str] = None
    source_finished: Optional[str] = None
    minutes: float = 0.0
    finished: Optional[str] = None
    checkpoints: dict[str, str] = field(default_factory=dict)
    tests: dict[str, str] = field(default_factory=dict)

    def write(self, work_dir: str) -> None:
        """Write it to a stage's folder, whole or not at all."""
        content = json.dumps(asdict(self), indent=1)
        write_atomically(osp.join(work_dir, RECORD_FILE), content.encode())

    @classmethod
    def read(cls, work_dir: str) -> Optional['Record']:
        """That of a stage's folder, or None.

        Raises:
            ValueError: naming the file, if it is broken.
        """
        path = osp.join(work_dir, RECORD_FILE)
        if not osp.isfile(path):
            return None
        try:
            with open(path, encoding='utf-8') as file:
                return cls(**json.load(file))
        except (ValueError, TypeError) as error:
            raise ValueError(f'{path} is broken ({error}): restore or delete it') from error


@contextmanager
def locked(work_dir: str, name: str) -> Iterator[TextIO]:
    """Lock a stage's folder against other processes.

    Processes that inherit the open file hold the lock as well: a training whose chain was killed
    keeps it until it ends.

    Raises:
        RuntimeError: if another process has it.
    """
    os.makedirs(work_dir, exist_ok=True)
    with open(osp.join(work_dir, LOCK_FILE), 'a+', encoding='utf-8') as file:
        try:
            lock_file(file)
        except BlockingIOError:
            file.seek(0)
            raise RuntimeError(
                f'stage {name}: process {file.read().strip() or "?"} is running in {work_dir}: '
                f'wait until it ends, or use another {argument("work_dir")}'
            ) from None
        note_process(file, os.getpid())
        yield file


def note_process(lock: TextIO, number: int) -> None:
    """Write the number of the process that holds a lock."""
    lock.truncate(0)
    lock.write(str(number))
    lock.flush()


def progress(work_dir: str) -> tuple[str, int]:
    """('epoch', 12): how far a training is by its newest checkpoint; ('epoch', 0) if none."""
    for path in newest_first(work_dir):
        kind, number = NUMBERED.fullmatch(osp.basename(path)).groups()
        return kind, int(number)
    return 'epoch', 0


def final_checkpoints(work_dir: str, name: str) -> dict[str, str]:
    """A finished training's last and, where there is one, best checkpoint, from its work directory.

    They are in it, or where ``CheckpointHook(out_dir=...)`` puts them.

    Raises:
        FileNotFoundError: if it has left none.
    """
    last = named_checkpoint(work_dir)
    if last is None:
        raise FileNotFoundError(
            f'stage {name} saved no checkpoint in {work_dir}: default_hooks.checkpoint must do so'
        )
    folder, file = osp.split(last)
    if osp.isfile(osp.join(work_dir, file)):
        folder = work_dir
    found = {LAST: osp.join(folder, file)}
    if best := glob(osp.join(escape(folder), 'best_*.pth')):
        found[BEST] = max(best, key=osp.getmtime)
    return {use: osp.relpath(path, work_dir) for use, path in found.items()}


class Job:
    """A stage in a run of its chain; ``source`` is the job of the stage that it starts from.

    Raises:
        ValueError: in one line that names the stage, if its settings are wrong.
    """

    def __init__(self, stage: Stage, run: RunOptions, source: Optional['Job'] = None):
        self.stage = stage
        self.run = run
        self.source = source
        self.name = stage.name
        self.work_dir = osp.join(run.work_dir, stage.name)
        self.cfg: Config = stage_config(stage, run)
        if run.auto_scale_lr and 'auto_scale_lr' not in self.cfg:
            raise ValueError(
                f'{argument("auto_scale_lr", True)}: {stage.config} has no '
                'auto_scale_lr=dict(base_batch_size=...)'
            )
        hook = (self.cfg.get('default_hooks') or {}).get('checkpoint') or {}
        if stage.use == BEST and not isinstance(hook.get('save_best'), str):
            raise ValueError(
                f"stage {self.name}: use='best' needs default_hooks.checkpoint.save_best='METRIC', "
                f'got {hook.get("save_best")!r}'
            )
        use = source.stage.use if source else LAST
        self.settings = training_settings(self.cfg, stage, run, use)
        self.tests = {name: test_fingerprint(self.cfg, stage, name, run) for name in stage.test}

    def check_data(self) -> None:
        """Raise an error of one line that names the stage and the missing data."""
        loaders = ['train_dataloader', 'val_dataloader']
        with named(f'stage {self.name}'):
            check_data_folders(self.cfg, [*loaders, *(['test_dataloader'] if self.tests else [])])

    def record(self) -> Optional[Record]:
        return Record.read(self.work_dir)

    def state(self) -> str:
        """DONE, PART_WAY or TO_DO."""
        record = self.record()
        if record is not None and record.finished:
            return DONE
        return PART_WAY if newest_first(self.work_dir) else TO_DO

    def problem(self) -> str:
        """Why the existing results cannot be used, in one line; empty if they can."""
        if self.state() == TO_DO:
            return ''
        record = self.record()
        if record is None:
            return (
                f'{self.work_dir} contains checkpoints of a training not started by a chain '
                f'(no {RECORD_FILE}): use another {argument("work_dir")}, or delete it'
            )
        if changed := changes(record.settings, self.settings):
            return (
                f'stage {self.name} was trained with {changed}: use another '
                f'{argument("work_dir")}, or delete {self.work_dir}'
            )
        source = self.source.record() if self.source else None
        finished = source.finished if source else None
        if self.source is None or record.source_finished in (None, finished):
            return ''
        what = f'has since been retrained ({finished[:16]})' if finished else 'no longer exists'
        return (
            f'stage {self.name} started from the {record.source} of {record.source_finished[:16]}, '
            f'which {what}: delete {self.work_dir} to train it from the new one'
        )

    def checkpoint(self) -> str:
        """The checkpoint that later stages start from.

        Raises:
            FileNotFoundError: if the stage is not finished, or the file is missing.
        """
        record = self.record()
        if record is None or not record.finished:
            raise FileNotFoundError(
                f'stage {self.name} is not finished in {self.run.work_dir}: train it first'
            )
        name = record.checkpoints.get(self.stage.use)
        if name is None:
            raise FileNotFoundError(
                f'stage {self.name} has use={self.stage.use!r}, but saved no such checkpoint in '
                f'{self.work_dir}'
            )
        path = osp.join(self.work_dir, name)
        if not osp.isfile(path):
            raise FileNotFoundError(
                f'stage {self.name} is finished, but its checkpoint is missing: {path}; '
                f'restore it, or delete {self.work_dir} to train it again'
            )
        return path

    def missing_tests(self) -> list[str]:
        """Names of the tests that are not done with the present checkpoint and settings."""
        record = self.record()
        if record is None or not record.finished:
            return list(self.tests)
        return [n for n in self.tests if record.tests.get(n) != self._test_key(record, n)]

    def note_test(self, name: str) -> None:
        """Record a finished test."""
        record = self.record()
        assert record is not None, 'of a trained stage'
        record.tests[name] = self._test_key(record, name)
        record.write(self.work_dir)

    def _test_key(self, record: Record, name: str) -> str:
        return f'{record.checkpoints.get(self.stage.use)} {self.tests[name]}'

    def train_command(self) -> list[str]:
        """The call of ``tools/train.py``, for the first start and for resuming."""
        start = []
        # Without effect if --resume finds a checkpoint; the source's may be deleted by then.
        if self.source is not None and self.state() == TO_DO:
            key = 'load_from' if self.stage.all_layers else 'default_hooks.staged_init.checkpoint'
            start = option_texts({key: self.source.checkpoint()})
        more = ['--auto-scale-lr'] if self.run.auto_scale_lr else []
        return self._command('train.py', '--resume', *more, start=start)

    def test_command(self, name: str) -> list[str]:
        """The call of ``tools/test.py`` for one protocol."""
        last = name == self.stage.test[-1]
        out = ['--out', osp.join(self.work_dir, POSTERIORS)] if last else []
        return self._command('test.py', self.checkpoint(), '--tta', '--tta-cfg', name, *out)

    def _command(self, tool: str, *args: str, start: Sequence[str] = ()) -> list[str]:
        run, kernels = self.run, self.run.kernels
        options = [*given_options(self.stage, run), *start]
        return tool_command(
            *(tool, self.stage.config, *args, '--work-dir', self.work_dir),
            *(['--amp'] if run.amp else []),
            *([] if kernels == 'auto' else ['--kernels', kernels]),
            *(['--cfg-options', *options] if options else []),
            processes=run.processes,
        )

    def progress(self) -> str:
        """The state as text."""
        state = self.state()
        if state != PART_WAY:
            return state
        return 'at {} {}'.format(*progress(self.work_dir))
