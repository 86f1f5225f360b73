"""Resampling is the same in training and testing, and close to Pillow's."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mmcv.transforms import Compose
from PIL import Image

from tests.datasets.lazy_probe import encode, photo
from vgg_mm.datasets import CentralCrop, LoadImage, ScaleJitter, TestScales
from vgg_mm.datasets.transforms.resampling import rescale, rescale_crop
from vgg_mm.datasets.transforms.rescale import rescaled_size

KINDS = ('photo', 'noise', 'grey', 'float')


def picture(height, width, kind, seed=0):
    if kind == 'noise':
        return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    image = photo(height, width, seed)
    return dict(photo=image, grey=image[..., 0].copy(), float=image.astype(np.float32))[kind]


def by_pillow(image, size):
    resized = Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR)
    return np.asarray(resized).astype(float)


def apart(one, other):
    return float(np.abs(np.asarray(one, float) - other).mean())


def sharpness(image):
    return cv2.Laplacian(np.ascontiguousarray(image).astype(np.float64), cv2.CV_64F).std()


@settings(max_examples=50, deadline=None)
@given(
    height=st.integers(1, 700),
    width=st.integers(1, 700),
    scale=st.integers(32, 300),
    crop=st.tuples(st.integers(1, 32), st.integers(1, 32)),
    place=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    kind=st.sampled_from(KINDS),
)
def test_crop_is_a_part_of_the_whole_image(height, width, scale, crop, place, kind):
    """Up to 1/32 source pixel, which between a black and a white pixel is 8 grey levels."""
    image = picture(height, width, kind)
    size = rescaled_size(height, width, scale)
    if size[0] * size[1] > 10**6:
        return
    top, left = (round(f * (side - c)) for f, side, c in zip(place, size, crop))
    expected = rescale(image, size)[top : top + crop[0], left : left + crop[1]].astype(float)
    found = rescale_crop(image, size, (top, left), crop)
    assert found.dtype == image.dtype and found.shape == expected.shape
    assert np.abs(found - expected).max() <= (10 if kind == 'noise' else 2)


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(20, 900),
    width=st.integers(20, 900),
    low=st.integers(48, 160),
    seed=st.integers(0, 2**31),
    lazy=st.tuples(st.booleans(), st.booleans()),
    quality=st.integers(80, 100),
)
@example(height=184, width=184, low=48, seed=0, lazy=(False, True), quality=96)
def test_training_sees_the_pixels_of_testing(height, width, low, seed, lazy, quality):
    """For all sizes, whether either decodes only what it needs (lazy) or the whole image.

    If only one is lazy, the reduction by the JPEG decoder differs a little from the filter:
    sharpness differs by 10 %, in some small images by 25 % (without antialiasing: 100 %).
    """
    alike = lazy[0] == lazy[1]
    image = photo(height, width, seed % 50)
    noise = np.random.default_rng(seed).integers(-10, 10, image.shape)
    content = encode(np.clip(image + noise, 0, 255).astype(np.uint8), QUALITY=quality)
    np.random.seed(seed)
    jitter = ScaleJitter((low, low + 60), 48)
    training = Compose([LoadImage(lazy=lazy[0]), jitter])
    crop = training(dict(img_path='x', img_bytes=content))
    scale = min(crop['scale'])
    testing = Compose([LoadImage(lazy=lazy[1]), TestScales(scale)])
    whole = testing(dict(img_path='x', img_bytes=content))['img'][0]
    np.random.seed(seed)
    size, (top, left) = jitter._draw(height, width)
    part = whole[top : top + 48, left : left + 48]
    assert size == whole.shape[:2]
    assert apart(crop['img'], part) < (1 if alike else 1.5)
    if min(height, width) > scale:
        assert sharpness(crop['img']) == pytest.approx(sharpness(part), rel=0.05 if alike else 0.35)


@pytest.mark.parametrize('lazy', [False, True])
def test_central_crops_and_whole_images_have_the_same_pixels(lazy):
    content = encode(photo(777, 1003, 3), QUALITY=95)

    def through(step):
        return step(LoadImage(lazy=lazy)(dict(img_path='x', img_bytes=content)))['img']

    crop, (whole, _) = through(CentralCrop(100, 64)), through(TestScales((100, 333)))
    assert whole.shape == (100, 129, 3)
    assert apart(crop, whole[18:82, 32:96]) < 0.5


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(100, 900),
    width=st.integers(100, 900),
    factor=st.floats(1, 9),
    kind=st.sampled_from(['photo', 'noise']),
    seed=st.integers(0, 99),
)
def test_smaller_images_are_antialiased_as_pillows(height, width, factor, kind, seed):
    image = picture(height, width, kind, seed)
    if kind == 'noise':  # as sharp as the sharpest photos
        image = cv2.GaussianBlur(image, (3, 3), 0.5)
    scale = max(48, round(min(height, width) / factor))
    size = rescaled_size(height, width, scale)
    found, expected = rescale(image, size), by_pillow(image, size)
    aliased = cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)
    middle = (slice(2, -2), slice(2, -2))
    if kind == 'photo':  # for noise, means just above factors of 2 and 4 are sharper
        assert abs(sharpness(found[middle]) / sharpness(expected[middle]) - 1) < 0.3
    assert apart(found, expected) <= apart(aliased, expected) + 0.3


@pytest.mark.parametrize('factor', [1.9, 2.2, 3.1, 3.9, 5, 13])
def test_fine_stripes_vanish(factor):
    """Stripes of one pixel become grey; without antialiasing they become broad stripes."""
    image = np.zeros((400, 600, 3), np.uint8)
    image[:, ::2] = 255
    size = tuple(round(side / factor) for side in image.shape[:2])
    smooth, aliased = rescale(image, size)[2:-2, 2:-2], cv2.resize(image, size[::-1])[2:-2, 2:-2]
    assert abs(smooth.mean() - 127.5) < 2
    assert smooth.std() < 10 and aliased.std() > 50


@settings(max_examples=20, deadline=None)
@given(
    height=st.integers(1, 80), width=st.integers(1, 80), factor=st.floats(1, 6), seed=st.integers(0)
)
def test_larger_images_are_bilinear(height, width, factor, seed):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    size = tuple(round(factor * side) for side in (height, width))
    planes = torch.from_numpy(image).permute(2, 0, 1)[None].double()
    expected = torch.nn.functional.interpolate(planes, size, mode='bilinear')[0].permute(1, 2, 0)
    assert np.abs(rescale(image, size) - expected.numpy()).max() <= 1


@pytest.mark.parametrize('shape', [(1, 1, 3), (1, 4000), (4000, 3, 3), (977, 1301, 4), (2, 2, 1)])
def test_constant_images_of_unusual_shapes_stay_constant(shape):
    image = np.full(shape, 250, np.uint8)
    for scale in (1, 3, 7, 100, *range(500, 970, 13)):
        size = rescaled_size(*shape[:2], scale)
        if size[0] * size[1] < 10**6:
            assert (rescale(image, size) == 250).all()
