"""Greedy merging of box predictions (Sermanet et al. 2014, OverFeat, Section 4.3)."""

import numpy as np
import torch
from torchvision.ops import box_iou

#: Match score above which boxes are left apart.
MATCH_THRESHOLD = 0.8


def match_scores(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """How badly boxes match one: 0 for the same box.

    OverFeat's "sum of the distance between centers of the two bounding boxes and the intersection
    area of the boxes", each without unit: the distance over the square root of the mean of the two
    areas, and the area of the intersection over that of the union, which is taken from 1.

    Args:
        box: (4,) x1 y1 x2 y2.
        boxes: (N, 4).

    Returns:
        (N,), not negative. Boxes without area match nothing but a box at the same place.
    """
    size, sizes = box[2:] - box[:2], boxes[:, 2:] - boxes[:, :2]
    overlap = box_iou(torch.from_numpy(box[None]), torch.from_numpy(boxes))[0].numpy()
    overlap = np.nan_to_num(overlap, nan=1.0)  # neither has an area
    centres = np.linalg.norm((box[:2] + box[2:] - boxes[:, :2] - boxes[:, 2:]) / 2, axis=1)
    side = np.sqrt((size.prod() + sizes.prod(axis=1)) / 2)
    apart = np.where(centres > 0, np.inf, 0.0)
    distance = np.divide(centres, side, out=apart, where=side > 0)
    return distance + 1 - overlap


def merge_boxes(
    boxes: np.ndarray, scores: np.ndarray, threshold: float = MATCH_THRESHOLD
) -> tuple[np.ndarray, np.ndarray]:
    """Merge the two boxes that match best, again and again, while their score is low enough.

    Merged boxes have the mean coordinates of the predictions that they come from, and the sum of
    their class scores: "cumulatively adding the detection class outputs associated with the input
    windows from which each bounding box was predicted".

    Args:
        boxes: (N, 4) x1 y1 x2 y2.
        scores: (N, num_classes), or (N,): the class scores of their windows.
        threshold: Boxes with a higher :func:`match_scores` stay apart.

    Returns:
        Boxes (M, 4) and scores (M, num_classes) or (M,), M <= N, in the order of the first
        prediction that each comes from.
    """
    boxes, scores = np.array(boxes, np.float64), np.array(scores, np.float64)
    if not len(boxes):
        return boxes, scores
    counts = np.ones(len(boxes))
    matches = np.array([match_scores(box, boxes) for box in boxes]).reshape(len(boxes), -1)
    matches[np.tril_indices(len(boxes))] = np.inf  # each pair once
    alive = np.ones(len(boxes), bool)
    while alive.sum() > 1:
        one, other = np.unravel_index(matches.argmin(), matches.shape)
        if not matches[one, other] <= threshold:
            break
        weights = counts[[one, other]] / (counts[one] + counts[other])
        boxes[one] = weights @ boxes[[one, other]]
        scores[one] += scores[other]
        counts[one] += counts[other]
        alive[other] = False
        matches[other] = matches[:, other] = np.inf
        changed = np.where(alive, match_scores(boxes[one], boxes), np.inf)
        matches[one, one + 1 :] = changed[one + 1 :]
        matches[:one, one] = changed[:one]
    return boxes[alive], scores[alive]
