"""Top-k error, compared with a plain count."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmpretrain.structures import DataSample

from vgg_mm.evaluation import TopKError


def evaluate(scores, labels, **kwargs):
    metric = TopKError(**kwargs)
    samples = [
        DataSample().set_gt_label(int(y)).set_pred_score(torch.tensor(s)).to_dict()
        for s, y in zip(scores, labels)
    ]
    metric.process(None, samples)
    return metric.evaluate(len(samples))


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 40), classes=st.integers(5, 12), seed=st.integers(0, 2**16))
def test_equals_a_plain_count(n, classes, seed):
    rng = np.random.default_rng(seed)
    scores = rng.permuted(np.tile(np.arange(classes) / 7, (n, 1)), axis=1).astype(np.float32)
    labels = rng.integers(0, classes, n)
    found = evaluate(scores, labels, topk=(1, 5))
    ranks = [(s > s[y]).sum() for s, y in zip(scores, labels)]
    for k in (1, 5):
        wrong = 100 * np.mean([rank >= k for rank in ranks])
        assert found[f'error/top{k}'] == pytest.approx(wrong, abs=1e-3)
        assert found[f'accuracy/top{k}'] == pytest.approx(100 - wrong, abs=1e-3)


def test_zero_posteriors_count_in_the_ranking():
    scores = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
    assert evaluate(scores, [1, 1], topk=3)['error/top3'] == 0


def test_fewer_classes_than_k():
    scores = np.array([[0.2, 0.8], [0.6, 0.4], [0.9, 0.1]], np.float32)
    found = evaluate(scores, [1, 1, 0], topk=(1, 5))
    assert found['error/top1'] == pytest.approx(100 / 3) and found['error/top5'] == 0


def test_nan_is_an_error_and_ties_go_by_class_number():
    """As in the posteriors that are written."""
    nan = np.full((4, 3), np.nan, np.float32)
    assert evaluate(nan, [0, 1, 2, 0], topk=(1, 2)) == {
        'error/top1': 100, 'accuracy/top1': 0, 'error/top2': 100, 'accuracy/top2': 0,
    }  # fmt: skip
    found = evaluate(np.full((3, 3), 1 / 3, np.float32), [0, 1, 2], topk=(1, 2))
    assert found['error/top1'] == pytest.approx(200 / 3)
    assert found['error/top2'] == pytest.approx(100 / 3)


@pytest.mark.parametrize('classes', [1, 3, 5, 6])
def test_nan_is_an_error_at_every_k(classes):
    scores = np.eye(4, classes, dtype=np.float32)
    scores[0] = np.nan
    found = evaluate(scores, [0] * 4, topk=(1, 5))
    assert found['error/top5'] == 25 and found['error/top1'] >= 25


@pytest.mark.parametrize('label', [-1, 3])
def test_a_label_that_is_no_class(label):
    with pytest.raises(ValueError, match=f'is of class {label}, the net has 3 classes'):
        evaluate(np.ones((1, 3), np.float32), [label])
