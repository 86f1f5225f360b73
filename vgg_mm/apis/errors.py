"""One clear line for every error that a user can cause; a traceback for a bug in this package.

They are distinguished by where an error was raised, see :func:`kind_of`.
"""

import os
import re
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from functools import cache
from typing import NamedTuple, Optional

import torch
import torch.distributed
from mmengine.registry import build_functions

import vgg_mm
from vgg_mm.installation import root_folder
from vgg_mm.progress import to_stderr

#: Raised by checks of configs, files and data.
EXPECTED = (
    ValueError,
    TypeError,
    KeyError,
    AssertionError,
    OSError,
    ImportError,
    SyntaxError,
    RuntimeError,
)

#: Caused by the machine, the network and other processes, wherever they are raised.
SURROUNDINGS = (
    OSError,
    ImportError,
    MemoryError,
    torch.OutOfMemoryError,
    torch.distributed.DistError,
)

OPENMMLAB = ('mmengine', 'mmcv', 'mmpretrain', 'mmdet', 'mmseg')

#: A line of a traceback in text: the file, and the source below it.
_FRAME = re.compile(r'^ +File "(.+)", line \d+, in .*\n(?: +(.*)\n)?', re.MULTILINE)

#: With this variable set, tools show the traceback, too.
TRACEBACK_VARIABLE = 'VGG_MM_TRACEBACK'


class Kind(Enum):
    """The origin of an error."""

    USERS = 'of what was given'
    DEFECT = 'of this package'
    OTHERS = 'of another library or of code of the user'


class _Frame(NamedTuple):
    path: str
    source: Optional[str]  # the line of code, if it is known

    @property
    def raises(self) -> bool:
        """Whether it is a check that failed, not an operation of Python."""
        return re.search(r'(^|: )(raise|assert)\b', self.source or '') is not None


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Print a user's error as one line, a bug with its traceback; leave with status 1."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (head, less) has ended; nothing may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        kind = kind_of(error)
        if kind is Kind.OTHERS or (kind is Kind.USERS and os.environ.get(TRACEBACK_VARIABLE)):
            raise
        if kind is Kind.DEFECT:
            traceback.print_exc()
            line = f'{type(error).__name__}: a bug in vgg_mm, not in your input. Please '
            line += f'report it, with the lines above and the command ({_versions()})'
        else:
            line = one_line(error)
        to_stderr(f'error: {line}')
        sys.exit(1)


@contextmanager
def named(where: str) -> Iterator[None]:
    """Put ``where: `` before the message of a user's error; other errors stay as they are."""
    try:
        yield
    except EXPECTED as error:
        if kind_of(error) is not Kind.USERS:
            raise
        kind = type(error) if isinstance(error, OSError) else ValueError
        raise kind(f'{where}: {one_line(error)}') from error


def kind_of(error: Exception) -> Kind:
    """The origin of an error, by where it was raised.

    - What a check raises on purpose (``raise``) in this package or OpenMMLab's concerns the
      user's input; and so does what fails while a registry builds a config, or within OpenMMLab's
      code, which configs drive.
    - What Python, torch or another library cannot do with what this package passes to it is a bug.
    - Files, memory, missing packages and other processes are the user's environment.
    """
    frames = _frames(error)
    owner = next((f for f in reversed(frames) if _owner(f.path)), None)
    where = _owner(owner.path) if owner else None
    if isinstance(error, ImportError) and (error.name or '').startswith('vgg_mm.'):
        return Kind.DEFECT
    if isinstance(error, SURROUNDINGS) or "can't allocate memory" in str(error):
        return Kind.USERS
    if isinstance(error, EXPECTED):
        own_assert = where == 'vgg_mm' and isinstance(error, AssertionError)
        on_purpose = owner is not None and owner is frames[-1] and owner.raises and not own_assert
        if on_purpose or where == 'openmmlab' or _built(error) is not None:
            return Kind.USERS
    elif isinstance(error, AttributeError) and frames[-1].path.endswith(
        'mmengine/config/config.py'
    ):
        return Kind.USERS  # a config without a key
    return Kind.DEFECT if where == 'vgg_mm' else Kind.OTHERS


def one_line(error: BaseException) -> str:
    """The message of an exception without the layers that mmengine and torch put around it."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    if _is_of_a_worker(error):
        # torch puts the worker's whole traceback into the message; its last line is the error.
        return re.sub(r'^[\w.]+: ', '', lines[-1])
    line = ' '.join(lines)
    built, frames = _built(error), _frames(error)
    if built is not None and not frames[-1].raises and built not in line:
        return f'{built}: {line}'
    return line


def users_line(error: BaseException) -> Optional[tuple[str, int]]:
    """The line of the user's own code, as a config is, in which it was raised: (path, number)."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if (owner := _owner(frame.filename)) is not None:
            return (frame.filename, frame.lineno or 0) if owner == 'user' else None
    return None


def _is_of_a_worker(error: BaseException) -> bool:
    first = str(error).lstrip().partition('\n')[0]
    return first.startswith('Caught ') and 'DataLoader worker' in first


def _frames(error: BaseException) -> list[_Frame]:
    """Where it was raised, outermost first; in the worker, if it came from one."""
    if _is_of_a_worker(error):
        return [_Frame(*found) for found in _FRAME.findall(str(error))]
    return [_Frame(f.filename, f.line) for f in traceback.extract_tb(error.__traceback__)]


def _built(error: BaseException) -> Optional[str]:
    """The class that a registry was building when the error came, if it was."""
    name = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code is build_functions.build_from_cfg.__code__:
            name = getattr(frame.f_locals.get('obj_cls'), '__name__', 'a module of the config')
    return name


def _owner(path: str) -> Optional[str]:
    """'vgg_mm', 'openmmlab', 'user', or None for other libraries and Python's own."""
    path = os.path.realpath(path) if os.path.exists(path) else path
    for owner, folders in _folders():
        if path.startswith(folders):
            return owner
    library = re.search(r'/(site|dist)-packages/', path) or not os.path.isfile(path)
    return None if library else 'user'


@cache
def _folders() -> list[tuple[Optional[str], tuple[str, ...]]]:
    """Folders of each owner; code in none of them is the user's."""

    def inside(*folders: str) -> tuple[str, ...]:
        return tuple(os.path.join(os.path.realpath(folder), '') for folder in folders)

    modules = [sys.modules[n] for n in OPENMMLAB if sys.modules.get(n) is not None]
    package = os.path.dirname(vgg_mm.__file__)
    return [
        ('user', inside(os.path.join(root_folder(), 'configs'))),
        ('vgg_mm', inside(package, f'{package}_cli', os.path.join(root_folder(), 'tools'))),
        ('openmmlab', inside(*(os.path.dirname(m.__file__ or '') for m in modules))),
        (None, inside(sysconfig.get_path('stdlib'))),
    ]


def _versions() -> str:
    """Versions of this package and of those that it depends on."""
    names = ['vgg_mm', *(n for n in OPENMMLAB if n in sys.modules), 'torch']
    versions = ', '.join(f'{n} {sys.modules[n].__version__}' for n in names)
    return f'{versions}, Python {sys.version.split()[0]}'
