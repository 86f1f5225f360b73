"""Loading of unusual files, and one-line errors for broken ones."""

import io
import re

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mmcv.transforms import LoadImageFromFile
from mmengine.fileio import BaseStorageBackend, FileClient
from mmengine.logging import MMLogger
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from vgg_mm.datasets import LoadImage


def load(path):
    return LoadImage().transform(dict(img_path=str(path)))


@pytest.fixture
def jpeg(photo):
    return cv2.imencode('.jpg', photo)[1].tobytes()


@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.bmp'])
def test_equals_mmcv_on_good_files(tmp_path, photo, suffix):
    path = tmp_path / f'photo{suffix}'
    cv2.imwrite(str(path), photo)
    expected = LoadImageFromFile().transform(dict(img_path=str(path)))
    found = load(path)
    assert np.array_equal(found['img'], expected['img'])
    assert found['ori_shape'] == expected['ori_shape'] == (150, 200)


@pytest.mark.parametrize('mode', ['L', 'CMYK', 'RGB'])
@pytest.mark.parametrize('progressive', [False, True])
def test_grey_cmyk_and_progressive_jpeg(tmp_path, photo, mode, progressive):
    path = tmp_path / 'photo.jpg'
    Image.fromarray(photo[..., ::-1]).convert(mode).save(path, progressive=progressive)
    image = load(path)['img']
    expected = np.asarray(Image.open(path).convert('RGB'))[..., ::-1]
    assert image.shape == (150, 200, 3)
    assert np.abs(image.astype(int) - expected).mean() < 3


@pytest.mark.parametrize('share', [0.02, 0.3, 0.6, 0.9])
@pytest.mark.parametrize('with_thumbnail', [False, True])
def test_truncated_jpeg_is_rejected(tmp_path, photo, share, with_thumbnail):
    """Also with a complete JPEG thumbnail in its header, whose end marker is ignored."""
    picture = Image.fromarray(photo[..., ::-1])
    extra = {}
    if with_thumbnail:
        thumbnail = io.BytesIO()
        picture.resize((40, 30)).save(thumbnail, 'jpeg')
        segment = b'Exif\0\0' + thumbnail.getvalue()
        extra = dict(exif=segment)
    path = tmp_path / 'photo.jpg'
    picture.save(path, quality=95, **extra)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=f'(truncated JPEG|cannot be read|cannot decode).*{path}'):
        load(path)


def encode(image, kind='jpeg', mode='RGB', **options):
    file = io.BytesIO()
    Image.fromarray(image[..., ::-1]).convert(mode).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize('mode', ['RGB', 'L', 'CMYK'])
@pytest.mark.parametrize('progressive', [False, True])
@pytest.mark.parametrize('turned', [False, True])
@pytest.mark.parametrize('lazy', [False, True])
def test_jpeg_without_its_end_marker_is_used(photo, mode, progressive, turned, lazy):
    """All pixels are present, although OpenCV 5 and Pillow report an error for such files."""
    exif = Image.Exif()
    exif[0x0112] = 6 if turned else 1
    content = encode(photo, mode=mode, progressive=progressive, exif=exif)
    whole = load_bytes(content)
    for missing in (1, 2):
        found = load_bytes(content[:-missing], lazy=lazy)
        assert np.array_equal(found['img'], whole['img'])
        assert found['load_remark'] == 'its last bytes are missing, and with them no pixel'


def load_bytes(content, **options):
    return LoadImage(**options).transform(dict(img_path='a.jpg', img_bytes=content))


@given(
    size=st.tuples(st.integers(20, 400), st.integers(20, 300)),
    missing=st.integers(1, 3000),
    options=st.fixed_dictionaries(
        dict(
            progressive=st.booleans(),
            subsampling=st.integers(0, 2),
            quality=st.integers(30, 95),
            restart_marker_rows=st.integers(0, 2),
        )
    ),
)
@example(
    size=(182, 182),  # the decoder repeats chroma in the last blocks, which then look complete
    missing=408,
    options=dict(progressive=False, subsampling=2, quality=30, restart_marker_rows=0),
)
@settings(max_examples=40, deadline=None)
def test_jpeg_is_used_if_it_reaches_the_last_rows(size, missing, options):
    """A used image differs from the complete one only in the last rows that its remark names."""
    noise = np.random.default_rng(sum(size)).integers(0, 256, (*size, 3), np.uint8)
    content = encode(cv2.GaussianBlur(noise, (5, 5), 0), **options)
    try:
        found = load_bytes(content[:-missing])
    except ValueError as error:
        assert re.search('truncated JPEG|not an image|cannot decode|empty', str(error))
        assert missing > 2
        return
    rows = re.search(r'last (\d+) of (\d+) rows', found['load_remark'])
    rows = int(rows[1]) if rows else 0
    kept = slice(0, size[0] - rows - 2 * (rows > 0))  # colours are interpolated between rows
    assert rows <= min(18, size[0] / 10)
    assert np.array_equal(found['img'][kept], load_bytes(content)['img'][kept])


