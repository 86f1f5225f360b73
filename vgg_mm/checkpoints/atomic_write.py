"""Files that are either whole or not there, whatever happens while they are written."""

import errno
import math
import os
import shutil
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Union

from mmengine.fileio import FileClient, LocalBackend, register_backend
from mmengine.fileio.backends import prefix_to_backends
from mmengine.fileio.io import backend_instances

try:
    import fcntl
except ImportError:  # not on Windows: what killed runs leave there stays
    fcntl = None  # type: ignore[assignment]

#: How the hidden temporary files end.
PART_SUFFIX = '.vgg_mm_part'

#: Temporary files that were written to within so many seconds are never taken for left ones: they
#: may be about to be locked or renamed. So a folder need not be searched more often.
YOUNG = 60

#: When this process last searched a folder for temporary files of others, by time.monotonic().
_searched: dict[str, float] = {}

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class AtomicLocalBackend(LocalBackend):
    """mmengine's backend of local files, with writes that are whole or have not happened.

    A kill or a full disk during a write leaves what was there before.
    """

    def put(self, obj: bytes, filepath: Union[str, Path]) -> None:
        write_atomically(filepath, obj)

    def put_text(self, obj: str, filepath: Union[str, Path], encoding: str = 'utf-8') -> None:
        write_atomically(filepath, obj.encode(encoding))


def write_checkpoints_atomically() -> None:
    """Make mmengine write local files through :class:`AtomicLocalBackend` in this process.

    That is every file written by ``mmengine.fileio``: checkpoints, ``mmengine.dump``, logs. A
    backend that somebody else registered for local files stays.
    """
    if prefix_to_backends[''] is not LocalBackend:
        return
    register_backend('local', AtomicLocalBackend, force=True, prefixes='')
    FileClient.register_backend('disk', AtomicLocalBackend, force=True)
    for key, backend in list(backend_instances.items()):
        if type(backend) is LocalBackend:
            del backend_instances[key]


def write_atomically(path: Union[str, os.PathLike], content: bytes) -> None:
    """Write a file so that at any moment ``path`` is what it was before, or whole.

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
    folder, name = os.path.split(path)
    os.makedirs(folder, exist_ok=True)
    _remove_stale_parts(folder)
    check_room(folder, len(content), name)
    # File systems take 255 bytes, of which a letter may need four.
    start = os.fsdecode(os.fsencode(name)[:80])
    part = os.path.join(folder, f'.{start}.{uuid.uuid4().hex}{PART_SUFFIX}')
    try:
        with open(part, 'wb') as file:
            _lock(file)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException as error:
        with suppress(FileNotFoundError):
            os.remove(part)
        if isinstance(error, OSError):
            raise _explained(error, folder, len(content), name) from error
        raise
    sync_folder(folder)


def check_room(folder: Union[str, os.PathLike], needed: int, what: str) -> None:
    """Refuse to begin to write what the disk cannot hold.

    Args:
        folder: An existing folder.
        needed: Bytes.
        what: What is to be written, for the message.

    Raises:
        OSError: in one line, with the folder, the bytes needed and free.
    """
    usage = shutil.disk_usage(folder)
    if usage.total and usage.free < needed:  # some network file systems report nothing
        raise _no_room(folder, needed, what, errno.ENOSPC)


def _no_room(folder: Union[str, os.PathLike], needed: int, what: str, number: int) -> OSError:
    free = shutil.disk_usage(folder).free
    error = OSError(
        f'no room for {what} in {os.path.abspath(folder)}: {needed:,} bytes needed, {free:,} free'
    )
    error.errno = number
    return error


def _explained(error: OSError, folder: str, needed: int, name: str) -> OSError:
    if error.errno in _FULL:
        return _no_room(folder, needed, name, error.errno)
    new = OSError(f'{os.path.join(folder, name)} was not written: {error.strerror or error}')
    new.errno = error.errno
    return new


def _lock(file: BinaryIO) -> bool:
    """Mark a file as in use for as long as its process lives; whether that was possible."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # in use, or a file system without locks
        return False
    return True


def _remove_stale_parts(folder: str) -> None:
    """Remove the temporary files of processes that are gone; at most once in ``YOUNG`` seconds."""
    now = time.monotonic()
    if now - _searched.get(folder, -math.inf) < YOUNG:
        return
    _searched[folder] = now
    for entry in os.scandir(folder):
        if not entry.name.endswith(PART_SUFFIX):
            continue
        try:
            with open(entry.path, 'r+b') as part:
                if time.time() - os.fstat(part.fileno()).st_mtime > YOUNG and _lock(part):
                    os.remove(entry.path)
        except (FileNotFoundError, PermissionError):  # renamed meanwhile, or another user's
            continue


def sync_folder(folder: str) -> None:
    """Make a renaming outlast a power failure, on file systems that can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
