"""Boxes are drawn at the right places in the right colours."""

import cv2
import mmcv
import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from mmpretrain.structures import DataSample

from vgg_mm.visualization import BoxVisualizer


@pytest.fixture
def visualizer():
    made = BoxVisualizer(name='test_box_visualizer')
    made.dataset_meta = dict(classes=('cat', 'dog'))
    return made


def sample(**fields):
    made = DataSample(metainfo=dict(img_shape=(400, 600)))
    for name, value in fields.items():
        made.set_field(value, name)
    return made.set_gt_label(1)


def near(image, rgb, x, y, reach=3):
    """Whether an RGB image has a pixel of about that colour close to a position."""
    patch = image[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1]
    return (np.abs(patch.astype(int) - rgb).sum(-1) < 160).any()


GREEN, RED, ORANGE = (0, 255, 0), (255, 0, 0), (255, 165, 0)


def test_true_and_predicted_boxes_on_a_resized_photo(visualizer, tmp_path):
    """The photo is 600x400; the net's input and the picture are 480x320."""
    image = np.full((320, 480, 3), (250, 100, 30), np.uint8)  # BGR: blue
    guesses = InstanceData(
        bboxes=torch.tensor([[300.0, 100, 500, 350], [20, 20, 60, 60], [0, 0, 9, 9]]),
        labels=torch.tensor([1, 0, 0]),
        scores=torch.tensor([0.75, 0.2, 0.05]),
    )
    shown = sample(gt_bboxes=np.float32([[100, 200, 200, 300]]), pred_instances=guesses)
    shown.set_pred_score(torch.tensor([0.25, 0.75])).set_pred_label(1)
    drawn = visualizer.visualize_cls(image, shown, out_file=str(tmp_path / 'drawn.png'))
    assert drawn.shape == (320, 480, 3)
    # The background keeps its colour: BGR was converted to RGB exactly once.
    assert np.abs(drawn[315, 475].astype(int) - (30, 100, 250)).max() < 8
    for x, y in ((80, 200), (160, 200), (120, 160), (120, 240)):
        assert near(drawn, GREEN, x, y)
    reds = [near(drawn, RED, 400, y) for y in range(80, 280, 8)]
    assert any(reds) and any(near(drawn, RED, x, 80) for x in range(240, 400, 8))
    assert not near(drawn, GREEN, 400, 180) and not near(drawn, RED, 80, 200)
    written = mmcv.imread(str(tmp_path / 'drawn.png'), channel_order='rgb')
    assert np.array_equal(written, drawn)


@pytest.mark.parametrize('channels', [(90,), (250, 100, 30, 255)])
def test_grey_images_and_opacity(visualizer, channels):
    image = np.full((320, 480, len(channels)), channels, np.uint8)
    drawn = visualizer.visualize_cls(image, sample(gt_bboxes=np.float32([[0, 0, 50, 50]])))
    expected = np.broadcast_to(channels[2::-1], 3)
    assert np.abs(drawn[315, 475].astype(int) - expected).max() < 8


def test_crops_are_enlarged_and_have_the_box_of_the_true_class(visualizer):
    crop = np.zeros((96, 96, 3), np.uint8)
    shown = sample(
        gt_bboxes=np.float32([[-50, -50, 48, 48]]),  # beyond the crop
        pred_bboxes=torch.tensor([[0.0, 0, 5, 5], [48, 48, 90, 90]]),
    )
    shown.set_metainfo(dict(img_shape=(96, 96)))
    drawn = visualizer.visualize_cls(crop, shown, draw_gt=False)
    assert drawn.shape == (320, 320, 3)
    assert near(drawn, GREEN, 160, 120) and near(drawn, GREEN, 40, 160)
    assert any(near(drawn, RED, 300, y) for y in range(170, 290, 6))
    assert not any(near(drawn, RED, 16, y) for y in range(20))


def test_images_without_boxes_are_drawn_as_in_mmpretrain(visualizer):
    drawn = visualizer.visualize_cls(np.zeros((400, 600, 3), np.uint8), sample())
    assert not near(drawn, GREEN, 300, 200, reach=150)
    assert cv2.cvtColor(drawn, cv2.COLOR_RGB2GRAY).max() > 200  # the text with the true class


@pytest.mark.parametrize('count', [0, 6, 1.5])
def test_wrong_number_of_boxes_is_one_clear_line(count):
    with pytest.raises(ValueError, match='max_boxes must be 1 to 5, got'):
        BoxVisualizer(name='wrong', max_boxes=count)
