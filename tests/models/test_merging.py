"""Greedy merging, compared with a plain implementation of OverFeat's algorithm."""

import math

import numpy as np
import pytest

from vgg_mm.models.tta.merging import MATCH_THRESHOLD, match_scores, merge_boxes


def match(a, b):
    """Distance of the centres divided by the mean side, plus one, minus intersection over union."""
    distance = math.dist(
        ((a[0] + a[2]) / 2, (a[1] + a[3]) / 2), ((b[0] + b[2]) / 2, (b[1] + b[3]) / 2)
    )
    area = [(x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)]
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    union = sum(area) - width * height
    return distance / math.sqrt(sum(area) / 2) + 1 - width * height / union


def merge_by_definition(boxes, scores, threshold):
    """Compare all pairs in every round; a merged box is the mean of its list of predictions."""
    clusters = [([box], score) for box, score in zip(boxes, scores)]
    while len(clusters) > 1:
        means = [np.mean(members, axis=0) for members, _ in clusters]
        score, i, j = min(
            (match(means[i], means[j]), i, j)
            for i in range(len(means))
            for j in range(i + 1, len(means))
        )
        if score > threshold:
            break
        (first, one), (second, other) = clusters[i], clusters.pop(j)
        clusters[i] = (first + second, one + other)
    return [np.mean(members, axis=0) for members, _ in clusters], [s for _, s in clusters]


def random_set(seed):
    """Up to 12 boxes in clusters of different spread and size, with scores and a threshold."""
    rng = np.random.default_rng(seed)
    count = rng.integers(1, 13)
    middles = rng.uniform(0, 300, (rng.integers(1, 4), 2))
    centres = middles[rng.integers(0, len(middles), count)] + rng.normal(
        0, rng.uniform(1, 60), (count, 2)
    )
    sides = rng.uniform(20, 150, (count, 2))
    boxes = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)
    return boxes, rng.uniform(0, 1, (count, 3)), rng.uniform(0, 1.5)


def test_equals_the_definition_on_1000_random_sets():
    merged_some = 0
    for seed in range(1000):
        boxes, scores, threshold = random_set(seed)
        found_boxes, found_scores = merge_boxes(boxes, scores, threshold)
        expected_boxes, expected_scores = merge_by_definition(boxes, scores, threshold)
        assert len(found_boxes) == len(expected_boxes), seed
        np.testing.assert_allclose(found_boxes, expected_boxes, rtol=1e-9, err_msg=str(seed))
        np.testing.assert_allclose(found_scores, expected_scores, rtol=1e-9)
        merged_some += 1 < len(found_boxes) < len(boxes)
    assert merged_some > 200  # sets in which some boxes were merged, but not all


def test_scores_are_kept_and_the_order_does_not_matter():
    for seed in range(50):
        boxes, scores, threshold = random_set(seed)
        merged, sums = merge_boxes(boxes, scores, threshold)
        np.testing.assert_allclose(sums.sum(0), scores.sum(0))
        order = np.random.default_rng(seed).permutation(len(boxes))
        others, _ = merge_boxes(boxes[order], scores[order], threshold)
        np.testing.assert_allclose(sorted(map(tuple, others)), sorted(map(tuple, merged)))


def test_match_scores():
    square = np.array([0.0, 0, 10, 10])
    shifted = np.array([5.0, 0, 15, 10])
    far = np.array([100.0, 0, 110, 10])
    found = match_scores(square, np.stack([square, shifted, far]))
    assert found == pytest.approx([0, 0.5 + 1 - 1 / 3, 10 + 1])
    # Independent of the scale: the same at twice the size.
    assert match_scores(2 * square, 2 * shifted[None]) == pytest.approx(found[1:2])


def test_equal_boxes_are_merged_and_distant_ones_are_not():
    box, other = [10, 20, 110, 80], [300, 300, 400, 400]
    merged, sums = merge_boxes([box, other, box, box], [0.5, 0.4, 0.25, 0.25], MATCH_THRESHOLD)
    assert merged.tolist() == [box, other] and sums.tolist() == [1, 0.4]


def test_no_boxes_one_box_and_empty_boxes():
    boxes, scores = merge_boxes(np.empty((0, 4)), np.empty((0, 2)))
    assert boxes.shape == (0, 4) and scores.shape == (0, 2)
    assert merge_boxes([[1, 2, 3, 4]], [1.0])[0].tolist() == [[1, 2, 3, 4]]
    # Boxes without area, which untrained nets predict: only equal ones are merged.
    boxes, _ = merge_boxes([[5, 5, 5, 5], [5, 5, 5, 5], [6, 6, 6, 6]], [1.0, 1, 1])
    assert boxes.tolist() == [[5, 5, 5, 5], [6, 6, 6, 6]]
