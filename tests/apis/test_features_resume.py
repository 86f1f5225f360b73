"""An extraction that is killed, stopped or started twice loses and repeats nothing."""

import os
import random
import re
import shutil
import signal
import time

import cv2
import numpy as np
import pytest

from tests import preloaded
from tests.apis.feature_nets import save_net
from tests.conftest import file_limit
from vgg_mm.apis import extract_features, load_features
from vgg_mm.apis.features import extractor, parts
from vgg_mm.apis.features.extractor import Extractor
from vgg_mm.apis.features.parts import Part, Parts

COUNT = 60


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    rng = np.random.default_rng(2)
    root = tmp_path_factory.mktemp('photos')
    for number in range(COUNT):
        image = rng.integers(0, 256, (rng.integers(40, 80), 64, 3), np.uint8)
        cv2.imwrite(str(root / f'{number}.png'), image)
    (root / '33.png').write_bytes(b'broken')
    return root


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp('net') / 'net.pth'
    save_net(path)
    return path


@pytest.fixture(scope='module')
def expected(folder, checkpoint, tmp_path_factory):
    """Features of an extraction without interruption."""
    out = tmp_path_factory.mktemp('whole') / 'f.npz'
    extract_features(folder, checkpoint, out)
    return load_features(out)


@pytest.fixture
def small_parts(monkeypatch):
    """Four images per file."""
    monkeypatch.setattr(parts, 'PART_IMAGES', 4)
    monkeypatch.setattr(extractor, 'BATCH', 4)


def assert_is(found, expected):
    assert found.paths == expected.paths and found.errors == expected.errors
    # Batches differ after resuming, and with them the rounding.
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-5, atol=1e-6)


def extract(folder, checkpoint, out):
    """Runs in a process of its own, with four images per file of a part."""
    parts.PART_IMAGES = extractor.BATCH = 4
    extract_features(folder, checkpoint, out)


#: Critical step of an extraction -> the function that it calls.
STEPS = {
    'write': (os, 'replace'),
    'remove parts': (os, 'remove'),
    'remove folder': (shutil, 'rmtree'),
    'in rmtree': (os, 'unlink'),
}


def extract_and_die(folder, checkpoint, out, step, count):
    """Kill the process just before a step is taken for the ``count``-th time."""
    owner, name = STEPS[step]
    real, calls = getattr(owner, name), []

    def counted(*args, **kwargs):
        calls.append(args)
        if len(calls) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)

    setattr(owner, name, counted)
    extract(folder, checkpoint, out)


def test_killed_at_random_moments(folder, checkpoint, expected, tmp_path):
    """Kill it at random moments, also before the first part, until a run finishes."""
    draw, out, seen = random.Random(3), tmp_path / 'f.npz', [0]
    while len(seen) < 50:
        process = preloaded.start(extract, folder, checkpoint, out)
        enough = seen[-1] + draw.choice([0, 4, 8, 16])
        while process.is_alive() and done_images(out) < enough:
            time.sleep(0.002)
        time.sleep(draw.uniform(0, 0.05))
        process.kill()
        process.join()
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        assert done_images(out) >= seen[-1]  # nothing is lost
        seen.append(done_images(out))
    assert len(seen) > 4 and len(set(seen)) > 3  # killed at different stages
    assert_is(load_features(out), expected)
    assert os.listdir(tmp_path) == ['f.npz']


def done_images(out):
    """Number of images in the files of parts; all if the extraction is finished."""
    if out.exists():
        return COUNT
    names = os.listdir(f'{out}.parts') if os.path.isdir(f'{out}.parts') else []
    ranges = [
        map(int, m.groups()) for m in map(re.compile(r'(\d+)-(\d+)\.npz').fullmatch, names) if m
    ]
    return sum(last - first for first, last in ranges)


@pytest.mark.parametrize(
    'step, count',
    [
        *(('write', n) for n in (1, 2, 16, 17)),
        *(('remove parts', n) for n in (1, 9)),
        ('remove folder', 1),
        *(('in rmtree', n) for n in (1, 2)),
    ],
)
def test_killed_at_a_critical_step(folder, checkpoint, expected, tmp_path, step, count):
    """Writing of settings, of the first and last part and of the file; removal of the parts."""
    out = tmp_path / 'f.npz'
    process = preloaded.start(extract_and_die, folder, checkpoint, out, step, count)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert out.exists() == (step != 'write')
    found = extract_features(folder, checkpoint, out).found
    assert found == ({1: 0, 2: 0, 16: 56, 17: 60}[count] if step == 'write' else 60)
    assert_is(load_features(out), expected)
    assert os.listdir(tmp_path) == ['f.npz']


def test_finished_images_are_kept_after_ctrl_c(
    folder, checkpoint, expected, tmp_path, monkeypatch, capsys
):
    """Also those that were not yet written."""
    monkeypatch.setattr(extractor, 'BATCH', 4)
    part, seen = Extractor.part, []

    def stop_at_the_third(self, images):
        seen.append(images)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return part(self, images)

    monkeypatch.setattr(Extractor, 'part', stop_at_the_third)
    out = tmp_path / 'f.npz'
    with pytest.raises(KeyboardInterrupt):
        extract_features(folder, checkpoint, out)
    with pytest.raises(FileNotFoundError, match='f.npz: its extraction is not finished'):
        load_features(out)
    assert extract_features(folder, checkpoint, out).found == 8
    assert 'resuming after 8 of 60 images' in capsys.readouterr().err
    assert_is(load_features(out), expected)
    again = extract_features(folder, checkpoint, out)
    assert again.found == COUNT and len(seen) == 3 + 13  # the net did nothing
    assert again.broken.keys() == {'33.png'}


