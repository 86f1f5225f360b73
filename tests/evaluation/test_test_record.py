"""Test records: errors, confidence intervals, and their file."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vgg_mm.evaluation import (
    RECORDS_FILE,
    TestRecord,
    add_records,
    is_imagenet,
    read_records,
    wilson_interval,
)

RECORD = TestRecord(
    net='D',
    width=64,
    scale=(256, 512),
    test_scales=(256, 384, 512),
    protocol='dense',
    images=50_000,
    wrong={1: 12_400, 5: 3_750},
    data='data/imagenet/val',
    imagenet=True,
)

scales = st.tuples(st.integers(1, 999), st.integers(1, 999))
records = st.builds(
    TestRecord,
    net=st.text(min_size=1),
    width=st.integers(0, 64),
    scale=st.none() | scales,
    test_scales=st.lists(st.integers(1, 999), max_size=3).map(tuple),
    protocol=st.sampled_from(['dense', 'multi_crop', 'dense+multi_crop', 'centre crop']),
    images=st.integers(10, 100),
    wrong=st.fixed_dictionaries({1: st.integers(0, 10)}, optional={5: st.integers(0, 10)}),
    data=st.text(),
    imagenet=st.booleans(),
    seconds_per_image=st.floats(0, 100),
    protocols_together=st.integers(1, 3),
    config=st.text(),
    checkpoint=st.text(),
    members=st.lists(st.text(), max_size=2),
)


@settings(deadline=None)  # the first call imports scipy.stats
@given(total=st.integers(1, 60_000), share=st.floats(0, 1))
def test_the_interval_is_wilsons(total, share):
    """The observed proportion is 1.96 standard errors of p away from each end p."""
    observed = round(share * total) / total
    for p in wilson_interval(round(share * total), total):
        error = 1.959964 * np.sqrt(p * (1 - p) / total)
        assert abs(observed - p) == pytest.approx(error, abs=1e-6)


@settings(deadline=None)
@given(total=st.integers(1, 500), share=st.floats(0, 1))
def test_interval_contains_the_proportion(total, share):
    count = round(share * total)
    low, high = wilson_interval(count, total)
    assert 0 <= low <= count / total + 1e-12 and count / total - 1e-12 <= high <= 1


def test_errors_are_in_percent():
    assert (RECORD.error(1), RECORD.error(5)) == (24.8, 7.5)
    low, high = RECORD.interval(1)
    assert low == pytest.approx(24.42, abs=0.01) and high == pytest.approx(25.18, abs=0.01)


@settings(max_examples=50, deadline=None)
@given(written=st.lists(records, max_size=5))
def test_read_returns_what_was_added(written, tmp_path_factory):
    folder = tmp_path_factory.mktemp('work_dir')
    for record in written:
        path = add_records(folder, [record])
    if written:
        newest = {record.key: record for record in written}
        assert read_records(path) == list(newest.values())


def test_later_lines_replace_earlier_ones(tmp_path):
    newer = replace(RECORD, wrong={1: 12_300, 5: 3_700}, checkpoint='epoch_74.pth')
    other = replace(RECORD, protocol='multi_crop')
    add_records(tmp_path, [RECORD, other])
    assert read_records(add_records(tmp_path / 'new' / 'folder', [RECORD])) == [RECORD]
    path = add_records(tmp_path, [newer])
    assert read_records(path) == [newer, other]
    # A record that is not wanted replaces none that is.
    same = [RECORD, other]
    assert read_records(path, lambda r: r.checkpoint == RECORD.checkpoint) == same


@pytest.mark.parametrize(
    'line',
    [
        '{"net": "D"',
        '',
        '[]',
        '3',
        '"D"',
        '{"net": "D"}',
        json.dumps({**vars(RECORD), 'colour': 1}),
        json.dumps({**vars(RECORD), 'wrong': {'one': 3}}),
        json.dumps({**vars(RECORD), 'wrong': [1, 2]}),
        json.dumps({**vars(RECORD), 'test_scales': 256}),
        json.dumps({**vars(RECORD), 'net': ['D']}),
        json.dumps({**vars(RECORD), 'images': 0}),
        json.dumps({**vars(RECORD), 'images': '50'}),
        json.dumps({**vars(RECORD), 'wrong': {'1': 50_001}}),
        '\xff not UTF-8',
    ],
)
def test_a_broken_line_is_one_error_with_file_and_line(tmp_path, line):
    path = add_records(tmp_path, [RECORD])
    with open(path, 'a', encoding='latin-1') as file:
        file.write(line + '\n')
    with pytest.raises(ValueError, match=rf'{RECORDS_FILE}, line 2: not a test record') as error:
        read_records(path)
    assert '\n' not in str(error.value)


def test_imagenet_is_recognised_by_its_classes():
    wordnet = [f'n{i:08d}' for i in range(1000)]
    assert is_imagenet(wordnet)
    assert not is_imagenet(wordnet[:100])
    assert not is_imagenet([*wordnet[:999], 'cat'])
    assert not is_imagenet([])
