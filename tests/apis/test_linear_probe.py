"""The linear probe compared with scikit-learn, scipy and brute force; mismatched files."""

import json
import sys

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import recall_score
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.neighbors import NearestNeighbors
from sklearn.svm import LinearSVC

from tests.apis.feature_nets import write_features
from tests.conftest import run_tool
from vgg_mm.apis import linear_probe, load_features
from vgg_mm.apis.features import svm
from vgg_mm.apis.features.probe import _queries
from vgg_mm.apis.features.svm import nearest

CLASSES = ['ant', 'bee', 'cow']


def clouds(seed, counts=(30, 24, 18), spread=1.2, dimension=6):
    """Overlapping Gaussians, one per class: (values, labels)."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(0, 1, (len(counts), dimension))
    labels = np.repeat(np.arange(len(counts)), counts)
    return centres[labels] + rng.normal(0, spread, (len(labels), dimension)), labels


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """(train, test)."""
    folder = tmp_path_factory.mktemp('features')
    return [
        write_features(folder / f'{name}.npz', *clouds(seed), CLASSES, folder=f'/{name}')
        for seed, name in enumerate(('train', 'test'))
    ]


def test_classifier_equals_scikit_learns(files):
    result = linear_probe(*files, c=(0.1, 1, 10), folds=3)
    train, test = map(load_features, files)
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    recalls = {
        c: cross_val_score(
            LinearSVC(C=c, dual=False), train.values,
            train.labels, cv=folds, scoring='recall_macro',
        ).mean()
        for c in (0.1, 1, 10)
    }  # fmt: skip
    assert result.cross_validation == pytest.approx(recalls)
    assert result.c == max(recalls, key=recalls.get)
    fitted = LinearSVC(C=result.c, dual=False)
    given = fitted.fit(train.values, train.labels).predict(test.values)
    right = int((given == test.labels).sum())
    assert result.accuracy == pytest.approx(100 * right / 72) and 40 < result.accuracy < 95
    assert result.recalls == pytest.approx(100 * recall_score(test.labels, given, average=None))
    assert result.mean_class_recall == pytest.approx(
        100 * recall_score(test.labels, given, average='macro')
    )
    for true, found in np.ndindex(3, 3):
        count = ((test.labels == true) & (given == found)).sum()
        assert result.confusion[true, found] == count
    interval = binomtest(right, 72).proportion_ci(method='wilson')
    assert result.accuracy_interval == pytest.approx((100 * interval.low, 100 * interval.high))
    scores = fitted.decision_function(test.values)
    for label in range(3):
        expected = average_precision(scores[:, label], test.labels == label)
        assert result.average_precision[label] == pytest.approx(expected)


def average_precision(scores, relevant):
    """The mean precision at each relevant image's rank."""
    ranked = relevant[np.argsort(-scores)]
    precision = np.cumsum(ranked) / np.arange(1, len(ranked) + 1)
    return precision[ranked].mean()


def test_neighbours_equal_those_of_brute_force(files):
    result = linear_probe(*files, c=[1], neighbours=4)
    train, test = map(load_features, files)
    finder = NearestNeighbors(n_neighbors=4, metric='cosine', algorithm='brute').fit(train.values)
    places = finder.kneighbors(test.values, return_distance=False)
    same = train.labels[places] == test.labels[:, None]
    assert result.precision_at_k == pytest.approx(same.mean()) and result.k == 4


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 40), st.integers(1, 30), st.integers(1, 8), st.integers(0, 9), st.data())
def test_the_nearest_have_the_largest_cosines(count, queries, dimension, seed, data):
    k = data.draw(st.integers(1, count))
    rng = np.random.default_rng(seed)
    index, asked = rng.normal(size=(count, dimension)), rng.normal(size=(queries, dimension))
    index /= np.linalg.norm(index, axis=1, keepdims=True)
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    places, cosines = nearest(index, asked, k)
    expected = -np.sort(-(asked @ index.T), axis=1)[:, :k]
    np.testing.assert_allclose(cosines, expected, atol=1e-12)
    np.testing.assert_allclose((asked[:, None] * index[places]).sum(-1), cosines, atol=1e-12)
    assert all(len(set(row)) == k for row in places.tolist())


def test_two_classes(tmp_path):
    """scikit-learn then fits a single hyperplane."""
    values, labels = clouds(0, (20, 20))
    path = write_features(tmp_path / 'two.npz', values, labels, ['ant', 'bee'])
    result = linear_probe(path, c=[1])
    assert result.confusion.shape == (2, 2) and result.images == 8 and result.train_images == 32
    assert result.accuracy > 70 and (result.average_precision > 0.7).all()


