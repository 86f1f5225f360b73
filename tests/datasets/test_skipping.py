"""Training images that cannot be read are replaced and listed, or are errors."""

import pickle

import numpy as np
import pytest
from mmpretrain.datasets import CustomDataset
from PIL import Image

from vgg_mm.datasets import LoadImage

PIPELINE = [dict(type='vgg_mm.LoadImage', on_error='skip')]


@pytest.fixture
def folder(tmp_path):
    """One class of six images, of which 1 and 4 are broken."""
    (tmp_path / 'train' / 'a').mkdir(parents=True)
    for i in range(6):
        path = tmp_path / 'train' / 'a' / f'{i}.png'
        Image.new('RGB', (4, 4), (i, i, i)).save(path)
    for i in (1, 4):
        (tmp_path / 'train' / 'a' / f'{i}.png').write_bytes(b'')
    return tmp_path / 'train'


def training_set(folder, skipped_file, **options):
    dataset = CustomDataset(data_root=str(folder), pipeline=PIPELINE, **options)
    dataset.pipeline.transforms[0].skipped_file = skipped_file and str(skipped_file)
    return dataset


def values(dataset):
    return [int(dataset[i]['img'][0, 0, 0]) for i in range(6)]


def test_replacement_is_drawn_from_numpys_state(folder, tmp_path):
    dataset = training_set(folder, tmp_path / 'skipped.txt')
    np.random.seed(3)
    found = values(dataset)
    assert [found[i] for i in (0, 2, 3, 5)] == [0, 2, 3, 5]
    assert {found[1], found[4]} <= {0, 2, 3, 5}
    np.random.seed(3)
    assert values(pickle.loads(pickle.dumps(dataset))) == found
    draws = set()
    for seed in range(9):
        np.random.seed(seed)
        draws.add(tuple(values(dataset)))
    assert len(draws) > 3


def test_paths_and_reasons_are_noted(folder, tmp_path):
    (folder / 'a' / '4.png').rename(folder / 'a' / 'ä  b\tc.png')
    dataset = training_set(folder, tmp_path / 'skipped.txt')
    np.random.seed(0)
    values(dataset)
    lines = (tmp_path / 'skipped.txt').read_text('utf-8').splitlines()
    columns = [line.split('\t') for line in lines]
    assert {path for path, _ in columns} == {f'{folder}/a/1.png', f'{folder}/a/ä  b c.png'}
    assert all(reason.startswith('empty image file: ') for _, reason in columns)


def test_missing_files_are_skipped_too(folder, tmp_path):
    dataset = training_set(folder, tmp_path / 'skipped.txt')
    (folder / 'a' / '0.png').unlink()
    assert dataset[0]['img'].shape == (4, 4, 3)
    assert 'image not found' in (tmp_path / 'skipped.txt').read_text()


def test_nothing_is_skipped_without_a_list(folder):
    dataset = training_set(folder, None)
    assert dataset[0]['img'].shape == (4, 4, 3)
    with pytest.raises(ValueError, match='empty image file: .*1.png; .*works only in training'):
        dataset[1]


def test_only_broken_images_are_an_error(folder, tmp_path):
    for path in (folder / 'a').iterdir():
        path.write_bytes(b'text')
    dataset = training_set(folder, tmp_path / 'skipped.txt')
    with pytest.raises(ValueError, match='100 images in a row cannot be read, the last: not an im'):
        dataset[0]


def test_good_images_reset_the_count(folder, tmp_path):
    dataset = training_set(folder, tmp_path / 'skipped.txt')
    np.random.seed(0)
    for _ in range(150):
        dataset[1]
    assert len((tmp_path / 'skipped.txt').read_text().splitlines()) >= 150


def test_unknown_on_error():
    with pytest.raises(ValueError, match="on_error must be 'raise', 'mark' or 'skip', got 'drop'"):
        LoadImage(on_error='drop')
