"""LocalizationError, compared with a plain count that uses torchvision's IoU."""

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

from vgg_mm.evaluation import LocalizationError


def boxes(rng, count):
    corners = rng.uniform(0, 100, (count, 2))
    return np.float32(np.concatenate([corners, corners + rng.uniform(1, 60, (count, 2))], axis=1))


def samples(seed, count=40, num_classes=6, per_class=False, guesses=5):
    """Images with one to three true boxes; about half of the predictions are close to one."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        true = boxes(rng, rng.integers(1, 4))
        near = true[rng.integers(0, len(true), 7)] + rng.normal(0, 6, (7, 4))
        near = torch.tensor(np.where(rng.random((7, 1)) < 0.5, near, boxes(rng, 7)))
        sample = dict(gt_label=torch.tensor([rng.integers(0, num_classes)]), gt_bboxes=true)
        sample['pred_bboxes'] = near[: num_classes if per_class else 1]
        labels = torch.tensor(rng.permutation(num_classes)[:guesses])
        sample['pred_instances'] = dict(labels=labels, bboxes=near[:guesses])
        found.append(sample)
    return found


def evaluate(data, **kwargs):
    metric = LocalizationError(**kwargs)
    metric.process(None, data)
    return metric.evaluate(len(data))


def right(box, sample, threshold):
    return (box_iou(box[None].float(), torch.tensor(sample['gt_bboxes'])) > threshold).any()


@pytest.mark.parametrize('per_class', [False, True])
@pytest.mark.parametrize('threshold', [0.5, 0.3])
def test_equals_a_plain_count(per_class, threshold):
    for seed in range(10):
        data = samples(seed, per_class=per_class)
        found = evaluate(data, topk=(1, 3, 5), iou_thr=threshold)
        known, wrong = 0, {1: 0, 3: 0, 5: 0}
        for sample in data:
            label = sample['gt_label'].item()
            known += not right(sample['pred_bboxes'][label if per_class else 0], sample, threshold)
            hits = [
                c == label and right(box, sample, threshold)
                for c, box in zip(*sample['pred_instances'].values())
            ]
            for k in wrong:
                wrong[k] += not any(hits[:k])
        assert found['localisation/error_class_known'] == 100 * known / len(data)
        assert {k: found[f'localisation/error_top{k}'] for k in wrong} == {
            k: 100 * n / len(data) for k, n in wrong.items()
        }
        assert 0 < known < len(data)


def test_a_box_without_area_is_an_error():
    """It is an error even if the true box is the same and has no area either."""
    empty = np.float32([[10, 10, 10, 10]])
    sample = dict(gt_label=torch.tensor([0]), gt_bboxes=empty, pred_bboxes=torch.tensor(empty))
    assert evaluate([sample], iou_thr=0) == {'localisation/error_class_known': 100}


def test_an_iou_equal_to_the_threshold_is_an_error():
    """The IoU must exceed 0.5 (Appendix A.2)."""
    half = dict(
        gt_label=torch.tensor([0]),
        gt_bboxes=np.float32([[0, 0, 10, 10]]),
        pred_bboxes=torch.tensor([[0.0, 0, 10, 5]]),
    )
    assert evaluate([half]) == {'localisation/error_class_known': 100}
    assert evaluate([half], iou_thr=0.49) == {'localisation/error_class_known': 0}


def test_boxes_in_other_coordinates_give_the_same():
    """Errors are the same in the coordinates of the crop and of the photo."""
    data, scale = samples(3), np.array([0.37, 0.36, 0.37, 0.36])
    moved = [
        dict(
            gt_label=sample['gt_label'],
            gt_bboxes=sample['gt_bboxes'] * scale - 20,
            pred_bboxes=sample['pred_bboxes'] * torch.tensor(scale) - 20,
            pred_instances=dict(
                labels=sample['pred_instances']['labels'],
                bboxes=sample['pred_instances']['bboxes'] * torch.tensor(scale) - 20,
            ),
        )
        for sample in data
    ]
    assert evaluate(data) == evaluate(moved)


def test_unreadable_images_are_errors():
    data = samples(0, per_class=True)
    for sample in data:
        sample['pred_bboxes'][sample['gt_label']] = torch.tensor(sample['gt_bboxes'][0]).double()
        sample.pop('pred_instances')
    assert evaluate(data)['localisation/error_class_known'] == 0
    data[0]['load_error'] = 'truncated'
    assert evaluate(data)['localisation/error_class_known'] == 100 / len(data)


@pytest.mark.parametrize(
    'arguments, message',
    [
        (dict(topk=0), 'topk must be positive integers, got 0'),
        (dict(topk=()), 'topk must be positive integers'),
        (dict(iou_thr=1), r'iou_thr must be in \[0, 1\), got 1'),
        (dict(iou_thr='half'), 'iou_thr must be in'),
    ],
)
def test_wrong_arguments_are_one_clear_line(arguments, message):
    with pytest.raises(ValueError, match=message):
        LocalizationError(**arguments)


@pytest.mark.parametrize('missing', ['gt_bboxes', 'pred_bboxes'])
def test_missing_boxes_are_one_clear_line(missing):
    data = samples(0)
    data[0].pop(missing)
    with pytest.raises(ValueError, match=f'a test image has no {missing}: this needs PackInputs'):
        evaluate(data)


def test_fewer_guesses_than_k():
    data = samples(0, guesses=3)
    for sample in data:
        sample['pred_score'] = torch.full((6,), 1 / 6)
    with pytest.raises(ValueError, match='error_top5 needs 5 guesses of each image, the net makes'):
        evaluate(data, topk=(1, 5))
    assert set(evaluate(data, topk=(1, 3))) >= {'localisation/error_top3'}
    for sample in data:
        sample['pred_score'] = torch.full((3,), 1 / 3)  # each class is guessed
    assert 'localisation/error_top5' in evaluate(data, topk=(1, 5))


def test_labels_beyond_the_net_and_images_without_boxes():
    data = samples(0, per_class=True)
    data[0]['gt_label'] = torch.tensor([6])
    with pytest.raises(ValueError, match='of class 6, the net has boxes for 6 classes'):
        evaluate(data)
    data = samples(0)
    data[0]['gt_bboxes'] = np.zeros((0, 4), np.float32)
    with pytest.raises(ValueError, match='a test image has no true boxes'):
        evaluate(data)
