"""LoadImage(lazy=True) with broken files, in workers, and over many images."""

import json
import multiprocessing

import numpy as np
import pytest
from mmpretrain.datasets import CustomDataset
from torch.utils.data import DataLoader

from tests import preloaded
from tests.conftest import ROOT
from tests.datasets.lazy_probe import (
    crop,
    encode,
    load,
    needs_regions,
    outcome,
    photo,
    pipeline,
    undecodable,
)
from vgg_mm.datasets.transforms import region_decoder


@pytest.mark.parametrize('progressive', [0, 1])
def test_every_truncation_of_a_file_gives_the_same_error(progressive):
    content = encode(photo(40, 30, 0), PROGRESSIVE=progressive)
    at_once, lazily = pipeline(False, 32, 16), pipeline(True, 32, 16)
    for length in range(0, len(content) - 1, 3):
        expected = outcome(at_once, content[:length], 0)
        assert expected[0] == 'UnreadableImage' and outcome(lazily, content[:length], 0) == expected


@pytest.mark.parametrize(
    'content, extra, message',
    [
        (undecodable(), {}, 'not an image, or of a format that cannot be read: some/file'),
        (undecodable(size=(900, 700)), {}, 'not an image, or of a format that cannot be read'),
        (encode(photo(60, 80, 0)), dict(annotated_shape=(80, 60)), 'some/file is 80x60, its annot'),
        (b'', {}, 'empty image file: some/file'),
    ],
)
def test_errors_equal_those_of_loading_at_once(content, extra, message):
    for lazy in (False, True):
        with pytest.raises(ValueError, match=message) as error:
            crop(content, lazy=lazy, **extra)
        assert '\n' not in str(error.value)


def test_too_many_pixels():
    content = encode(photo(30, 40, 0))
    for lazy in (False, True):
        with pytest.raises(ValueError, match='40x30 pixels, more than LoadImage.max_pixels=1199.'):
            load(content, max_pixels=1199, lazy=lazy)


def test_broken_file_is_marked_with_the_same_draws():
    found = []
    for lazy in (False, True):
        np.random.seed(5)
        steps = pipeline(lazy, on_error='mark')
        results = steps(dict(img_path='some/file', img_bytes=undecodable()))
        assert not results['img'].any() and results['img'].shape == (48, 48, 3)
        found.append((results['load_error'], results['scale'], np.random.random()))
    assert found[0] == found[1]


def test_training_continues_with_the_same_images(tmp_path):
    """The replacement of a broken image is drawn as if it were loaded at once."""
    folder = tmp_path / 'train' / 'a'
    folder.mkdir(parents=True)
    for i in range(8):
        content = undecodable(i) if i in (2, 5) else encode(photo(120, 160, i))
        (folder / f'{i}.jpg').write_bytes(content)
    found = []
    for lazy in (False, True):
        steps = pipeline(lazy, on_error='skip', skipped_file=str(tmp_path / f'{lazy}.txt'))
        dataset = CustomDataset(data_root=str(folder.parent), pipeline=steps.transforms)
        np.random.seed(1)
        images = [dataset[i] for i in range(8)]
        found.append([(i['img_path'], i['scale']) for i in images] + [np.random.random()])
    assert found[0] == found[1]
    lists = [(tmp_path / f'{lazy}.txt').read_text() for lazy in (False, True)]
    assert lists[0] == lists[1] and len(lists[0].splitlines()) >= 2


def test_good_images_reset_the_count_of_broken_images(tmp_path):
    steps = pipeline(True, on_error='skip', skipped_file=str(tmp_path / 'skipped.txt'))
    bad, good = (dict(img_path='some/file', img_bytes=c) for c in (undecodable(), encode(photo(60,
                 60, 0))))  # fmt: skip
    for _ in range(99):
        assert steps(dict(bad)) is None
    assert steps(dict(good)) is not None
    for _ in range(99):
        assert steps(dict(bad)) is None
    with pytest.raises(ValueError, match='100 images in a row cannot be read, the last: not an im'):
        steps(dict(bad))


@pytest.mark.parametrize('count', [250, pytest.param(5000, marks=pytest.mark.slow)])
def test_fuzz(count):
    """Mutated files in a child process, which must not crash."""
    found = probe('fuzz', count)
    assert found['different'] == []
    assert found['kinds']['image'] > count / 4 and found['kinds']['UnreadableImage'] > count / 20
    if region_decoder.is_installed():
        assert found['regions'] > count / 10


def test_memory_does_not_grow():
    _, early, late = probe('memory', 2000)
    assert late - early < 8 * 1024


def test_no_threads_are_started():
    before, early, late = probe('threads', 60)
    assert before == early == late


def probe(*args):
    done = preloaded.run([str(ROOT / 'tests/datasets/lazy_probe.py'), *map(str, args)], ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


class Crops:
    """A data set whose draws depend only on the index."""

    def __init__(self, contents):
        self.contents, self.steps = contents, pipeline(True)

    def __len__(self):
        return len(self.contents)

    def __getitem__(self, number):
        np.random.seed(number)
        content = self.contents[number]
        return self.steps(dict(img_path='some/file', img_bytes=content))['img'].copy()


@pytest.mark.parametrize('method', ['fork', 'spawn'])
def test_workers(method):
    """Including forked workers whose parent process has decoded images."""
    data = Crops([encode(photo(150 + 9 * i, 260, i)) for i in range(12)])
    expected = [data[i] for i in range(12)]
    loader = DataLoader(
        data,
        batch_size=3,
        num_workers=2 if method == 'fork' else 1,
        multiprocessing_context=multiprocessing.get_context(method),
        timeout=300,
    )
    found = np.concatenate([batch.numpy() for batch in loader])
    assert np.array_equal(found, expected)


FALLBACK = f"""
import sys
sys.path[:0] = [FOLDER, {str(ROOT)!r}]
from mmengine.logging import MMLogger
from tests.datasets.lazy_probe import encode, outcome, photo, pipeline
from vgg_mm.datasets.transforms import region_decoder
MMLogger.get_instance('test')
content = encode(photo(150, 200, 0))
for _ in range(3):
    print(outcome(pipeline(True), content, 0))
print(region_decoder.decode_region(content, slice(0, 9), slice(0, 9)) is None)
"""


def run_with_modules(folder):
    """Output of the script if modules in ``folder`` are found first."""
    script = folder / 'script.py'
    script.write_text(FALLBACK.replace('FOLDER', repr(str(folder))))
    done = preloaded.run([str(script)], folder)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_broken_installation_is_reported_once(tmp_path):
    package = tmp_path / 'nvidia' / 'nvimgcodec'
    package.mkdir(parents=True)
    (tmp_path / 'nvidia' / '__init__.py').touch()
    (package / '__init__.py').write_text("raise ImportError('libfoo.so.9: not found')")
    out = run_with_modules(tmp_path)
    assert out.count('nvImageCodec cannot be imported, OpenCV decodes: libfoo.so.9: not found') == 1
    assert out.count('((48, 48, 3), dtype(') == 3 and out.endswith('True\n')


def test_missing_installation_is_reported_once(tmp_path):
    (tmp_path / 'nvidia').mkdir()
    (tmp_path / 'nvidia' / '__init__.py').touch()
    out = run_with_modules(tmp_path)
    assert out.count("pip install 'vgg_mm[fast]'") == 1 and out.endswith('True\n')


@needs_regions
def test_region_decoder_is_reported_once(tmp_path):
    out = run_with_modules(tmp_path)
    assert out.count('nvImageCodec decodes just the region') == 1 and out.endswith('False\n')
