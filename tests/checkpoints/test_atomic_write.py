"""Files are written completely or not at all."""

import errno
import fcntl
import os
import shutil
import signal
import time
from types import SimpleNamespace

import mmengine
import pytest
import torch
from mmengine.fileio import LocalBackend, get_file_backend
from mmengine.runner import save_checkpoint

from tests.conftest import file_limit
from vgg_mm.checkpoints import (
    WHOLE_FILES,
    AtomicLocalBackend,
    check_room,
    is_intact,
    whole_file,
    write_atomically,
)
from vgg_mm.checkpoints.atomic_write import PART_SUFFIX, YOUNG


def left_in(folder):
    return sorted(os.listdir(folder))


def test_mmengine_uses_the_backend_only_if_requested(tmp_path):
    path = tmp_path / 'new' / 'epoch_1.pth'
    backend_args = dict(backend=WHOLE_FILES)
    save_checkpoint(dict(w=torch.ones(3)), str(path), backend_args=backend_args)
    assert is_intact(path)
    mmengine.dump({'a': 1}, tmp_path / 'new' / 'a.json', backend_args=backend_args)
    assert mmengine.load(tmp_path / 'new' / 'a.json') == {'a': 1}
    assert left_in(tmp_path / 'new') == ['a.json', 'epoch_1.pth']
    assert type(get_file_backend(path)) is LocalBackend


def test_failed_block_keeps_the_old_file(tmp_path):
    write_atomically(tmp_path / 'file', b'old')
    full = pytest.raises(OSError, match='not enough disk space for file in .*: [0-9,]+ free$')
    with file_limit(5000), full, whole_file(tmp_path / 'file') as file:
        save_checkpoint(dict(w=torch.ones(3000)), file.name)  # by name, like mmengine
    assert (tmp_path / 'file').read_bytes() == b'old' and left_in(tmp_path) == ['file']


def test_replaces_and_keeps_links(tmp_path):
    (tmp_path / 'disk').mkdir()
    link = tmp_path / 'link'
    link.symlink_to(tmp_path / 'disk' / 'file')
    for content in (b'one', b'another'):
        AtomicLocalBackend().put(content, link)
        assert (tmp_path / 'disk' / 'file').read_bytes() == content
    assert link.is_symlink() and left_in(tmp_path / 'disk') == ['file']
    AtomicLocalBackend().put_text('grün', link, encoding='latin-1')
    assert link.read_bytes() == b'gr\xfcn'


def test_devices_are_not_replaced():
    write_atomically(os.devnull, b'away')
    assert not os.path.isfile(os.devnull)


def test_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / 'file'
    write_atomically(path, b'old')
    message = 'not enough disk space for file in .*: 100,000 bytes needed, '
    with file_limit(5000), pytest.raises(OSError, match=message) as error:
        write_atomically(path, bytes(100_000))
    assert error.value.errno == errno.EFBIG and str(tmp_path) in str(error.value)
    assert path.read_bytes() == b'old' and left_in(tmp_path) == ['file']


def test_disk_full_while_writing(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(
        OSError, match='not enough disk space for file in .*: 3 bytes needed, [0-9,]+ free$'
    ):
        write_atomically(tmp_path / 'file', b'new')
    assert left_in(tmp_path) == []


def test_disk_full_before_writing(tmp_path, monkeypatch):
    free = SimpleNamespace(total=1000, free=99)
    monkeypatch.setattr(shutil, 'disk_usage', lambda folder: free)
    with pytest.raises(
        OSError, match='not enough disk space for file in .*: 100 bytes needed, 99 free$'
    ):
        write_atomically(tmp_path / 'file', bytes(100))
    write_atomically(tmp_path / 'file', bytes(99))
    free.total = free.free = 0  # a file system that reports no size
    check_room(tmp_path, 10**15, 'a checkpoint')


def test_other_failures(tmp_path):
    (tmp_path / 'file').write_bytes(b'')
    with pytest.raises(OSError, match='Not a directory|File exists'):
        write_atomically(tmp_path / 'file' / 'below', b'')
    with pytest.raises(OSError, match='was not written: File name too long'):
        write_atomically(tmp_path / ('x' * 300), b'')
    assert left_in(tmp_path) == ['file']


def test_folder_is_not_scanned_for_every_file(tmp_path, monkeypatch):
    searched, scandir = [], os.scandir
    monkeypatch.setattr(os, 'scandir', lambda folder: searched.append(folder) or scandir(folder))
    for number in range(50):
        write_atomically(tmp_path / f'{number}.png', b'pixels')
    assert searched == [os.path.realpath(tmp_path)]


def test_partial_files_of_killed_runs_are_removed(tmp_path, monkeypatch):
    def part(name, age):
        path = tmp_path / f'.epoch_1.pth.{name}{PART_SUFFIX}'
        path.write_bytes(b'half')
        os.utime(path, (path.stat().st_mtime - age,) * 2)
        return path

    stale, young, used = part('stale', YOUNG + 9), part('young', 0), part('used', YOUNG + 9)
    child, parent = os.pipe()
    pid = os.fork()
    if pid == 0:  # another process that is still writing
        fcntl.flock(os.open(used, os.O_RDWR), fcntl.LOCK_EX)
        os.write(parent, b'1')
        signal.pause()
    try:
        os.read(child, 1)
        write_atomically(tmp_path / 'epoch_2.pth', b'new')
        assert not stale.exists() and young.exists() and used.exists()
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    later = time.monotonic() + YOUNG
    monkeypatch.setattr(time, 'monotonic', lambda: later)
    write_atomically(tmp_path / 'epoch_2.pth', b'new')
    assert left_in(tmp_path) == [young.name, 'epoch_2.pth']