def begin(folder, checkpoint, out, **options):
    """Start an extraction and stop it after eight images."""
    real, calls = Parts.save, []

    def save(self, first, parts):
        end = real(self, first, parts)
        calls.append(first)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return end

    Parts.save = save
    try:
        with pytest.raises(KeyboardInterrupt):
            extract_features(folder, checkpoint, out, **options)
    finally:
        Parts.save = real


@pytest.mark.parametrize(
    'changed, message',
    [
        (dict(layer='fc6'), 'layer fc6, not fc7'),
        (dict(scales=[64]), r'scales 64,80,96, not 64'),
        (dict(combine='stack'), 'combine average, not stack'),
        (dict(flip=False), 'flip True, not False'),
        (dict(checkpoint='other.pth'), 'other weights'),
        (dict(folder='more'), 'other images; count 60, not 61'),
        (dict(folder='longer'), 'other images'),
    ],
)
@pytest.mark.parametrize('finished', [False, True])
def test_changed_settings_are_reported(
    folder, checkpoint, small_parts, tmp_path, monkeypatch, changed, message, finished
):
    monkeypatch.chdir(tmp_path)
    if 'checkpoint' in changed:
        save_net(tmp_path / 'other.pth', seed=5)
    if 'folder' in changed:
        copy = shutil.copytree(folder, tmp_path / changed['folder'])
        image = copy / '7.png'
        image.write_bytes(image.read_bytes() + b'more')
        if changed['folder'] == 'more':
            shutil.copy(image, copy / '7a.png')
    first = dict(layer='fc6') if message.startswith('layer') else {}
    given = dict(folder=folder, checkpoint=checkpoint, out='f.npz')
    if finished:
        extract_features(**given, **first)
    else:
        begin(**given, **first)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob('f.npz*/*.npz')}
    with pytest.raises(ValueError) as error:
        extract_features(**{**given, **({} if first else changed)})
    assert message in str(error.value) and "use another out='FILE', or delete" in str(error.value)
    assert ('other weights' in message) == ('other weights' in str(error.value))
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob('f.npz*/*.npz')} == before


def test_resumes_after_the_folder_was_moved(folder, checkpoint, expected, small_parts, tmp_path):
    begin(folder, checkpoint, tmp_path / 'f.npz')
    moved = shutil.copytree(folder, tmp_path / 'moved')
    assert extract_features(moved, checkpoint, tmp_path / 'f.npz').found == 8
    found = load_features(tmp_path / 'f.npz')
    assert found.info['folder'] == str(moved)
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-5, atol=1e-6)


def test_lost_and_damaged_parts(folder, checkpoint, expected, small_parts, tmp_path, monkeypatch):
    out = tmp_path / 'f.npz'
    begin(folder, checkpoint, out)
    first, second = sorted((tmp_path / 'f.npz.parts').glob('*.npz'))
    second.write_bytes(second.read_bytes()[:50])
    with pytest.raises(ValueError, match='000000004-000000008.npz is damaged: delete it'):
        extract_features(folder, checkpoint, out)
    first.unlink()  # parts after a gap are computed again, also with another size
    monkeypatch.setattr(parts, 'PART_IMAGES', 3)
    monkeypatch.setattr(extractor, 'BATCH', 3)
    assert extract_features(folder, checkpoint, out).found == 0
    assert_is(load_features(out), expected)


@pytest.mark.parametrize('limit', [600, 6_000])
def test_a_full_disk(folder, checkpoint, expected, small_parts, tmp_path, limit):
    """There is room for no part, or for all parts but not for the whole file."""
    out = tmp_path / 'f.npz'
    with file_limit(limit), pytest.raises(OSError) as error:
        extract_features(folder, checkpoint, out)
    assert '\n' not in str(error.value) and not out.exists()
    assert ('f.npz was not written: File too large; all' in str(error.value)) == (limit > 600)
    assert extract_features(folder, checkpoint, out).found == (COUNT if limit > 600 else 0)
    assert_is(load_features(out), expected)


def test_only_one_process_at_a_time(folder, checkpoint, tmp_path):
    out = tmp_path / 'f.npz'
    message = 'another process is extracting into .*f.npz'
    with Parts(str(out)).locked(), pytest.raises(RuntimeError, match=message):
        extract_features(folder, checkpoint, out)
    extract_features(folder, checkpoint, out)


def test_parts_are_written_after_some_time(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, 'PART_SECONDS', 0.05)
    one = Part(np.ones((1, 3), np.float32), [''])
    holder = Parts(str(tmp_path / 'f.npz'))

    def slow():
        yield one
        assert len(list(holder)) == 0
        time.sleep(0.06)
        yield one
        assert [len(part.errors) for part in holder] == [2]

    with holder.locked():
        holder.write(0, slow())
        (tmp_path / 'f.npz.parts' / 'settings.json').write_text('{}')
