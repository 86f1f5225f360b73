"""What a stage leaves in its folder: with which settings it was trained, and how far."""

import json
import os
import os.path as osp
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from glob import escape, glob
from typing import Any, Optional, TextIO

from vgg_mm.checkpoints import named_checkpoint, write_atomically
from vgg_mm.checkpoints.atomic_write import lock_file

from .stages import BEST, LAST

#: File in a stage's folder; its content is a :class:`Record`.
RECORD_FILE = 'chain_stage.json'

#: Locked while a process trains or tests a stage; its content is the number of the process.
LOCK_FILE = 'chain_stage.lock'

_CHECKPOINT = re.compile(r'(epoch|iter)_(\d+)\.pth')


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
        checkpoints: 'last' and 'best' -> file names in the folder, once it is finished.
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
    """Keep others away from a stage's folder.

    Processes that inherit the open file hold the lock as well: a training whose chain was killed
    keeps it to its end.

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
                f'stage {name}: process {file.read().strip() or "?"} is at work in {work_dir}: '
                'wait for its end, or use another --work-dir'
            ) from None
        note_process(file, os.getpid())
        yield file


def note_process(lock: TextIO, number: int) -> None:
    """Write who holds a lock."""
    lock.truncate(0)
    lock.write(str(number))
    lock.flush()


def checkpoints(work_dir: str) -> list[str]:
    """Checkpoints to go on from, the newest last."""
    paths = [p for kind in ('epoch', 'iter') for p in glob(osp.join(escape(work_dir), f'{kind}_*'))]
    return sorted((path for path in paths if _CHECKPOINT.fullmatch(osp.basename(path))), key=_age)


def _age(path: str) -> tuple[float, int]:
    return osp.getmtime(path), _kind_and_number(path)[1]


def progress(work_dir: str) -> tuple[str, int]:
    """('epoch', 12): how far a training is by its newest checkpoint; ('epoch', 0) if none."""
    paths = checkpoints(work_dir)
    if not paths:
        return 'epoch', 0
    return _kind_and_number(paths[-1])


def _kind_and_number(path: str) -> tuple[str, int]:
    found = _CHECKPOINT.fullmatch(osp.basename(path))
    assert found, 'of checkpoints()'
    return found[1], int(found[2])


def final_checkpoints(work_dir: str, name: str) -> dict[str, str]:
    """File names of a finished training's last and, where there is one, best checkpoint.

    Raises:
        FileNotFoundError: if it has left none.
    """
    last = named_checkpoint(work_dir)
    if last is None:
        raise FileNotFoundError(
            f'stage {name} left no checkpoint in {work_dir}: default_hooks.checkpoint must save one'
        )
    found = {LAST: osp.basename(last)}
    if best := glob(osp.join(escape(work_dir), 'best_*.pth')):
        found[BEST] = osp.basename(max(best, key=osp.getmtime))
    return found
