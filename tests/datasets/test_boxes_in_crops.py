"""Boxes are transformed with the image by jitter, crop and flip."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmcv.transforms import Compose
from mmcv.transforms.processing import RandomFlip
from mmpretrain.datasets.transforms import PackInputs, ResizeEdge

from tests.datasets.lazy_probe import photo as smooth_photo
from vgg_mm.datasets import CentralCrop, ScaleJitter
from vgg_mm.datasets.transforms.rescale import visible_shares


def with_rectangle(size, box):
    """A black image with a white box, x1 y1 x2 y2 in whole pixels."""
    image = np.zeros((*size, 3), np.uint8)
    x1, y1, x2, y2 = box
    image[y1:y2, x1:x2] = 255
    return dict(img=image, gt_bboxes=np.float32([box]))


def rectangle_in(image):
    """Edges of the white box with sub-pixel accuracy, from the brightness of its border pixels."""
    bright = image[..., 0].astype(float) / 255
    sides = []
    for profile in (bright.max(0), bright.max(1)):
        (inside,) = np.nonzero(profile > 0.99)
        before, after = profile[: inside[0]].sum(), profile[inside[-1] + 1 :].sum()
        sides.append((inside[0] - before, inside[-1] + 1 + after))
    (x1, x2), (y1, y2) = sides
    return np.array([x1, y1, x2, y2])


boxes_in_images = st.tuples(
    st.integers(100, 400), st.integers(100, 400),
    st.tuples(*[st.floats(0.02, 0.35)] * 2), st.tuples(*[st.floats(0.6, 0.98)] * 2),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(boxes_in_images, st.integers(64, 160), st.booleans(), st.integers(0, 2**31))
def test_boxes_are_where_the_pixels_are(shape, scale, flip, seed):
    height, width, low, high = shape
    box = [round(f * s) for f, s in zip((*low, *high), (width, height) * 2)]
    pipeline = Compose(
        [ScaleJitter((scale, scale + 20), crop_size=scale), RandomFlip(prob=float(flip))]
    )
    np.random.seed(seed)
    results = pipeline(with_rectangle((height, width), box))
    found, side = results['gt_bboxes'][0], results['img'].shape[1]
    assert results['gt_bboxes'].dtype == np.float32 and side == scale
    shown = found.clip(0, side)
    if min(shown[2:] - shown[:2]) > 4:
        # Bilinear edges are blurred by half a source pixel, and by half of the crop's.
        blur = 1.0 + max(scale / min(height, width), 1)
        assert np.abs(rectangle_in(results['img']) - shown).max() < blur


@settings(max_examples=200, deadline=None)
@given(
    height=st.integers(1, 500),
    width=st.integers(1, 500),
    scale=st.integers(64, 128),
    seed=st.integers(0, 2**31),
)
def test_boxes_equal_independent_geometry(height, width, scale, seed):
    """Rescale to S with the longer side rounded down, then subtract the corner of the crop."""
    rng = np.random.default_rng(seed)
    boxes = np.float32(rng.uniform(0, 1, (3, 4)) * ([width, height] * 2))
    jitter = ScaleJitter((64, scale), crop_size=64)
    np.random.seed(seed % 2**32)
    (new_height, new_width), (top, left) = jitter._draw(height, width)
    np.random.seed(seed % 2**32)
    image = np.zeros((height, width, 3), np.uint8)
    results = jitter(dict(img=image, gt_bboxes=boxes))
    expected_size = ResizeEdge(min(new_height, new_width))(dict(img=image))['img'].shape[:2]
    assert (new_height, new_width) == expected_size
    for box, found in zip(boxes.astype(float), results['gt_bboxes']):
        corners = [(box[0], box[1]), (box[2], box[3])]
        moved = [(x * new_width / width - left, y * new_height / height - top) for x, y in corners]
        np.testing.assert_allclose(found, np.ravel(moved), rtol=1e-5, atol=1e-3)


def test_boxes_outside_the_crop_are_kept():
    boxes = np.float32([[0, 0, 400, 200], [390, 10, 399, 20]])
    image = np.zeros((200, 400, 3), np.uint8)
    results = CentralCrop(100, 50)(dict(img=image, gt_bboxes=boxes))
    # Rescaled to 200x100, minus the corner (75, 25) of the crop.
    assert results['gt_bboxes'].tolist() == [[-75, -25, 125, 75], [120, -20, 124.5, -15]]


def test_image_without_boxes(photo):
    none = dict(gt_bboxes=np.empty((0, 4), 'f4'))
    np.random.seed(0)
    plain = ScaleJitter((64, 96), 64)(dict(img=photo))
    np.random.seed(0)
    empty = ScaleJitter((64, 96), 64, min_visible=1)(dict(img=photo, **none))
    assert np.array_equal(plain['img'], empty['img']) and 'gt_bboxes' not in plain
    assert empty['gt_bboxes'].shape == (0, 4)


def test_crops_show_enough_of_a_box(photo):
    """A narrow box at the edge of a wide image, which few random crops show."""
    image = np.zeros((100, 600, 3), np.uint8)
    boxes = np.float32([[0, 0, 20, 100]])

    def shares(**kwargs):
        np.random.seed(0)
        jitter = ScaleJitter(100, crop_size=100, **kwargs)
        moved = [jitter(dict(img=image, gt_bboxes=boxes))['gt_bboxes'] for _ in range(300)]
        return np.array([visible_shares(b, 100)[0] for b in moved])

    assert (shares() >= 0.5).mean() < 0.1
    # A crop shows half of the box with probability 11/501, at least one of ten with 0.2.
    found = (shares(min_visible=0.5) >= 0.5).mean()
    assert abs(found - (1 - (1 - 11 / 501) ** 10)) < 0.08


def test_visible_shares():
    boxes = np.float32([[0, 0, 10, 10], [-10, 0, 10, 10], [-500, -500, 500, 500], [60, 0, 70, 10]])
    whole = visible_shares(boxes, 50)
    assert whole.tolist() == [1, 0.5, 1, 0]
    assert visible_shares(np.float32([[5, 5, 5, 9]]), 50).tolist() == [0]


@pytest.mark.parametrize('shape', [(375, 500), (500, 333), (64, 64), (100, 101), (40, 50)])
def test_central_crop_equals_resize_and_centre_crop(shape):
    """On a smooth image, where antialiasing makes no difference, also MMPretrain's pixels."""
    image = smooth_photo(*shape, seed=0)
    reference = Compose(
        [
            dict(type='mmpretrain.ResizeEdge', scale=64, edge='short'),
            dict(type='CenterCrop', crop_size=48),
        ]
    )(dict(img=image))
    found = CentralCrop(64, 48)(dict(img=image))
    assert np.abs(found['img'].astype(int) - reference['img']).mean() < 2
    assert found['img_shape'] == (48, 48)


