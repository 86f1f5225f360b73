"""Atomic writes: files are complete or absent, also if the process is killed while writing."""

import errno
import math
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, BinaryIO, Optional, Union

from mmengine.fileio import LocalBackend, register_backend

try:
    import fcntl
except ImportError:  # not on Windows: files left by killed runs are not removed there
    fcntl = None  # type: ignore[assignment]

#: Ending of the hidden temporary files.
PART_SUFFIX = '.vgg_mm_part'

#: Seconds since the last write for which a temporary file is kept: it may be about to be locked or
#: renamed. A folder need not be searched more often.
YOUNG = 60

#: When this process last searched a folder for temporary files of others, by time.monotonic().
_searched: dict[str, float] = {}

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

#: :class:`AtomicLocalBackend` in mmengine's table of backends: ``backend_args=dict(backend=...)``.
WHOLE_FILES = 'vgg_mm.whole_files'


@register_backend(WHOLE_FILES)
class AtomicLocalBackend(LocalBackend):
    """mmengine's backend of local files, with atomic writes.

    If the process is killed or the disk is full, the previous file stays.
    """

    def put(self, obj: bytes, filepath: Union[str, Path]) -> None:
        write_atomically(filepath, obj)

    def put_text(self, obj: str, filepath: Union[str, Path], encoding: str = 'utf-8') -> None:
        write_atomically(filepath, obj.encode(encoding))


def write_atomically(path: Union[str, os.PathLike], content: bytes) -> None:
    """Write a file so that at any moment ``path`` is the previous file or the complete new one.

    The content goes to a hidden temporary file in the same folder, which takes the name ``path``
    when it is safely on the disk. Temporary files that killed processes left there are removed,
    a minute after they were written to at the earliest.

    Raises:
        OSError: in one line; if the disk is full with the folder, the bytes needed and free.
    """
    path = os.path.realpath(path)
    if os.path.exists(path) and not os.path.isfile(path):
        # A device or a pipe is not to be replaced by a file.
        with open(path, 'wb') as file:
            file.write(content)
        return
    with whole_file(path, len(content)) as file:
        file.write(content)


@contextmanager
def whole_file(path: Union[str, os.PathLike], size: Optional[int] = None) -> Iterator[BinaryIO]:
    """The temporary file of :func:`write_atomically`, to be written by the block.

    Args:
        path: Of an existing or new file.
        size: In bytes, if it is known.

    Raises:
        OSError: as :func:`write_atomically`; ``path`` is then unchanged.
    """
    path = os.path.realpath(path)
    folder, name = os.path.split(path)
    os.makedirs(folder, exist_ok=True)
    _remove_stale_parts(folder)
    check_room(folder, size or 0, name)
    # File systems allow 255 bytes, of which a letter may need four.
    start = os.fsdecode(os.fsencode(name)[:80])
    part = os.path.join(folder, f'.{start}.{uuid.uuid4().hex}{PART_SUFFIX}')
    try:
        with open(part, 'wb') as file:
            lock_file(file)
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException as error:
        with suppress(FileNotFoundError):
            os.remove(part)
        if isinstance(error, OSError):
            raise _explained(error, folder, size, name) from error
        raise
    sync_folder(folder)


def check_room(folder: Union[str, os.PathLike], needed: int, what: str) -> None:
    """Check that an existing folder has room for ``needed`` bytes; ``what`` is for the message.

    Raises:
        OSError: in one line, with the folder, the bytes needed and free.
    """
    usage = shutil.disk_usage(folder)
    if usage.total and usage.free < needed:  # some network file systems report nothing
        error = _no_room(folder, needed, what)
        error.errno = errno.ENOSPC
        raise error


def _no_room(folder: Union[str, os.PathLike], needed: Optional[int], what: str) -> OSError:
    free = shutil.disk_usage(folder).free
    size = f'{needed:,} bytes needed, ' if needed is not None else ''
    where = os.path.abspath(folder)
    return OSError(f'not enough disk space for {what} in {where}: {size}{free:,} free')


def _explained(error: OSError, folder: str, needed: Optional[int], name: str) -> OSError:
    if error.errno in _FULL:
        new = _no_room(folder, needed, name)
    else:
        new = OSError(f'{os.path.join(folder, name)} was not written: {error.strerror or error}')
    new.errno = error.errno
    return new


def lock_file(file: IO) -> bool:
    """Mark an open file as in use, as long as this process, or one that inherits it, has it open.

    False where there are no locks: on Windows, and on some file systems. A BlockingIOError if
    another process has it.
    """
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return False
    return True


def _remove_stale_parts(folder: str) -> None:
    """Remove the temporary files of ended processes; at most once in ``YOUNG`` seconds."""
    now = time.monotonic()
    if now - _searched.get(folder, -math.inf) < YOUNG:
        return
    _searched[folder] = now
    for entry in os.scandir(folder):
        if not entry.name.endswith(PART_SUFFIX):
            continue
        try:
            with open(entry.path, 'r+b') as part:
                if time.time() - os.fstat(part.fileno()).st_mtime > YOUNG and lock_file(part):
                    os.remove(entry.path)
        except (FileNotFoundError, PermissionError, BlockingIOError):
            # Renamed meanwhile, another user's, or in use.
            continue


def sync_folder(folder: str) -> None:
    """Make a renaming durable against a power failure, on file systems that support it."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
