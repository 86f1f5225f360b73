"""Loading: right on odd files, one clear line on broken ones."""

import io

import cv2
import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from PIL import Image

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


@pytest.mark.parametrize('share', [0.02, 0.3, 0.6, 0.99])
@pytest.mark.parametrize('with_thumbnail', [False, True])
def test_truncated_jpeg_is_refused(tmp_path, photo, share, with_thumbnail):
    """Also with a whole JPEG thumbnail in its header, whose end marker means nothing."""
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


def test_bytes_after_the_end_marker_do_no_harm(tmp_path, jpeg):
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
