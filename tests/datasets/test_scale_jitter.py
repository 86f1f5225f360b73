"""ScaleJitter equals rescaling and cropping, and its draws are uniform."""

import tracemalloc

import numpy as np
import pytest
from mmcv.transforms import Compose
from mmengine.dataset import worker_init_fn

from vgg_mm.datasets import ScaleJitter
from vgg_mm.datasets.transforms.resampling import rescale_crop


@pytest.mark.parametrize(
    'shape',
    [(1, 1, 3), (1, 5000, 3), (5000, 2, 3), (40, 30), (8, 8, 3), (375, 500, 4), (10, 20000, 3)],
)
def test_small_grey_tall_and_long_images(shape):
    image = np.full(shape, 77, np.uint8)
    results = ScaleJitter((256, 512)).transform(dict(img=image))
    assert results['img'].shape == (224, 224, *shape[2:])
    assert results['img_shape'] == (224, 224)
    assert (results['img'] == 77).all()


def test_crop_of_a_huge_image():
    image = np.zeros((9000, 12000, 3), np.uint8)
    image[:, 6000:] = 200
    result = rescale_crop(image, (256, 341), (10, 60), (224, 224))
    edge = np.argmax(result[0, :, 0] > 100)
    assert abs(edge + 60 - 341 / 2) <= 1


@pytest.mark.parametrize('shape', [(10, 20000, 3), (20000, 10, 3), (1, 1, 3), (1, 20000, 3)])
def test_only_the_crop_of_a_strip_is_rescaled(shape):
    """With memory for the crop only; the whole rescaled image has 512,000 x 256 pixels or more."""
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    jitter = ScaleJitter((256, 512))
    np.random.seed(0)
    size, corner = jitter._draw(*shape[:2])
    np.random.seed(0)
    tracemalloc.start()
    found = jitter.transform(dict(img=image))['img']
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20
    assert np.abs(found - bilinear(image, size, corner, 224)).max() <= 1


def bilinear(image, size, corner, length):
    """The crop by the definition of bilinear interpolation."""
    places, weights = [], []
    for source, target, start in zip(image.shape, size, corner):
        at = (start + np.arange(length) + 0.5) * source / target - 0.5
        low = np.floor(at).astype(int)
        places.append([np.clip(low + i, 0, source - 1) for i in (0, 1)])
        weights.append([1 - (at - low), at - low])
    return sum(
        image[places[0][i]][:, places[1][j]] * weights[0][i][:, None, None] * weights[1][j][:, None]
        for i in (0, 1)
        for j in (0, 1)
    )


def test_draws_are_uniform():
    jitter = ScaleJitter((64, 68), crop_size=64)
    np.random.seed(0)
    image = np.zeros((100, 200, 3), np.uint8)
    draws = [jitter._draw(*image.shape[:2]) for _ in range(4000)]
    scales = np.bincount([size[0] for size, _ in draws])[64:]
    assert len(scales) == 5 and scales.min() > 700  # 800 expected, bounds included
    for size, (top, left) in draws:
        assert 0 <= top <= size[0] - 64 and 0 <= left <= size[1] - 64
    lefts = [left / (size[1] - 64) for size, (_, left) in draws]
    assert abs(np.mean(lefts) - 0.5) < 0.02 and min(lefts) == 0 and max(lefts) == 1


def test_draws_depend_on_worker_seeds(photo):
    def crops(worker, seed):
        worker_init_fn(worker, num_workers=2, rank=0, seed=seed)
        pipeline = Compose([dict(type='vgg_mm.ScaleJitter', scale=(64, 96), crop_size=32)])
        return np.stack([pipeline(dict(img=photo))['img'] for _ in range(3)])

    assert np.array_equal(crops(0, 5), crops(0, 5))
    assert not np.array_equal(crops(0, 5), crops(1, 5))
    assert not np.array_equal(crops(0, 5), crops(0, 9))


def test_geometry_is_recorded(photo):
    results = ScaleJitter(96, crop_size=64).transform(dict(img=photo))
    assert results['scale'] == (128, 96)
    assert results['scale_factor'] == (128 / 200, 96 / 150)


@pytest.mark.parametrize(
    'scale, crop, message',
    [
        (200, 224, 'S must be at least crop_size, got S=200 and crop_size=224'),
        ((128, 512), 224, 'S=128'),
        ((512, 256), 224, 'pair'),
        ((256, 384, 512), 224, 'pair'),
        ((256.5, 512), 224, 'integer'),
        (256, 0, 'crop_size must be a positive integer'),
    ],
)
def test_wrong_arguments_are_one_clear_line(scale, crop, message):
    with pytest.raises(ValueError, match=message):
        ScaleJitter(scale, crop)