@pytest.mark.parametrize('tail', [bytes(40_000), b'<html>503 Service Unavailable</html>' * 999])
def test_jpeg_with_other_content_at_the_end_is_rejected(photo, tail):
    """Zeros of an interrupted download or a server's message; OpenCV would decode them."""
    content = encode(photo)
    for share in (0.5, 0.9, 1):
        with pytest.raises(ValueError, match='truncated JPEG file'):
            load_bytes(content[: int(share * len(content)) - 2] + tail)


def test_progressive_jpeg_without_its_last_scan_is_rejected(photo):
    """All its rows are present, but only coarsely."""
    content = encode(photo, progressive=True)
    with pytest.raises(ValueError, match='truncated JPEG file'):
        load_bytes(content[: content.rindex(b'\xff\xda')])


def test_png_is_used_if_no_pixel_is_missing(photo):
    content = encode(photo, 'png', pnginfo=PngInfo())
    note = b'\0\0\0\5tEXta\0bcd\1\2\3\4'  # with a wrong checksum
    end = content.rindex(b'IEND') - 4
    whole = content[:end] + note + content[end:]
    for used in (whole, whole[:-1], whole[:-12], whole[:-20], content[:-13], content[:-16]):
        assert np.array_equal(load_bytes(used)['img'], photo)
        assert ('load_remark' in load_bytes(used)) == (used is not whole)
    for refused in (content[:-25], content[:-300], content[: len(content) // 2]):
        with pytest.raises(ValueError, match='truncated, damaged'):
            load_bytes(refused)


@pytest.fixture
def log(caplog):
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    yield lambda: [record.getMessage() for record in caplog.records]
    logger.removeHandler(caplog.handler)


def test_damaged_images_that_are_used_are_counted(jpeg, log):
    step = LoadImage()
    for _ in range(2):
        for number in range(13):
            step(dict(img_path=f'{number}.jpg', img_bytes=jpeg[:-2]))
    lines = log()
    assert lines[1] == (
        'damaged image file 2, used anyway: 1.jpg: its last bytes are missing, and with them no '
        'pixel'
    )
    assert len(lines) == 11 and lines[-1].startswith('more than 10 damaged image files')


@pytest.mark.parametrize(
    'options, shape',
    [
        (dict(color_type='grayscale'), (1, 1)),
        (dict(in_channels=1), (1, 1)),
        (dict(in_channels=4), (1, 1, 4)),
    ],
)
def test_marked_images_have_the_channels_of_others(options, shape, tmp_path):
    found = LoadImage(on_error='mark', **options)(dict(img_path=str(tmp_path / 'missing.jpg')))
    assert found['img'].shape == shape and 'not found' in found['load_error']


@pytest.mark.parametrize('channels', [1, 3, 4])
def test_channels_of_an_image_that_is_read_already(channels, photo):
    """MMPretrain's inferencers hand it over as (H, W, 3)."""
    found = LoadImage(in_channels=channels)(dict(img=photo))['img']
    assert found.shape == (photo.shape[:2] if channels == 1 else (*photo.shape[:2], channels))


def test_ignore_empty_leaves_out_images(tmp_path, jpeg, log):
    (tmp_path / 'broken.jpg').write_bytes(jpeg[: len(jpeg) // 2])
    for name in ('broken.jpg', 'missing.jpg'):
        results = dict(img_path=str(tmp_path / name))
        assert LoadImage(ignore_empty=True)(results) is None
    assert [line.split(':')[0] for line in log()] == ['left out'] * 2
    with pytest.raises(ValueError, match="on_error='mark' does not: set one"):
        LoadImage(ignore_empty=True, on_error='mark')
    with pytest.raises(ValueError, match="skipped_file is for on_error='skip', got .*'raise'"):
        LoadImage(skipped_file='skipped.txt')


def test_file_client_args(tmp_path, jpeg):
    class Constant(BaseStorageBackend):
        def get(self, path):
            return jpeg

        def get_text(self, path):
            raise NotImplementedError

    FileClient.register_backend('constant', Constant, force=True)
    with pytest.warns(DeprecationWarning):
        step = LoadImage(file_client_args=dict(backend='constant'))
    assert step(dict(img_path='nowhere.jpg'))['img_shape'] == (150, 200)


def test_bytes_after_the_end_marker_are_ignored(tmp_path, jpeg):
    path = tmp_path / 'photo.jpg'
    path.write_bytes(jpeg + b'\0' * 100)
    assert np.array_equal(load(path)['img'], cv2.imdecode(np.frombuffer(jpeg, np.uint8), 1))


@pytest.mark.parametrize(
    'content, message',
    [
        (b'', 'empty image file'),
        (b'This is text, whatever its name says.', 'not an image'),
        (b'\xff\xd8' + bytes(50), 'not an image'),
    ],
)
def test_other_content_is_one_clear_line(tmp_path, content, message):
    path = tmp_path / 'photo.jpg'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f'{message}.*{path}') as error:
        load(path)
    assert '\n' not in str(error.value)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match='image not found: .*nothing.jpg'):
        load(tmp_path / 'nothing.jpg')
