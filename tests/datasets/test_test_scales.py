"""The whole image at each test scale, and the test scales of the paper."""

import numpy as np
import pytest

from vgg_mm.datasets import TestScales


def test_scales_rescale_the_whole_image(photo):
    images = TestScales((64, 96)).transform(dict(img=photo))['img']
    assert [i.shape for i in images] == [(64, 85, 3), (96, 128, 3)]


def test_strip_that_becomes_too_large_is_one_clear_line():
    strip = dict(img=np.zeros((10, 20000, 3), np.uint8), img_path='some/strip.png')
    with pytest.raises(ValueError, match='20000x10 is 512000x256 at test scale Q=256.*strip.png'):
        TestScales((32, 256)).transform(strip)
    with pytest.raises(ValueError, match=r'TestScales\(max_pixels=63\) allows: a given image'):
        TestScales(8, max_pixels=63).transform(dict(img=strip['img'][:, :10]))
    images = TestScales((8, 256), max_pixels=2**17).transform(dict(img=strip['img'][:, :10]))['img']
    assert [image.shape for image in images] == [(8, 8, 3), (256, 256, 3)]


@pytest.mark.parametrize(
    'word, trained_at, expected',
    [
        # Tables 3 and 4.
        ('one', 256, (256,)),
        ('one', 384, (384,)),
        ('one', (256, 512), (384,)),
        ('several', 256, (224, 256, 288)),
        ('several', (384, 384), (352, 384, 416)),
        ('several', (256, 512), (256, 384, 512)),
    ],
)
def test_scales_of_the_paper(word, trained_at, expected):
    assert TestScales(word, trained_at).scales == expected


def test_a_strip_is_an_error_or_marked():
    strip = np.full((1, 30_000, 3), 7, np.uint8)
    with pytest.raises(ValueError, match='30000x1 is 1920000x64 at test scale Q=64, more than'):
        TestScales((32, 64))(dict(img=strip))
    marked = TestScales((32, 64), on_error='mark')(dict(img=strip))
    assert [img.shape for img in marked['img']] == [(32, 32, 3), (64, 64, 3)]
    assert 'Q=64, more than TestScales(max_pixels=67108864) allows' in marked['load_error']
    other = TestScales((32, 64), on_error='mark')(dict(img=strip[:, :40]))
    assert 'load_error' not in other and other['img'][0].shape == (32, 1280, 3)


@pytest.mark.parametrize(
    'arguments, message',
    [
        (((),), 'scales must be positive integers'),
        (((0,),), 'scales must be positive integers'),
        (((64.5,),), 'scales must be positive integers'),
        (('many', 256), "scales must be integers, 'one' or 'several'"),
        (('one',), 'needs trained_at=S'),
        ((256, None, 0), 'max_pixels must be a positive integer'),
        ((256, None, 9, 'skip'), "on_error must be 'raise' or 'mark', got 'skip'"),
    ],
)
def test_wrong_arguments_are_one_clear_line(arguments, message):
    with pytest.raises(ValueError, match=message):
        TestScales(*arguments)