def test_boxes_are_packed(photo):
    step = PackInputs(algorithm_keys=('gt_bboxes',))
    packed = step(dict(img=photo, gt_label=1, gt_bboxes=np.float32([[1, 2, 3, 4]])))
    assert packed['data_samples'].gt_bboxes.tolist() == [[1, 2, 3, 4]]


@pytest.mark.parametrize(
    'make, message',
    [
        (lambda: ScaleJitter(64, 64, min_visible=1.5), r'min_visible must be in \[0, 1\], got 1.5'),
        (lambda: ScaleJitter(64, 64, min_visible='half'), 'min_visible must be'),
        (
            lambda: ScaleJitter(64, 64, min_visible=1)(dict(img=np.zeros((64, 80, 3), np.uint8))),
            'min_visible=1 needs gt_bboxes, which the data set does not give',
        ),
        (lambda: CentralCrop((64, 96), 64), 'CentralCrop: scale must be a positive integer'),
        (lambda: CentralCrop(64, 0), 'CentralCrop: crop_size must be a positive integer, got 0'),
        (lambda: CentralCrop(64, 96), 'Q must be at least crop_size, got Q=64 and crop_size=96'),
    ],
)
def test_wrong_arguments_are_one_clear_line(make, message):
    with pytest.raises(ValueError, match=message):
        make()
