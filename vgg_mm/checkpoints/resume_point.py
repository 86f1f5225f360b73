"""The checkpoint of a work directory that a run can resume from."""

import os
import re
import sys
import zipfile
from typing import Optional, Union

#: The file in which mmengine keeps the path of the checkpoint written last.
LAST_CHECKPOINT = 'last_checkpoint'

#: Checkpoints with everything that resuming needs, as mmengine names them.
NUMBERED = re.compile(r'(epoch|iter)_(\d+)\.pth')


def is_intact(path: Union[str, os.PathLike]) -> bool:
    """Whether a file is an intact checkpoint in PyTorch's zip format.

    The whole file is read and compared with its checksums.
    """
    return _damage(path) is None


def _damage(path: Union[str, os.PathLike]) -> Optional[str]:
    if not os.path.isfile(path):
        return 'missing'
    try:
        with zipfile.ZipFile(path) as file:
            # torch stores without compression; zipfile does not compare an entry's two sizes.
            stored = [one for one in file.infolist() if one.compress_type == zipfile.ZIP_STORED]
            if any(one.compress_size != one.file_size for one in stored) or file.testzip():
                return 'damaged'
            names = file.namelist()
    except zipfile.BadZipFile:
        return 'truncated'
    except Exception:
        # Wrong bytes in a zip file's directory lead to errors of many kinds.
        return 'damaged'
    # torch's zip files hold one folder.
    return None if any(n.split('/')[1:] == ['data.pkl'] for n in names) else 'no checkpoint'


def find_resume_point(work_dir: Union[str, os.PathLike]) -> Optional[str]:
    """The checkpoint to resume from.

    The one that ``last_checkpoint`` names, if it is intact, else the newest intact one among
    ``epoch_*.pth`` and ``iter_*.pth``, with a line on standard error for each that was skipped.
    If the folder was moved since ``last_checkpoint`` was written, the file of the same name in it
    is used. None if there is no checkpoint yet.

    Raises:
        ValueError: in one line, if there are checkpoints, but none is intact.
    """
    named = named_checkpoint(work_dir)
    passed_over: dict[str, str] = {}
    for path in [*([named] if named else []), *newest_first(work_dir)]:
        if any(os.path.realpath(path) == os.path.realpath(other) for other in passed_over):
            continue  # the named one is mostly a numbered one
        damage = _damage(path)
        if damage is None:
            for other, what in passed_over.items():
                print(f'checkpoint {other} is {what}: resuming from {path}', file=sys.stderr)
            return path
        passed_over[path] = damage
    if passed_over:
        found = ', '.join(f'{path} is {damage}' for path, damage in passed_over.items())
        raise ValueError(f'no intact checkpoint to resume from in {work_dir}: {found}')
    return None


def named_checkpoint(work_dir: Union[str, os.PathLike]) -> Optional[str]:
    """The path in ``last_checkpoint``, in ``work_dir`` if it is there: the folder may be a copy;
    None without one."""
    try:
        with open(os.path.join(work_dir, LAST_CHECKPOINT), encoding='utf-8') as file:
            path = file.read().strip('\0 \n')
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    here = os.path.join(work_dir, os.path.basename(path))
    is_here = path and os.path.isfile(here) and os.path.realpath(here) != os.path.realpath(path)
    return here if is_here else path or None


def run_checkpoint(path: Union[str, os.PathLike]) -> str:
    """The checkpoint for a path: a file, or the folder of a run.

    Of a run's work directory that is :func:`find_resume_point`; of a folder with the work
    directories of several runs (a chain's, that of ``tools/finetune.py``) that of the run that
    wrote last. For a folder, a line on standard error names the file.

    Returns:
        The path itself, if it is no folder; ``~`` is the user's home in both.

    Raises:
        FileNotFoundError: if there is no checkpoint in the folder, nor in the folders in it.
        ValueError: in one line, if there are checkpoints, but none is whole.
    """
    path = os.path.expanduser(path)
    if not os.path.isdir(path):
        return path
    found = find_resume_point(path)
    if found is None:
        below = [entry.path for entry in os.scandir(path) if entry.is_dir()]
        runs = {_written(run): run for run in sorted(below) if _written(run)}
        found = find_resume_point(runs[max(runs)]) if runs else None
    if found is None:
        raise FileNotFoundError(
            f'no checkpoint in the folder {path}: expected {LAST_CHECKPOINT} or epoch_N.pth in it, '
            'or in a folder in it'
        )
    print(f'checkpoint: {found}', file=sys.stderr)
    return found


def _written(run: str) -> float:
    """When a run wrote its last checkpoint; 0 without one."""
    paths = [*newest_first(run), os.path.join(run, LAST_CHECKPOINT)]
    return max((os.path.getmtime(path) for path in paths if os.path.isfile(path)), default=0.0)


def newest_first(work_dir: Union[str, os.PathLike]) -> list[str]:
    """A run's numbered checkpoints: by number, those of the kind that was written last first.

    They are in its work directory, or where ``CheckpointHook(out_dir=...)`` puts them.
    """
    folders = {os.fspath(work_dir), os.path.dirname(named_checkpoint(work_dir) or '')}
    by_kind: dict[str, list[tuple[int, str]]] = {}
    for folder in filter(os.path.isdir, folders):
        for name in os.listdir(folder):
            match = NUMBERED.fullmatch(name)
            if match:
                path = os.path.join(folder, name)
                by_kind.setdefault(match[1], []).append((int(match[2]), path))
    kinds = sorted(
        by_kind.values(), key=lambda found: max(os.path.getmtime(p) for _, p in found), reverse=True
    )
    return [path for found in kinds for _, path in sorted(found, reverse=True)]
