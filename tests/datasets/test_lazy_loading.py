"""LoadImage(lazy=True): same draws, keys and errors as loading at once, nearly same pixels."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.datasets.lazy_probe import (
    crop,
    encode,
    load,
    needs_regions,
    outcome,
    photo,
    pipeline,
    undecodable,
)
from vgg_mm.datasets import CentralCrop, LoadImage
from vgg_mm.datasets.transforms import lazy_image, region_decoder
from vgg_mm.datasets.transforms.jpeg_header import read_plain_header
from vgg_mm.datasets.transforms.lazy_image import LazyImage


def saved(picture, kind='jpeg', **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def as_picture(image):
    return Image.fromarray(np.ascontiguousarray(image[..., ::-1]))


def apart(one, other):
    return np.abs(one.astype(int) - other).mean()


@settings(max_examples=80, deadline=None)
@given(
    height=st.integers(1, 400),
    width=st.integers(1, 400),
    low=st.integers(48, 200),
    seed=st.integers(0, 2**31),
    kind=st.sampled_from([{}, dict(PROGRESSIVE=1), dict(RST_INTERVAL=2), dict(QUALITY=100)]),
    grey=st.booleans(),
)
def test_draws_and_keys_equal_those_of_loading_at_once(height, width, low, seed, kind, grey):
    image = photo(height, width, seed % 100)
    content = encode(image[..., 0] if grey else image, **kind)
    boxes = np.float32([[0, 0, width / 2, height / 3]])
    found, states = [], []
    for lazy in (False, True):
        np.random.seed(seed)
        steps = pipeline(lazy, (low, low + 60))
        steps.transforms[1].min_visible = 0.5
        found.append(steps(dict(img_path='some/file', img_bytes=content, gt_bboxes=boxes)))
        states.append(np.random.random())
    at_once, lazily = found
    assert states[0] == states[1] and list(at_once) == list(lazily)
    for key in set(at_once) - {'img'}:
        assert np.array_equal(at_once[key], lazily[key]), key
    assert lazily['img'].shape == (48, 48, 3) and lazily['img'].dtype == np.uint8
    reduced = (
        min(height, width) >= 2 * low
    )  # reduced by the JPEG decoder or by means: similar, not equal
    assert apart(lazily['img'], at_once['img']) <= (3 if reduced else 1)


def test_pixels_of_many_crops_at_full_size():
    """The mean difference is below half a grey level, at any scale and place."""
    content = encode(photo(300, 400, 7), QUALITY=95)
    pairs = [[crop(content, seed, lazy, (160, 400), 128)['img'] for lazy in (0, 1)] for seed in
             range(150)]  # fmt: skip
    assert max(apart(*pair) for pair in pairs) <= 1
    assert np.mean([apart(*pair) for pair in pairs]) < 0.5


def test_scale_factors_near_one():
    """The decoded region may have as many pixels as the rescaled one."""
    content = encode(photo(154, 154, 87), QUALITY=95)
    for scale in (153, 154, 155, 156):
        for seed in range(20):
            pair = [crop(content, seed, lazy, (scale, scale), 48)['img'] for lazy in (0, 1)]
            assert apart(*pair) < 0.5


@pytest.mark.parametrize('shape', [(700, 900), (1111, 603), (2400, 1600)])
def test_reduced_pixels_are_near_those_of_loading_at_once(shape):
    rng = np.random.default_rng(0)
    noisy = np.clip(photo(*shape, 0) + rng.normal(0, 25, (*shape, 3)), 0, 255).astype(np.uint8)
    content = encode(noisy, QUALITY=95)
    for seed in range(4):
        at_once, lazily = (crop(content, seed, lazy, (64, 128), 64) for lazy in (False, True))
        assert apart(lazily['img'], at_once['img']) < 1


@needs_regions
@pytest.mark.parametrize('subsampling', [0, 1, 2])
@pytest.mark.parametrize('grey', [False, True])
def test_regions_do_not_change_pixels(monkeypatch, subsampling, grey):
    picture = as_picture(photo(333, 500, 1))
    content = saved(picture.convert('L') if grey else picture, subsampling=subsampling)
    used = []

    def counted(*args):
        used.append(region_decoder.decode_region(*args))
        return used[-1]

    def crops():
        return [crop(content, seed, True, (170, 400), 128)['img'] for seed in range(20)]

    monkeypatch.setattr(lazy_image, 'decode_region', counted)
    found = crops()
    assert len(used) == 20 and all(region is not None for region in used)
    monkeypatch.setattr(lazy_image, 'decode_region', lambda *_: None)
    assert np.array_equal(found, crops())


def exif(value, order='<', entries=1):
    """An Exif segment with the orientation as its last tag."""
    number = dict(byteorder='little' if order == '<' else 'big')
    tags = [(0x0100 + i, 3, 1, 7) for i in range(entries - 1)] + [(0x0112, 3, 1, value)]
    body = b''.join(
        tag.to_bytes(2, **number) + kind.to_bytes(2, **number) + count.to_bytes(4, **number)
        + what.to_bytes(2, **number) + b'\0\0'
        for tag, kind, count, what in tags
    )  # fmt: skip
    start = (b'II*\0' if order == '<' else b'MM\0*') + (8).to_bytes(4, **number)
    return b'Exif\0\0' + start + len(tags).to_bytes(2, **number) + body + bytes(4)


def kinds_loaded_at_once(picture):
    plain = saved(picture)
    place = plain.index(b'\xff\xc0')
    second = plain.index(b'\xff\xdb')
    app1 = exif(1)
    segment = b'\xff\xe1' + (len(app1) + 2).to_bytes(2, 'big') + app1
    return {
        'png': saved(picture, 'png'),
        'CMYK': saved(picture.convert('CMYK')),
        'RGB components': saved(picture, keep_rgb=True),
        'two Exif segments': plain[:second] + segment + segment + plain[second:],
        'half an Exif segment': saved(picture, exif=exif(1)[:16]),
        'component names': plain[: place + 10] + b'\x07' + plain[place + 11 :],
        **{f'orientation {value}': saved(picture, exif=exif(value)) for value in (0, 3, 6, 8, 9)},
        'orientation 6, big-endian': saved(picture, exif=exif(6, '>', 3)),
    }


def test_other_files_than_plain_jpegs_are_loaded_at_once():
    picture = as_picture(photo(40, 60, 0))
    for kind, content in kinds_loaded_at_once(picture).items():
        assert outcome(pipeline(True), content, 0) == outcome(pipeline(False), content, 0), kind
        try:
            expected = load(content)['img']
        except ValueError:
            continue
        found = load(content, lazy=True)['img']
        assert isinstance(found, np.ndarray) and np.array_equal(found, expected), kind


@pytest.mark.parametrize(
    'options',
    [{}, dict(progressive=True), dict(subsampling=0), dict(exif=exif(1)), dict(comment=b'words'),
     dict(exif=exif(1, '>', 4)), dict(restart_marker_rows=1), dict(icc_profile=b'x' * 70_000)],
)  # fmt: skip
def test_plain_jpegs_are_loaded_lazily(options):
    content = saved(as_picture(photo(60, 80, 0)), **options)
    results = load(content, lazy=True)
    image = results['img']
    assert isinstance(image, LazyImage)
    assert results['img_shape'] == results['ori_shape'] == image.shape[:2] == (60, 80)
    expected = load(content)['img']
    assert np.array_equal(np.asarray(image), expected) and np.array_equal(image.copy(), expected)
    assert (image.ndim, image.dtype) == (expected.ndim, expected.dtype)


def test_header():
    content = saved(as_picture(photo(30, 50, 0)))
    header = read_plain_header(content)
    assert header[:3] == (50, 30, 3) and header.single_scan
    assert content[header.scan - 3 : header.scan] == b'\0\x3f\0'
    assert not read_plain_header(saved(as_picture(photo(30, 50, 0)), progressive=True)).single_scan
    for length in range(header.scan):
        assert read_plain_header(content[:length]) is None


def test_central_crop_of_lazy_images():
    content = encode(photo(300, 400, 0))
    found = [CentralCrop(96, 64)(load(content, lazy=lazy)) for lazy in (False, True)]
    assert set(found[0]) == set(found[1]) and found[1]['img'].shape == (64, 64, 3)
    for lazy in (False, True):
        with pytest.raises(ValueError, match='not an image'):
            CentralCrop(96, 64)(load(undecodable(), lazy=lazy))


@pytest.mark.parametrize(
    'options',
    [dict(color_type='grayscale'), dict(imdecode_backend='pillow'), dict(to_float32=True)],
)
def test_wrong_arguments_are_one_clear_line(options):
    with pytest.raises(ValueError, match='LoadImage: lazy=True is for .*, got .*') as error:
        LoadImage(lazy=True, **options)
    assert '\n' not in str(error.value)


def test_images_of_one_row_and_of_one_pixel():
    for shape in [(1, 1), (1, 300), (300, 1), (2, 3)]:
        content = encode(np.full((*shape, 3), 90, np.uint8))
        for grey in (content, encode(np.full(shape, 90, np.uint8))):
            image = crop(grey, scale=(256, 300), crop_size=224)['img']
            assert image.shape == (224, 224, 3) and abs(image.astype(int) - 90).max() <= 1
