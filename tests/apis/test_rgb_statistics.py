"""Mean and principal components compared with numpy on all pixels at once."""

import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import run_tool
from vgg_mm.apis.image_folders import find_images
from vgg_mm.apis.rgb_statistics import report, rgb_statistics
from vgg_mm.datasets.transforms.pca_shift import IMAGENET_EIGVAL, IMAGENET_EIGVEC


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**16), count=st.integers(1, 5))
def test_equals_numpy_on_all_pixels(tmp_path_factory, seed, count):
    folder = tmp_path_factory.mktemp('images')
    rng = np.random.default_rng(seed)
    pixels = []
    for i in range(count):
        shape = (*rng.integers(2, 40, 2), 3)
        rgb = np.clip(rng.normal([90, 120, 150], [50, 20, 40], shape), 0, 255).astype(np.uint8)
        rgb[..., 2] = rgb[..., 0] // 2 + rgb[..., 2] // 2
        cv2.imwrite(str(folder / f'{i}.png'), rgb[..., ::-1])
        pixels.append(rgb.reshape(-1, 3).astype(float))
    found = rgb_statistics(find_images(str(folder)))
    everything = np.concatenate(pixels)
    assert (found.images, found.pixels) == (count, len(everything))
    np.testing.assert_allclose(found.mean, everything.mean(0))
    covariance = np.cov((everything / 255).T, bias=True)
    np.testing.assert_allclose(
        found.eigvec @ np.diag(found.eigval / 255) @ found.eigvec.T, covariance, atol=1e-9
    )
    assert list(found.eigval) == sorted(found.eigval, reverse=True)
    assert (found.eigvec[np.abs(found.eigvec).argmax(0), range(3)] > 0).all()


def test_values_of_imagenet_photos_are_near_the_published_ones(real_data):
    """A hundred ImageNet photos give values near those commonly used for ImageNet."""
    found = rgb_statistics(find_images(str(real_data / 'imagenet_sample')))
    np.testing.assert_allclose(found.eigval, IMAGENET_EIGVAL, rtol=0.25)
    alignment = np.abs((found.eigvec * np.array(IMAGENET_EIGVEC)).sum(0))
    assert alignment.min() > 0.99
    np.testing.assert_allclose(found.mean, [123.68, 116.779, 103.939], atol=8)


def test_grey_images_have_one_component(digits):
    found = rgb_statistics(find_images(str(digits / 'val')))
    assert found.eigval[0] > 50 and found.eigval[1] < 1e-6
    np.testing.assert_allclose(found.eigvec[:, 0], 3**-0.5)


def test_system_folders_are_skipped(tmp_path):
    for name in ('a/1.png', 'a/.ipynb_checkpoints/1.png', '__MACOSX/a/1.png', 'a/._1.png'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert find_images(str(tmp_path)) == [str(tmp_path / 'a/1.png')]


def test_the_command(digits, tmp_path):
    done = run_tool(
        'rgb_statistics.py', digits, '--out', 'numbers.json', '--max-images', 30, cwd=tmp_path
    )
    numbers = json.loads((tmp_path / 'numbers.json').read_text())
    assert numbers['images'] == 30
    scope = {}
    exec(done.stdout.split('\n\n')[1], scope)
    assert scope['model']['data_preprocessor']['mean'] == numbers['mean']


def test_a_file_that_cannot_be_written_is_refused_at_once(tmp_path):
    with pytest.raises(ValueError, match='the file must end in .json'):
        report(str(tmp_path / 'none'), out='x.txt')
    cv2.imwrite(str(tmp_path / 'x.png'), np.full((4, 4, 3), 9, np.uint8))
    report(str(tmp_path), out=str(tmp_path / 'new' / 'x.json'))
    assert json.loads((tmp_path / 'new' / 'x.json').read_text())['images'] == 1


def test_errors_are_one_clear_line(tmp_path):
    with pytest.raises(FileNotFoundError, match='no folder .*nothing'):
        report(str(tmp_path / 'nothing'))
    with pytest.raises(ValueError, match='no images below'):
        report(str(tmp_path))
    (tmp_path / 'broken.jpg').write_text('text')
    done = run_tool('rgb_statistics.py', tmp_path, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert done.stderr.strip().startswith('error: not an image') and 'broken.jpg' in done.stderr
