"""Files of posteriors: saving, loading and invalid files; errors compared with a plain count."""

import json
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vgg_mm.evaluation import Posteriors, load_posteriors, wrong_images


def small(**parts):
    """Three images, two classes, two protocols; the second image could not be read."""
    dense = np.array([[0.25, 0.75], [np.nan, np.nan], [0.5, 0.5]], np.float32)
    defaults = dict(
        scores={'dense': dense, 'centre crop': dense[:, ::-1].copy()},
        labels=np.array([1, 0, 1]),
        names=['a/größe 1.png', 'a/2.png', 'b/3.png'],
        classes=['a', 'b'],
        info=dict(net='D', scale=[256, 512], test_scales=[256], imagenet=False, checkpoint=None),
    )
    return Posteriors(**{**defaults, **parts})


def test_loading_returns_what_was_saved(tmp_path):
    path = tmp_path / 'new' / 'posteriors.npz'
    saved = small()
    saved.save(path)
    loaded = load_posteriors(path)
    assert loaded[2:] == saved[2:]
    np.testing.assert_array_equal(loaded.labels, saved.labels)
    assert list(loaded.scores) == ['dense', 'centre crop']
    for protocol, scores in saved.scores.items():
        assert loaded.scores[protocol].dtype == np.float32
        np.testing.assert_array_equal(loaded.scores[protocol], scores)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_failed_save_leaves_the_old_file(tmp_path):
    path = tmp_path / 'posteriors.npz'
    small().save(path)
    with pytest.raises(TypeError):
        small(info=dict(net=object())).save(path)
    assert load_posteriors(path).info['net'] == 'D'


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, 'w')


def test_an_array_of_objects_is_rejected_without_running_it(tmp_path):
    mark, path = tmp_path / 'it_ran', tmp_path / 'posteriors.npz'
    bomb = np.array([Bomb(str(mark))], dtype=object)
    np.savez(path, **{'posteriors/dense': bomb}, labels=[0], names=['a'], classes=['a'], info='{}')
    with pytest.raises(ValueError, match='contains no posteriors .*Object arrays cannot be loaded'):
        load_posteriors(path)
    assert not mark.exists()
    # With allow_pickle the code does run.
    np.load(path, allow_pickle=True)['posteriors/dense']
    assert mark.exists()


def pickled(path):
    path.write_bytes(pickle.dumps([dict(pred_score=[1.0])]))


def truncated(path):
    small().save(path)
    path.write_bytes(path.read_bytes()[:-100])


def other_zip(path):
    with zipfile.ZipFile(path, 'w') as file:
        file.writestr('notes.txt', 'nothing')


def one_array(path):
    with open(path, 'wb') as file:
        np.save(file, np.zeros((3, 2)))


def other_arrays(path):
    np.savez(path, weights=np.zeros((3, 2)))


@pytest.mark.parametrize(
    'write', [pickled, truncated, other_zip, one_array, other_arrays, lambda path: path.touch()]
)
def test_a_file_of_another_kind_is_one_clear_line(write, tmp_path):
    path = tmp_path / 'posteriors.npz'
    write(path)
    with pytest.raises(ValueError, match='contains no posteriors') as caught:
        load_posteriors(path)
    assert '\n' not in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize(
    'parts, message',
    [
        (dict(scores={}), 'it has no protocol'),
        (dict(scores={'dense': np.zeros((2, 2))}), r'dense: expected floats \(3, 2\), got'),
        (dict(labels=np.array([0, 1])), r'labels: expected integers \(3,\), got'),
        (dict(labels=np.array([0, 1, 2])), 'labels: 0 to 2 with 2 classes'),
        (dict(labels=np.array([0, 1, -1])), 'labels: -1 to 1 with 2 classes'),
        (dict(names=['a', 'b', 'a']), 'names: some occur twice'),
        (dict(classes=['a', 'a']), 'classes: some occur twice'),
        (dict(info=['D']), 'info: expected a dictionary'),
        (
            dict(scores={'dense': np.zeros((0, 2))}, labels=np.array([], int), names=[]),
            'it has no images',
        ),
    ],
)
def test_parts_that_do_not_fit_together_are_one_clear_line(parts, message, tmp_path):
    small(**parts).save(tmp_path / 'posteriors.npz')
    with pytest.raises(ValueError, match=message):
        load_posteriors(tmp_path / 'posteriors.npz')


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='posteriors not found: .*none.npz'):
        load_posteriors(tmp_path / 'none.npz')


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 30),
    classes=st.integers(1, 12),
    levels=st.integers(1, 6),
    seed=st.integers(0, 2**16),
)
def test_wrong_images_equal_a_plain_count(n, classes, levels, seed):
    """Few levels give many ties; about a tenth of the images have no posteriors."""
    rng = np.random.default_rng(seed)
    scores = (rng.integers(0, levels, (n, classes)) / levels).astype(np.float32)
    scores[rng.random(n) < 0.1] = np.nan
    labels = rng.integers(0, classes, n)
    for k in {1, min(5, classes), classes}:
        expected = []
        for row, label in zip(scores.tolist(), labels):
            ranking = sorted(range(classes), key=lambda c: (-row[c], c))
            expected.append(row[0] != row[0] or label not in ranking[:k])
        assert wrong_images(scores, labels, k).tolist() == expected


def test_k_above_the_number_of_classes_is_one_clear_line():
    with pytest.raises(ValueError, match='top-5 error needs at least 5 classes, there are 3'):
        wrong_images(np.eye(3), np.arange(3), 5)


def test_info_is_plain_json(tmp_path):
    small().save(tmp_path / 'posteriors.npz')
    with np.load(tmp_path / 'posteriors.npz') as file:
        assert json.loads(str(file['info']))['scale'] == [256, 512]