def test_a_share_of_each_class_is_kept_for_the_test(tmp_path):
    values, labels = clouds(0, (30, 10, 2, 1))
    path = write_features(tmp_path / 'f.npz', values, labels, [*CLASSES, 'dog'])
    results = [linear_probe(path, c=[1], val_fraction=0.3, seed=seed) for seed in (0, 0, 1)]
    for result in results:
        assert result.confusion.sum(axis=1).tolist() == [9, 3, 1, 0]
        assert result.train_images == 43 - 13
        assert 'classes without test images, excluded from the means: 1' in result.notices
        assert np.isnan(result.recalls[3]) and np.isfinite(result.mean_class_recall)
    one, same, other = (result.to_json() for result in results)
    assert one == same != other
    json.dumps(one, allow_nan=False)


def test_broken_images_and_images_without_a_class_are_left_out(files, tmp_path):
    values, labels = clouds(0)
    errors = [''] * len(labels)
    errors[4] = 'cannot be read'
    labels[[7, 8]] = -1
    path = write_features(tmp_path / 'f.npz', values, labels, CLASSES, errors, folder='/train')
    for test in (files[1], None):
        result = linear_probe(path, test, c=[1])
        assert (result.broken, result.unlabelled) == (1, 2)
        assert result.train_images + (result.images if test is None else 0) == len(labels) - 3
        assert '; 1 broken; 2 in no class folder' in result.table()


def test_classes_are_matched_by_name(files, tmp_path):
    """The test folder has additional classes before and after the common ones."""
    values, labels = clouds(1)
    names = ['aardvark', *CLASSES, 'zebra']
    other = write_features(tmp_path / 'f.npz', values, labels + 1, names, folder='/test')
    one, two = (linear_probe(files[0], test, c=[1]) for test in (files[1], other))
    np.testing.assert_array_equal(one.confusion, two.confusion)
    assert one.classes == two.classes == CLASSES


def test_several_nets_are_stacked(files, tmp_path):
    """Late fusion of Appendix B: features of both nets, each of length 1 / sqrt(2)."""
    others = [
        write_features(
            tmp_path / f'{name}.npz', *clouds(seed, dimension=9), CLASSES, folder=f'/{name}',
            net='D',
        )
        for seed, name in ((5, 'train'), (6, 'test'))
    ]  # fmt: skip
    result = linear_probe([files[0], others[0]], [files[1], others[1]], c=[1])
    one, two = load_features(files[0]), load_features(others[0])
    stacked = np.concatenate([one.values, two.values], axis=1) / np.sqrt(2)
    fitted = LinearSVC(C=1, dual=False).fit(stacked, one.labels)
    tests = np.concatenate([load_features(f).values for f in (files[1], others[1])], axis=1)
    given = fitted.predict(tests / np.sqrt(2))
    assert result.right == (given == one.labels).sum()
    assert len(result.features) == 2 and 'net D' in result.features[1]


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(dimension=9), 'dimension 9, not 6'),
        (dict(layer='fc6'), 'layer fc6, not fc7'),
        (dict(weights='x'), 'other weights'),
        (dict(net='D', width=64), 'net D, not A; width 64, not 4'),
        (dict(scales=(64, 96)), 'scales 64,96, not 64'),
        (dict(flip=False), 'flip False, not True'),
        (
            dict(folder='/train'),
            '72 of its images are training images, too, e.g. /train/ant/0.jpg',
        ),
        (dict(classes=['ant', 'bee', 'dog']), "class 'dog' has no training images"),
        (dict(labels=-1), 'has no image with a class: extract FOLDER/CLASS/*'),
    ],
)
def test_features_that_do_not_match(files, tmp_path, change, message):
    dimension = change.pop('dimension', 6)
    values, labels = clouds(1, dimension=dimension)
    classes = change.pop('classes', CLASSES)
    labels = np.full_like(labels, change.pop('labels')) if 'labels' in change else labels
    made = {'folder': '/test', **change}
    other = write_features(tmp_path / 'f.npz', values, labels, classes, **made)
    with pytest.raises(ValueError) as error:
        linear_probe(files[0], other)
    assert message in str(error.value) and '\n' not in str(error.value)


@pytest.mark.parametrize(
    'counts, options, message',
    [
        ((20,), {}, 'has images of one class (ant): a classifier needs two or more'),
        ((20, 4), {}, 'than the 5 folds of cross-validation: give folds=3, or c with one'),
        ((20, 1), {}, 'a class has 1 training image, fewer than the 5 folds of '
                      'cross-validation: give c with one value'),
        ((1, 1), {}, "one image: none can be held out for the test; give test=['FEATURES']"),
        ((20, 20), dict(val_fraction=1.0), 'val_fraction must be between 0 and 1, got 1.0'),
        ((20, 20), dict(folds=1), 'folds must be at least 2, got 1'),
        ((20, 20), dict(c=[1, 0]), 'c must be positive numbers, got [1, 0]'),
        ((20, 20), dict(c=[]), 'c must be positive numbers, got []'),
        ((20, 20), dict(neighbours=0), 'neighbours must be a positive number, got 0'),
        ((20, 20), dict(queries=-1), 'queries must be a positive number, got -1'),
        ((20, 20), dict(test=['a', 'b']), 'no file a'),
    ],
)  # fmt: skip
def test_wrong_input_is_one_clear_line(tmp_path, counts, options, message):
    values, labels = clouds(0, counts)
    path = write_features(tmp_path / 'f.npz', values, labels, CLASSES[: len(counts)])
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        linear_probe(path, **options)
    assert message in str(error.value) and '\n' not in str(error.value)


