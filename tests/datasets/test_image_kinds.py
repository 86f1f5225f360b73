"""Every kind of image file gives PIL's pixels, and invalid files are rejected."""

import io
import struct
import zlib

import cv2
import mmcv
import numpy as np
import pytest
from PIL import Image, ImageOps

from vgg_mm.datasets import LoadImage
from vgg_mm.datasets.transforms.decoding import image_size, turned_upright


def load(content, **options):
    return LoadImage(**options).transform(dict(img_path='some/file', img_bytes=content))['img']


def saved(picture, kind, **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def by_pil(content):
    picture = Image.open(io.BytesIO(content))
    return np.asarray(ImageOps.exif_transpose(picture).convert('RGB'))[..., ::-1]


@pytest.fixture
def picture(photo):
    return Image.fromarray(photo[..., ::-1].copy()).resize((40, 30))


@pytest.fixture
def transparent(picture):
    """Columns from transparent to opaque, all with colours."""
    alpha = np.tile(np.linspace(0, 255, 40).astype(np.uint8), (30, 1))
    return Image.fromarray(np.dstack([np.asarray(picture), alpha]))


def kinds(picture, transparent):
    """(name, content)."""
    grey, palette = picture.convert('L'), picture.quantize(16)
    other = picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    bits = picture.convert('1')
    yield from (
        ('grey jpeg', saved(grey, 'jpeg')),
        ('mpo', saved(picture.copy(), 'mpo', save_all=True, append_images=[other.copy()])),
        ('grey png', saved(grey, 'png')),
        ('1-bit png', saved(bits, 'png')),
        ('palette png', saved(palette, 'png')),
        ('4-bit palette png', saved(palette, 'png', bits=4)),
        ('palette png, one transparent', saved(palette, 'png', transparency=3)),
        ('palette png, alphas', saved(palette, 'png', transparency=bytes(range(0, 160, 10)))),
        ('grey png, one transparent', saved(grey, 'png', transparency=128)),
        ('RGBA png', saved(transparent, 'png')),
        ('LA png', saved(transparent.convert('LA'), 'png')),
        ('RGBA webp', saved(transparent, 'webp', lossless=True)),
        ('RGBA tiff', saved(transparent, 'tiff')),
        ('LA tiff', saved(transparent.convert('LA'), 'tiff')),
        ('transparent gif', saved(palette, 'gif', transparency=3)),
        ('animated gif', saved(palette, 'gif', save_all=True, append_images=[other])),
        ('animated webp', saved(picture, 'webp', save_all=True, append_images=[other])),
        ('animated png', saved(picture, 'png', save_all=True, append_images=[other])),
        (
            'animated png with a still',
            saved(
                picture, 'png', save_all=True, append_images=[other, picture], default_image=True
            ),
        ),
        ('tiff', saved(picture, 'tiff')),
        ('lzw tiff', saved(picture, 'tiff', compression='tiff_lzw')),
        ('jpeg tiff', saved(picture.copy(), 'tiff', compression='jpeg')),
        ('palette tiff', saved(palette, 'tiff')),
        ('cmyk tiff', saved(picture.convert('CMYK'), 'tiff')),
        ('fax tiff', saved(bits, 'tiff', compression='group4')),
        ('pages of tiff', saved(picture, 'tiff', save_all=True, append_images=[other])),
        ('bmp', saved(picture, 'bmp')),
        ('palette bmp', saved(palette, 'bmp')),
        ('ppm', saved(picture, 'ppm')),
        ('jpeg 2000', saved(picture, 'jpeg2000')),
        ('1x1 jpeg', saved(picture.resize((1, 1)), 'jpeg')),
        ('1x1 png', saved(picture.resize((1, 1)), 'png')),
        ('strip', saved(picture.resize((20000, 10)), 'jpeg')),
    )


@pytest.mark.filterwarnings('ignore:Palette images with Transparency:UserWarning')
def test_pixels_equal_pils(picture, transparent):
    for name, content in kinds(picture, transparent):
        assert np.array_equal(load(content), by_pil(content)), name


def cmyk_jpegs(picture):
    adobe = saved(picture.convert('CMYK'), 'jpeg')
    place = adobe.index(b'Adobe')
    yield adobe
    yield adobe[: place + 11] + b'\x02' + adobe[place + 12 :]  # the same values, declared as YCCK
    yield adobe[: place - 4] + adobe[place + 12 :]  # without the Adobe segment


def test_cmyk_jpeg(picture):
    for content in cmyk_jpegs(picture):
        difference = np.abs(load(content).astype(int) - by_pil(content))
        assert difference.max() <= 1


@pytest.mark.parametrize('kind', ['jpeg', 'png', 'webp', 'tiff', 'avif'])
def test_all_orientations(picture, kind):
    if kind == 'avif' and 'AVIF' not in Image.registered_extensions().values():
        pytest.skip('this Pillow does not read AVIF')
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        image = load(content := saved(picture, kind, exif=exif))
        assert image.shape == ((40, 30, 3) if orientation > 4 else (30, 40, 3))
        assert np.array_equal(image, by_pil(content)), orientation


@pytest.mark.parametrize('kind', ['png', 'webp', 'tiff'])
@pytest.mark.parametrize('orientation', range(1, 9))
def test_opacity_and_pil_images_in_all_orientations(transparent, kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = saved(transparent, kind, exif=exif, lossless=True)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    assert np.array_equal(load(content, in_channels=4)[..., 3], np.asarray(expected)[..., 3])
    given = Image.open(io.BytesIO(content))
    assert np.array_equal(turned_upright(given), expected)
    assert np.array_equal(turned_upright(given), expected)  # it is not changed


def test_16_bit_images_are_reduced_to_the_high_byte():
    deep = np.random.default_rng(0).integers(0, 2**16, (30, 40, 3), dtype=np.uint16)
    for image in (deep, deep[..., 0]):
        high = (image >> 8).astype(int)
        expected = high if image.ndim == 3 else np.repeat(high[..., None], 3, axis=2)
        assert np.array_equal(load(cv2.imencode('.png', image)[1].tobytes()), expected)
        in_tiff = load(cv2.imencode('.tif', image)[1].tobytes())
        assert np.abs(in_tiff - expected).max() <= 1


@pytest.mark.parametrize('white', [15, 255, 1023, 65535])
@pytest.mark.parametrize('kind', ['P2', 'P3', 'P5', 'P6'])
def test_white_of_pgm_and_ppm_files(kind, white):
    """10 and 12 bits are common in microscopy."""
    values = np.random.default_rng(0).integers(0, white + 1, (6, 5, 3 if kind in 'P3P6' else 1))
    content = f'{kind} 5 6 {white}\n'.encode()
    if kind in ('P2', 'P3'):
        content += ' '.join(map(str, values.flatten())).encode() + b'\n'
    else:
        content += values.astype('>u2' if white > 255 else 'u1').tobytes()
    expected = values // 256 if white == 65535 else np.rint(values * 255 / white)
    assert np.abs(load(content) - np.broadcast_to(expected, (6, 5, 3))[..., ::-1]).max() <= (
        kind in ('P2', 'P3') and white == 15  # which OpenCV rounds down
    )


@pytest.mark.parametrize('color_type', ['grayscale', 'color_ignore_orientation'])
def test_white_of_pgm_files_in_every_color_type(color_type):
    content = b'P5 2 1 4095\n' + np.array([4095, 2048], '>u2').tobytes()
    img = load(content, color_type=color_type)
    assert (img.max(), img.min()) == (255, 128)


@pytest.mark.parametrize('start', [b'Pf', b'PF'])
def test_floating_point_numbers_are_one_line(start):
    content = start + b'\n2 2\n-1.0\n' + np.zeros(12, '<f4').tobytes()
    for channels in (1, 3, 4):
        with pytest.raises(ValueError, match='cannot decode image some/file: a PFM file contains'):
            load(content, in_channels=channels)


XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


@pytest.mark.parametrize('kind', ['jpeg', 'webp'])
def test_orientation_in_xmp_is_not_followed(picture, transparent, kind, tmp_path):
    """By the pixels, their opacity and the size from the header alike."""
    shown = transparent if kind == 'webp' else picture
    content = saved(shown, kind, xmp=XMP)
    assert load(content).shape == (30, 40, 3)
    assert load(content, in_channels=4).shape == (30, 40, 4)
    (tmp_path / 'a').write_bytes(content)
    assert image_size(str(tmp_path / 'a')) == (30, 40)
    assert turned_upright(Image.open(io.BytesIO(content))).size == (40, 30)


def test_opacity_is_turned_as_the_colours(transparent):
    exif = Image.Exif()
    exif[0x0112] = 6
    content = saved(transparent, 'png', exif=exif)
    turned = load(content, in_channels=4)
    assert np.array_equal(turned[..., 3], np.asarray(transparent)[::-1, :, 3].T)


def test_format_is_recognised_by_content(picture, tmp_path):
    path = tmp_path / 'photo.jpg'
    path.write_bytes(saved(picture, 'png'))
    image = LoadImage().transform(dict(img_path=str(path)))['img']
    assert np.array_equal(image, np.asarray(picture)[..., ::-1])


def test_bytes_instead_of_a_file(picture):
    content = saved(picture, 'png')
    results = LoadImage().transform(dict(img_path='train.tar::a/b.png', img_bytes=content))
    assert 'img_bytes' not in results and results['img_shape'] == (30, 40)
    with pytest.raises(ValueError, match='empty image file: train.tar::a/b.png'):
        LoadImage().transform(dict(img_path='train.tar::a/b.png', img_bytes=b''))


def test_bytes_after_a_complete_jpeg(picture):
    """As in motion photos of phones, where bytes equal to JPEG markers may follow."""
    content = saved(picture, 'jpeg')
    film = b'....ftypmp42' + b'\xff\xd9 \xff\xda \xff\xd8' + bytes(100)
    assert np.array_equal(load(content + film), load(content))


@pytest.mark.parametrize('kind', ['png', 'webp', 'gif', 'bmp', 'ppm', 'tiff', 'jpeg2000', 'avif'])
def test_half_a_file_is_one_line(picture, kind):
    if kind == 'avif' and 'AVIF' not in Image.registered_extensions().values():
        pytest.skip('this Pillow does not write AVIF')
    content = saved(picture, kind)
    with pytest.raises(ValueError, match='(cannot decode|not an) image.*some/file') as error:
        load(content[: len(content) // 2])
    assert '\n' not in str(error.value)


def test_truncated_jpeg_is_rejected_unless_it_reaches_the_last_rows(picture):
    exif = Image.Exif()
    exif[0x010E] = 'a description'
    for progressive in (False, True):
        content = saved(picture, 'jpeg', progressive=progressive, exif=exif)
        whole = load(content)
        for length in range(len(content) - 1):
            try:
                found = load(content[:length])
            except ValueError as error:
                assert 'some/file' in str(error)
                continue
            assert length > 0.9 * len(content)
            assert np.array_equal(found[:27], whole[:27])


def png_that_declares(width, height):
    def chunk(kind, data):
        return (
            struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
        )

    header = struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(bytes(99)))


def jpeg_that_declares(width, height, picture):
    content = saved(picture, 'jpeg')
    place = content.index(b'\xff\xc0') + 5
    return content[:place] + struct.pack('>HH', height, width) + content[place + 4 :]


def test_too_many_pixels_are_rejected_before_decoding(picture, monkeypatch):
    monkeypatch.setattr(mmcv, 'imfrombytes', lambda *_, **__: pytest.fail('decoded'))
    limit = Image.MAX_IMAGE_PIXELS
    for content in (png_that_declares(60000, 50000), jpeg_that_declares(60000, 50000, picture)):
        with pytest.raises(ValueError, match='^image of 60000x50000 pixels, more than .*some/file'):
            load(content)
    with pytest.raises(ValueError, match=r'40x30 pixels, more than LoadImage.max_pixels=1199.'):
        load(saved(picture, 'gif'), max_pixels=1199)
    assert limit == Image.MAX_IMAGE_PIXELS


def test_errors_of_opencv_are_one_line():
    with pytest.raises(
        ValueError, match='60000x50000 pixels are more than OpenCV allows; .*CV_IO_'
    ):
        load(png_that_declares(60000, 50000), max_pixels=2**40)
    with pytest.raises(ValueError, match='some/file: PNG file of 2000000x2 pixels, truncated'):
        load(png_that_declares(2000000, 2))


def test_100_megapixels_are_accepted():
    content = cv2.imencode('.jpg', np.zeros((10000, 10000), np.uint8))[1].tobytes()
    assert load(content).shape == (10000, 10000, 3)


@pytest.mark.parametrize('number', [0, -1, 2.5, '9'])
def test_wrong_limit(number):
    with pytest.raises(ValueError, match='max_pixels must be a positive integer'):
        LoadImage(max_pixels=number)
