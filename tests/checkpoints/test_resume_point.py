"""Which checkpoint a run resumes from."""

import os
import shutil
import zipfile

import pytest
import torch

from vgg_mm.checkpoints import find_resume_point, is_intact, load_checkpoint, run_checkpoint


def save(path, seed=0):
    path.parent.mkdir(exist_ok=True)
    torch.save(dict(w=torch.full((500,), float(seed))), path)
    return path


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip_a_weight(path):
    content = bytearray(path.read_bytes())
    content[content.index(torch.full((500,), 0.0).numpy().tobytes()) + 999] ^= 1
    path.write_bytes(content)


def name(folder, text):
    (folder / 'last_checkpoint').write_text(str(text))


def test_is_intact(tmp_path):
    path = save(tmp_path / 'a.pth')
    assert is_intact(path)
    flip_a_weight(path)
    assert not is_intact(path)
    save(path)
    truncate(path)
    assert not is_intact(path)
    with zipfile.ZipFile(path, 'w') as file:
        file.writestr('readme', 'no checkpoint')
    assert not is_intact(path)
    path.write_bytes(b'')
    assert not is_intact(path)
    assert not is_intact(tmp_path) and not is_intact(tmp_path / 'nothing')


@pytest.mark.parametrize('at', range(0, 22, 2))
def test_intact_despite_damage_to_the_directory_means_loadable(tmp_path, at):
    """Some of its fields are not needed; with damage to the others the file is not intact."""
    path = save(tmp_path / 'a.pth')
    content = bytearray(path.read_bytes())
    start = content.index(b'PK\x01\x02')  # zip's central directory; the first 20 bytes of an entry
    content[start + at : start + at + 2] = b'\xff\xff'
    path.write_bytes(content)
    if is_intact(path):
        assert torch.equal(torch.load(path)['w'], torch.zeros(500))


def test_no_checkpoint(tmp_path):
    assert find_resume_point(tmp_path) is None
    assert find_resume_point(tmp_path / 'nothing') is None
    name(tmp_path, '')
    save(tmp_path / 'best_accuracy_epoch_3.pth')
    assert find_resume_point(tmp_path) is None


def test_checkpoint_in_last_checkpoint(tmp_path, capsys):
    paths = [save(tmp_path / f'epoch_{i}.pth') for i in (1, 2, 3)]
    name(tmp_path, paths[1])
    assert find_resume_point(tmp_path) == str(paths[1])
    assert capsys.readouterr() == ('', '')


def test_copied_folder_has_its_own_checkpoint(tmp_path):
    """``last_checkpoint`` names the original's, which may have been trained on since."""
    (tmp_path / 'run').mkdir()
    name(tmp_path / 'run', save(tmp_path / 'run/epoch_1.pth'))
    shutil.copytree(tmp_path / 'run', tmp_path / 'copy')
    own = str(tmp_path / 'copy/epoch_1.pth')
    assert find_resume_point(tmp_path / 'copy') == run_checkpoint(tmp_path / 'copy') == own


def test_newest_by_number(tmp_path):
    for i in (9, 10, 2):
        save(tmp_path / f'iter_{i}.pth')
    assert find_resume_point(tmp_path) == str(tmp_path / 'iter_10.pth')
    newer = save(tmp_path / 'epoch_1.pth')
    os.utime(newer, (newer.stat().st_mtime + 9,) * 2)
    assert find_resume_point(tmp_path) == str(newer)


@pytest.mark.parametrize('text', ['', '/a/folder/epoch_', 'run/epoch_7.pth', '\0\0\0', 'ä'])
def test_invalid_last_checkpoint(tmp_path, text):
    path = save(tmp_path / 'epoch_1.pth')
    (tmp_path / 'last_checkpoint').write_bytes(text.encode('latin-1'))
    assert find_resume_point(tmp_path) == str(path)


def test_a_moved_folder(tmp_path):
    path = save(tmp_path / 'old' / 'latest.pth')
    name(tmp_path / 'old', path)
    (tmp_path / 'old').rename(tmp_path / 'new')
    assert find_resume_point(tmp_path / 'new') == str(tmp_path / 'new' / 'latest.pth')


def test_checkpoints_in_another_folder(tmp_path):
    first, last = save(tmp_path / 'out' / 'epoch_1.pth'), save(tmp_path / 'out' / 'epoch_2.pth')
    work_dir = tmp_path / 'run'
    work_dir.mkdir()
    name(work_dir, last)
    assert find_resume_point(work_dir) == str(last)
    truncate(last)
    assert find_resume_point(work_dir) == str(first)


def test_damaged_checkpoints_are_skipped(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = [save(tmp_path / 'run' / f'epoch_{i}.pth') for i in range(1, 5)]
    name(tmp_path / 'run', 'run/epoch_4.pth')
    truncate(paths[3])
    flip_a_weight(paths[2])
    assert find_resume_point('run') == 'run/epoch_2.pth'
    assert capsys.readouterr().err.splitlines() == [
        'checkpoint run/epoch_4.pth is truncated: resuming from run/epoch_2.pth',
        'checkpoint run/epoch_3.pth is damaged: resuming from run/epoch_2.pth',
    ]


def test_no_intact_checkpoint(tmp_path):
    for i in (1, 2):
        truncate(save(tmp_path / f'epoch_{i}.pth'))
    with pytest.raises(
        ValueError, match='no intact checkpoint .*epoch_2.pth is truncated'
    ) as error:
        find_resume_point(tmp_path)
    assert '\n' not in str(error.value) and 'epoch_1.pth is truncated' in str(error.value)


def test_only_checkpoint_is_missing(tmp_path):
    name(tmp_path, tmp_path / 'gone.pth')
    with pytest.raises(ValueError, match='gone.pth is missing'):
        find_resume_point(tmp_path)


def test_the_users_home_in_a_path(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    (tmp_path / 'run').mkdir()
    file, last = save(tmp_path / 'a.pth'), save(tmp_path / 'run/epoch_1.pth')
    assert run_checkpoint('~/a.pth') == str(file)
    assert run_checkpoint('~/run') == str(last)


def test_the_checkpoint_of_a_folder(tmp_path, capsys):
    file = save(tmp_path / 'a.pth')
    assert run_checkpoint(file) == str(file) and run_checkpoint('none.pth') == 'none.pth'
    assert capsys.readouterr().err == ''
    chain = tmp_path / 'chain'
    (chain / 'plots').mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=f'no checkpoint in the folder {chain}: '):
        run_checkpoint(chain)
    first, last = (save(chain / stage / 'epoch_2.pth') for stage in ('z', 'b'))
    for path, seconds in ((first, 1000), (last, 2000)):
        name(path.parent, path)
        for written in (path, path.parent / 'last_checkpoint'):
            os.utime(written, (seconds, seconds))
    assert run_checkpoint(chain) == str(last)
    assert capsys.readouterr().err == f'checkpoint: {last}\n'
    assert run_checkpoint(first.parent) == str(first)
    save(last.parent / 'epoch_1.pth')
    truncate(last)
    assert run_checkpoint(chain) == str(last.parent / 'epoch_1.pth')
    assert load_checkpoint(chain)['w'][0] == 0
