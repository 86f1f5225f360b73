"""The PCA colour shift: AlexNet's formula, channel order, saturation."""

import numpy as np
import pytest
from mmpretrain.datasets.transforms import Lighting

from vgg_mm.datasets import PCAShift
from vgg_mm.datasets.transforms.pca_shift import IMAGENET_EIGVAL, IMAGENET_EIGVEC


def shifted(transform, image, seed=0):
    np.random.seed(seed)
    return transform.transform(dict(img=image.copy()))['img']


def test_equals_mmpretrains_lighting_where_nothing_saturates(photo):
    image = np.clip(photo, 60, 190).astype(np.float32)
    theirs = Lighting(IMAGENET_EIGVAL, IMAGENET_EIGVEC)
    # Lighting requires RGB images; images of this package are BGR.
    expected = shifted(theirs, image[..., ::-1])[..., ::-1]
    np.testing.assert_allclose(shifted(PCAShift(), image), expected, atol=1e-3)
    rounded = shifted(PCAShift(), image.astype(np.uint8))
    assert np.abs(rounded - np.rint(shifted(PCAShift(), np.floor(image)))).max() <= 1


def test_saturates_where_mmpretrains_lighting_wraps_around():
    dark, bright = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)
    ours, theirs = PCAShift(alphastd=0.5), Lighting(IMAGENET_EIGVAL, IMAGENET_EIGVEC, 0.5)
    wrapped = 0
    for seed in range(20):
        assert shifted(ours, dark, seed).max() < 128
        assert shifted(ours, bright, seed).min() > 128
        wrapped += shifted(theirs, dark, seed).max() > 128
    assert wrapped > 0, 'MMPretrain has fixed it: PCAShift can be removed'


def test_main_component_is_brightness():
    """The first eigenvector has one sign: all channels move together, by about 5 grey levels."""
    grey = np.full((1, 1, 3), 128, np.uint8)
    np.random.seed(0)
    moves = (
        np.array([PCAShift().transform(dict(img=grey))['img'][0, 0] for _ in range(2000)]) - 128.0
    )
    spread = moves.std(0)[::-1]
    expected = np.sqrt(((np.array(IMAGENET_EIGVEC) * IMAGENET_EIGVAL) ** 2).sum(1)) * 0.1
    np.testing.assert_allclose(spread, expected, rtol=0.08)


def test_images_of_one_channel_are_unchanged():
    image = np.zeros((4, 4), np.uint8)
    assert PCAShift().transform(dict(img=image))['img'] is image


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(eigval=(1, 2)), 'eigval must contain 3 numbers'),
        (dict(eigvec=((1, 0), (0, 1))), '3x3'),
        (dict(alphastd=-1), 'alphastd must not be negative'),
    ],
)
def test_wrong_arguments_are_one_clear_line(options, message):
    with pytest.raises(ValueError, match=message):
        PCAShift(**options)