def test_files_of_other_kinds(files, tmp_path):
    np.savez(tmp_path / 'a.npz', x=np.zeros(3))
    (tmp_path / 'b.parquet').write_bytes(b'PAR1 and no more')
    (tmp_path / 'c.npz').write_text('text')
    pytest.importorskip('pyarrow')
    for name in ('a.npz', 'b.parquet', 'c.npz'):
        with pytest.raises(ValueError, match=f'{name} contains no features'):
            linear_probe(tmp_path / name)
    with pytest.raises(ValueError, match='are of different images: they cannot be stacked'):
        values, labels = clouds(0, (5, 5))
        linear_probe([files[0], write_features(tmp_path / 'd.npz', values, labels, ['a', 'b'])])


def test_without_scikit_learn(files, monkeypatch):
    monkeypatch.setitem(sys.modules, 'sklearn', None)
    with pytest.raises(ImportError, match='pip install scikit-learn'):
        linear_probe(*files)


def test_notice_if_the_solver_does_not_converge(files, monkeypatch):
    monkeypatch.setattr(svm, 'MAX_ITERATIONS', 1)
    (notice,) = linear_probe(*files, c=[100]).notices
    assert notice == 'the SVM with C = 100 did not converge; use a smaller C'


def test_notice_if_the_best_c_is_at_the_edge(files):
    result = linear_probe(*files, c=(1e-4, 1e-3))
    edges = [notice for notice in result.notices if 'at the edge of those tried' in notice]
    assert len(edges) == 1 and f'{result.c:g}' in edges[0]
    assert not linear_probe(*files, c=[1e-3]).notices


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=30), st.integers(1, 12), st.integers(0, 3))
def test_queries_cover_as_many_classes_as_possible(labels, count, seed):
    labels = np.array(labels)
    chosen = _queries(labels, count, seed)
    assert len(set(chosen)) == len(chosen) == min(count, len(labels))
    shown = set(labels[chosen].tolist())
    assert len(shown) == min(count, len(set(labels.tolist())))
    assert labels[chosen].tolist() == sorted(labels[chosen].tolist())


def test_the_tool_writes_table_numbers_and_pictures(tmp_path):
    """The sheet of photos is drawn although some photos no longer exist."""
    rng = np.random.default_rng(0)
    for name in CLASSES:
        (tmp_path / 'in' / name).mkdir(parents=True)
    values, labels = clouds(0)
    for number, label in enumerate(labels):
        if number % 3:
            shape = (rng.integers(20, 90), rng.integers(20, 90), 3)
            image = rng.integers(0, 256, shape, np.uint8)
            cv2.imwrite(str(tmp_path / 'in' / CLASSES[label] / f'{number}.jpg'), image)
    write_features(tmp_path / 'train.npz', values, labels, CLASSES, folder=tmp_path / 'in')
    done = run_tool('linear_probe.py', 'train.npz', '--queries', '4', cwd=tmp_path)
    out = tmp_path / 'work_dirs' / 'linear_probe' / 'train'
    result = linear_probe(tmp_path / 'train.npz')
    assert result.table() in done.stdout
    assert json.loads((out / 'linear_probe.json').read_text()) == {
        **result.to_json(),
        'files': {
            name: f'work_dirs/linear_probe/train/{name}'
            for name in ('linear_probe.json', 'confusion.png', 'retrieval.jpg')
        },
    }
    assert cv2.imread(str(out / 'confusion.png')).shape[0] > 200
    sheet = cv2.imread(str(out / 'retrieval.jpg'))
    assert sheet.shape[1] > sheet.shape[0]  # four rows of six photos
    wrong = run_tool('linear_probe.py', 'none.npz', cwd=tmp_path, check=False)
    assert wrong.returncode == 1 and wrong.stderr.endswith('error: no file none.npz\n')


def test_many_classes_are_drawn_without_names(tmp_path):
    counts = [4] * 40
    values, labels = clouds(0, counts)
    path = write_features(tmp_path / 'f.npz', values, labels, [f'class {i:02d}' for i in range(40)])
    result = linear_probe(path, c=[1], out=tmp_path / 'out')
    assert cv2.imread(result.files['confusion.png']).shape[0] > 500
    assert 'class 07' in result.table()
