"""How fine-tuning splits photos into training and validation."""

import os
import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import composite

from vgg_mm.apis.check_dataset.layout import find_layout
from vgg_mm.apis.finetune.split import split_photos


def photos(folder, counts):
    """Empty files FOLDER/CLASS/N.jpg: the split depends only on names."""
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            (folder / name / f'{number}.jpg').touch()
    return find_layout(str(folder))


@composite
def class_counts(draw):
    names = st.text('abc éß日', min_size=1, max_size=4).map(str.strip).filter(bool)
    return draw(st.dictionaries(names, st.integers(1, 40), min_size=2, max_size=5))


@settings(max_examples=25, deadline=None)
@given(counts=class_counts(), seed=st.integers(0, 5))
def test_a_fifth_of_each_class_is_for_validation(tmp_path_factory, counts, seed):
    layout = photos(tmp_path_factory.mktemp('photos'), counts)
    split = split_photos(layout, seed)
    assert split == split_photos(layout, seed)
    assert split.classes == sorted(counts)
    train, val = (Counter(label for _, label in part) for part in (split.train, split.val))
    for label, name in enumerate(split.classes):
        assert all(path.startswith(f'{name}/') for path, own in split.train if own == label)
        if max(counts.values()) > 1:
            kept = max(round(counts[name] / 5), int(counts[name] > 1))
            assert (train[label], val[label]) == (counts[name] - kept, kept)
    if max(counts.values()) > 1:
        assert not set(split.train) & set(split.val)
    else:
        assert split.train == split.val


def test_other_seeds_draw_other_photos(tmp_path):
    layout = photos(tmp_path, dict(a=40, b=40))
    assert split_photos(layout, 0).val != split_photos(layout, 1).val


@pytest.mark.parametrize('names', [('train', 'val'), ('Train', 'Test'), ('training', 'valid')])
def test_splits_of_the_folder(tmp_path, names):
    # One class has no validation photos.
    counts = {f'{names[0]}/a': 3, f'{names[0]}/b': 2, f'{names[0]}/empty': 0, f'{names[1]}/b': 4}
    split = split_photos(photos(tmp_path, counts))
    assert split.classes == ['a', 'b']
    assert [label for _, label in split.train] == [0, 0, 0, 1, 1]
    assert [label for _, label in split.val] == [1] * 4
    assert all(path.startswith(f'{names[1]}/b/') for path, _ in split.val)


def test_classes_that_are_numbers_are_sorted_by_value(tmp_path):
    split = split_photos(photos(tmp_path, {str(number): 5 for number in range(8, 12)}))
    assert split.classes == ['8', '9', '10', '11']
    assert all(split.classes[label] == path.split('/')[0] for path, label in split.train)


@pytest.mark.parametrize(
    'counts, message',
    [
        ({'a': 9}, r'photos to train on of one class \(a\)'),
        ({'a': 9, 'b': 0}, r'photos to train on of one class \(a\)'),
        ({'train/a': 2, 'train/b': 2, 'val/c': 1}, "class 'c' of .* none to train on"),
        ({'one/a': 2, 'two/a': 2}, 'has the splits one, two: expected FOLDER/train/CLASS'),
        ({'train/a': 2, 'train/b': 2}, 'has the splits train: expected FOLDER/train/CLASS'),
    ],
)
def test_invalid_folders(tmp_path, counts, message):
    with pytest.raises(ValueError, match=message) as error:
        split_photos(photos(tmp_path, counts))
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    'name, message',
    [
        (' cats', "the path ' cats/0.jpg' in it begins with a blank: rename it"),
        ('ca\nts', r"the path 'ca\nts/0.jpg' in it contains a line break: rename it"),
        (os.fsdecode(b'caf\xe9'), r"the path 'caf\udce9/0.jpg' in it is not UTF-8 text: rename it"),
    ],
)
def test_names_that_no_list_of_photos_can_hold(tmp_path, name, message):
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        split_photos(photos(tmp_path, {name: 2, 'dogs': 2}))
    assert '\n' not in str(error.value)
