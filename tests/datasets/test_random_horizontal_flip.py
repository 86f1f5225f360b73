"""Flips equal mmcv's, and PackInputs does not copy crops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmcv.transforms import RandomFlip
from mmpretrain.datasets.transforms import PackInputs

from vgg_mm.datasets import CentralCrop, PCAShift, RandomHorizontalFlip, ScaleJitter
from vgg_mm.datasets.transforms.resampling import from_planes, to_planes


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.sampled_from([(5, 7, 3), (4, 4, 1), (6, 3), (8, 9, 4)]),
    dtype=st.sampled_from([np.uint8, np.float32]),
    in_planes=st.booleans(),
    prob=st.sampled_from([0.0, 0.3, 0.5, 1.0]),
)
def test_draws_and_results_equal_mmcvs(seed, shape, dtype, in_planes, prob):
    rng = np.random.default_rng(seed)
    img = (255 * rng.random(shape)).astype(dtype)
    boxes = (10 * rng.random((3, 4))).astype(np.float32)
    if in_planes and img.ndim == 3:
        img = from_planes(to_planes(img))
    found, draws = [], []
    for flip in (RandomFlip(prob=prob, direction='horizontal'), RandomHorizontalFlip(prob)):
        np.random.seed(seed)
        found.append(flip(dict(img=img.copy(), gt_bboxes=boxes, img_shape=shape[:2])))
        draws.append(np.random.random_sample())
    assert draws[0] == draws[1] and found[0].keys() == found[1].keys()
    for key, value in found[0].items():
        np.testing.assert_equal(found[1][key], value, key)


@pytest.mark.parametrize('step', [ScaleJitter(64, 48), CentralCrop(64, 48)])
def test_crops_are_packed_without_a_copy(step):
    img = np.random.default_rng(0).integers(256, size=(80, 100, 3), dtype=np.uint8)
    for steps in ([], [RandomHorizontalFlip(1)], [RandomHorizontalFlip(1), PCAShift()]):
        results = dict(img=img)
        for one in (step, *steps):
            results = one(results)
        packed = PackInputs()(results)['inputs'].numpy()
        assert np.shares_memory(packed, results['img'])
        np.testing.assert_array_equal(packed, results['img'].transpose(2, 0, 1))


@pytest.mark.parametrize('prob', [-0.1, 1.1, '0.5', None])
def test_wrong_probability(prob):
    with pytest.raises(ValueError, match='prob must be in'):
        RandomHorizontalFlip(prob)
