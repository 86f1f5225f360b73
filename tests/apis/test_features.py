"""Features compared with plain torch; their symmetries, files and errors."""

import os
import sys

import cv2
import numpy as np
import pytest
import torch
import torch.nn as nn
from PIL import Image, ImageOps
from torchvision.models.vgg import make_layers

from tests.apis.feature_nets import FC6, FC7, WIDTH, save_net
from tests.conftest import run_tool
from vgg_mm.apis import extract_features, load_features
from vgg_mm.apis.features.extractor import BATCH, Extractor
from vgg_mm.apis.features.files import find_photos
from vgg_mm.apis.inference.images import AHEAD, ImageReader
from vgg_mm.apis.inference.load import load_net
from vgg_mm.datasets.transforms.resampling import rescale

#: Nets A and D at this width, in torchvision's notation.
W = WIDTH
PLAIN = {
    'A': [W, 'M', 2 * W, 'M', 4 * W, 4 * W, 'M', 8 * W, 8 * W, 'M', 8 * W, 8 * W, 'M'],
    'D': [
        *(W, W, 'M', 2 * W, 2 * W, 'M', 4 * W, 4 * W, 4 * W, 'M'),
        *(8 * W, 8 * W, 8 * W, 'M', 8 * W, 8 * W, 8 * W, 'M'),
    ],
}
LAST_CONV = {'A': 'conv5_2', 'D': 'conv5_3'}


@pytest.fixture(scope='module')
def nets(tmp_path_factory):
    """arch -> (checkpoint, model)."""
    folder = tmp_path_factory.mktemp('nets')
    return {arch: (folder / f'{arch}.pth', save_net(folder / f'{arch}.pth', arch)) for arch in 'AD'}


@pytest.fixture(scope='module')
def checkpoint(nets):
    return nets['A'][0]


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
    """Smooth images of several shapes in two class folders, and one outside them."""
    rng = np.random.default_rng(1)
    root = tmp_path_factory.mktemp('photos')
    shapes = [(90, 130), (64, 64), (200, 80), (40, 33), (70, 300), (64, 64)]
    for number, (height, width) in enumerate(shapes):
        small = rng.integers(0, 256, (5, 4, 3), np.uint8)
        image = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
        name = ['cat', 'dog'][number % 2]
        (root / name).mkdir(exist_ok=True)
        cv2.imwrite(str(root / name / f'{number}.png'), image)
    cv2.imwrite(str(root / '9.png'), image[::-1])
    return root


def plain_features(model, arch, path, layer, scales, combine, flip):
    """Appendix B in plain torch, of images rescaled by the package."""
    rgb = np.array(ImageOps.exif_transpose(Image.open(path)).convert('RGB'))
    height, width = rgb.shape[:2]
    mean = model.data_preprocessor.mean.view(3, 1, 1)
    convolutions = make_layers(PLAIN[arch])
    source = [m for name, m in model.backbone.named_children() if name.startswith('conv')]
    target = [m for m in convolutions if isinstance(m, nn.Conv2d)]
    for mine, own in zip(target, source):
        mine.load_state_dict(own.state_dict())
    fc6, fc7 = nn.Conv2d(8 * W, FC6, 2), nn.Conv2d(FC6, FC7, 1)
    for mine, own in ((fc6, model.head.fc6), (fc7, model.head.fc7)):
        mine.weight.data, mine.bias.data = own.weight.data.view_as(mine.weight), own.bias.data
    layers = [*convolutions]
    if layer.startswith('conv'):
        layers = layers[:-1]  # up to the last ReLU
    if layer in ('fc6', 'fc7'):
        layers += [fc6, nn.ReLU()]
    if layer == 'fc7':
        layers += [fc7, nn.ReLU()]
    net, found = nn.Sequential(*layers).eval(), []
    for q in scales:
        size = (q, q * height // width) if width < height else (q * width // height, q)
        image = torch.tensor(rescale(rgb, size[::-1])).permute(2, 0, 1) - mean
        with torch.no_grad():
            vectors = [
                net(view[None])[0].mean(dim=(1, 2))
                for view in ([image, image.flip(-1)] if flip else [image])
            ]
        found.append(torch.stack(vectors).mean(0))
    whole = torch.cat(found) if combine == 'stack' else torch.stack(found).mean(0)
    return (whole / whole.norm()).numpy()


def assert_same(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


CASES = [
    ('A', 'fc7', [80], 'average', True),
    ('A', 'fc7', [64, 80, 112], 'average', True),
    ('D', 'fc7', [64, 80, 112], 'stack', True),
    ('D', 'fc7', [96], 'average', False),
    ('A', 'fc6', [64, 100], 'stack', False),
    ('A', 'pool5', [64, 96], 'average', True),
    ('D', 'conv', [64, 96], 'stack', True),
]


@pytest.mark.parametrize('arch, layer, scales, combine, flip', CASES)
def test_features_equal_those_of_plain_torch(
    nets, photos, tmp_path, arch, layer, scales, combine, flip
):
    checkpoint, model = nets[arch]
    layer = LAST_CONV[arch] if layer == 'conv' else layer
    options = dict(layer=layer, scales=scales, combine=combine, flip=flip)
    extract_features(photos, checkpoint, tmp_path / 'f.npz', **options)
    found = load_features(tmp_path / 'f.npz')
    assert len(found.paths) == 7
    np.testing.assert_allclose(np.linalg.norm(found.values, axis=1), 1, rtol=1e-5)
    for path, values in zip(found.paths, found.values):
        assert_same(
            values, plain_features(model, arch, photos / path, layer, scales, combine, flip)
        )
    assert np.ptp(found.values, axis=0).max() > 0.05  # images differ


def test_features_of_real_photos(nets, real_data, tmp_path):
    checkpoint, model = nets['D']
    folder = real_data / 'clothing' / 'val' / 'hat'
    scales = [64, 96]
    extract_features(folder, checkpoint, tmp_path / 'f.npz', scales=scales, combine='stack')
    found = load_features(tmp_path / 'f.npz')
    assert len(found.paths) == len(list(folder.iterdir())) and (found.labels == -1).all()
    for path, values in list(zip(found.paths, found.values))[:6]:
        assert_same(values, plain_features(model, 'D', folder / path, 'fc7', scales, 'stack', True))


def test_flip_gives_a_mirrored_photo_the_same_features(checkpoint, photo, tmp_path):
    (tmp_path / 'in').mkdir()
    cv2.imwrite(str(tmp_path / 'in' / 'a.png'), photo)
    cv2.imwrite(str(tmp_path / 'in' / 'b.png'), photo[:, ::-1])
    for flip in (True, False):
        out = tmp_path / f'{flip}.npz'
        # 150 is the photo's own smaller side: it is not resampled.
        extract_features(tmp_path / 'in', checkpoint, out, scales=[150], flip=flip)
        one, other = load_features(out).values
        assert (abs(one - other).max() < 1e-5) == flip


def test_features_do_not_depend_on_other_photos(checkpoint, photos, tmp_path):
    extract_features(photos, checkpoint, tmp_path / 'all.npz')
    together = load_features(tmp_path / 'all.npz')
    for path, values in zip(together.paths, together.values):
        alone = tmp_path / 'alone' / path.replace('/', '_')
        alone.mkdir(parents=True)
        (alone / 'x.png').write_bytes((photos / path).read_bytes())
        extract_features(alone, checkpoint, alone / 'f.npz', workers=1)
        assert_same(load_features(alone / 'f.npz').values[0], values)


def test_stacked_scales_equal_single_scales(checkpoint, photos, tmp_path):
    extract_features(photos, checkpoint, tmp_path / 's.npz', scales=[64, 96, 128], combine='stack')
    stacked = load_features(tmp_path / 's.npz').values.reshape(-1, 3, FC7)
    for place, q in enumerate((64, 96, 128)):
        extract_features(photos, checkpoint, tmp_path / f'{q}.npz', scales=[q], combine='stack')
        single = load_features(tmp_path / f'{q}.npz')
        assert single.info['combine'] == 'average'  # one scale: both are the same
        length = np.linalg.norm(stacked[:, place], axis=1, keepdims=True)
        assert_same(stacked[:, place] / length, single.values)


def test_large_images_are_computed_in_strips(checkpoint, photos, monkeypatch):
    def features(layer, max_pixels):
        extractor = Extractor(load_net(checkpoint), layer, 'average', scales=[64])
        extractor.net.max_pixels = max_pixels
        (part,) = extractor.parts([str(photos / 'cat' / '4.png')])
        return part

    for layer in ('fc7', 'pool5'):
        whole, strips = features(layer, 2**20), features(layer, 64 * 128)
        assert_same(strips.features, whole.features)
    monkeypatch.setattr('vgg_mm.apis.features.extractor.WHOLE_PIXELS', 64 * 128)
    (error,) = features('conv5_2', 2**20).errors
    assert 'rescaled to 274x64: layer conv5_2 allows at most 8,192 pixels' in error
    assert features('fc7', 2**20).errors == ['']


def test_a_layer_without_activity_gives_zeros(nets, photos, tmp_path):
    content = torch.load(nets['A'][0], weights_only=True)
    content['state_dict']['head.fc7.bias'].fill_(-1e6)
    torch.save(content, tmp_path / 'dead.pth')
    extract_features(photos, tmp_path / 'dead.pth', tmp_path / 'f.npz')
    assert (load_features(tmp_path / 'f.npz').values == 0).all()


def test_only_some_images_are_read_ahead(checkpoint, photos, monkeypatch):
    """Memory does not grow with the number of images."""
    extractor = Extractor(load_net(checkpoint), 'fc7', 'average', scales=[64])
    prepare, began = ImageReader.prepare, []
    monkeypatch.setattr(ImageReader, 'prepare', lambda *args: began.append(args) or prepare(*args))
    paths = [str(photos / '9.png')] * (6 * BATCH + 1)
    done = 0
    for part in extractor.parts(paths, workers=2):
        done += len(part.errors)
        assert len(began) <= done + (AHEAD + 1) * BATCH
    assert done == len(began) == len(paths)


def test_npz_and_parquet_have_the_same_content(checkpoint, photos, tmp_path):
    parquet = pytest.importorskip('pyarrow.parquet')
    folder = tmp_path / os.fsdecode(b'in\xff')
    (folder / 'söme [1]').mkdir(parents=True)
    image = (photos / '9.png').read_bytes()
    names = ['söme [1]/a.png', os.fsdecode(b'\xff.png'), 'söme [1]/cut.png', 'x.gif']
    for name in names:
        (folder / name).write_bytes(image[:200] if 'cut' in name else image)
    done = [extract_features(folder, checkpoint, tmp_path / f'f{e}') for e in ('.npz', '.parquet')]
    one, other = (load_features(extraction.out) for extraction in done)
    assert one._replace(values=0, labels=0) == other._replace(values=0, labels=0)
    np.testing.assert_array_equal(one.values, other.values)
    np.testing.assert_array_equal(one.labels, other.labels)
    assert done[0].broken == done[1].broken and list(done[0].broken) == ['söme [1]/cut.png']
    table = parquet.read_table(tmp_path / 'f.parquet').to_pylist()
    assert {row['path']: row['class'] for row in table} == {
        'söme [1]/a.png': 'söme [1]', r'\udcff.png': None, 'söme [1]/cut.png': 'söme [1]',
        'x.gif': None,
    }  # fmt: skip
    for row, values in zip(table, one.values):
        broken = row['path'] == 'söme [1]/cut.png'
        assert (row['features'] is None) == bool(row['error']) == np.isnan(values).all() == broken
        if not broken:
            np.testing.assert_array_equal(np.float32(row['features']), values)


@pytest.mark.parametrize(
    'files, classes',
    [
        (['a.png', 'b.png'], [None, None]),
        (['b/1.png', 'a/2.png', 'a/deep/3.png'], ['a', 'a', 'b']),
        (['train/b/1.png', 'val/a/2.png'], ['b', 'a']),
        (['train/1.png', 'cat/2.png'], ['cat', 'train']),  # not splits alone
        (['Train/1.png', 'test/x/2.png'], [None, 'x']),
        (['a/.ipynb_checkpoints/1.png', '@eaDir/2.png', 'a/3.png', '__MACOSX/a/4.png'], ['a']),
    ],
)
def test_classes_are_folders(tmp_path, files, classes):
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes(b'')
    found = find_photos(str(tmp_path))
    assert [found.classes[label] if label >= 0 else None for label in found.labels] == classes
    assert found.classes == sorted(set(classes) - {None})


def test_the_tool(checkpoint, photos, tmp_path):
    """The config is optional, options may be anywhere, broken images are listed."""
    folder = tmp_path / 'in' / 'a'
    folder.mkdir(parents=True)
    (folder / '1.png').write_bytes((photos / '9.png').read_bytes())
    (folder / 'broken.jpg').write_bytes(b'no image')
    done = run_tool(
        'extract_features.py', checkpoint, '--out', 'f.npz', '--scales', '64', '96', '--combine',
        'stack', '--', 'in', cwd=tmp_path,
    )  # fmt: skip
    assert 'f.npz: 2 images, 1 classes' in done.stdout
    assert 'Q = 64,96 (stack): 32 numbers an image' in done.stdout
    assert 'could not be read: 1\n' in done.stdout and 'broken.jpg' in done.stdout
    text = torch.load(checkpoint, weights_only=True)['meta']['cfg']
    (tmp_path / 'net.py').write_text(text)
    arguments = ['net.py', checkpoint, 'in', '--scales', '64', '96', '--out', 'g.npz']
    run_tool('extract_features.py', *arguments, '--combine', 'stack', cwd=tmp_path)
    one, other = (load_features(tmp_path / name) for name in ('f.npz', 'g.npz'))
    np.testing.assert_array_equal(one.values, other.values)
    arguments[-1] = 'h.npz'
    stopped = run_tool(
        'extract_features.py', *arguments, '--broken-images', 'stop', cwd=tmp_path, check=False
    )
    assert stopped.returncode == 1 and stopped.stderr.splitlines()[-1].startswith('error: ')
    assert 'broken.jpg' in stopped.stderr.splitlines()[-1]
    # The finished file has a broken image as well.
    with pytest.raises(ValueError, match='broken.jpg'):
        extract_features(
            tmp_path / 'in', checkpoint, tmp_path / 'g.npz', tmp_path / 'net.py',
            scales=[64, 96], combine='stack', broken_images='stop',
        )  # fmt: skip
    (folder / '1.png').unlink()
    none = run_tool(
        'extract_features.py', checkpoint, 'in', '--out', 'i.npz', cwd=tmp_path, check=False
    )
    assert none.returncode == 1 and 'could not be read: 1' in none.stdout


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(layer='fc9'), "layer: the net has no layer 'fc9' for features; available: conv1_1,"),
        (dict(layer='conv5_3'), "no layer 'conv5_3'"),
        (dict(scales=[32]), 'Q=32 is smaller than the crop; Q must be at least 64'),
        (dict(scales=[]), 'scales must be positive integers'),
        (dict(combine='sum'), "combine must be 'average' or 'stack', got 'sum'"),
        (dict(broken_images='skip'), "broken_images must be 'stop' or 'count', got 'skip'"),
        (dict(workers=0), 'must be a positive number, got 0'),
        (dict(out='f.csv'), 'the file must end in .parquet or .npz'),
        (dict(out='file/f.npz'), 'the folder file cannot be made'),
        (dict(out='folder.npz'), 'is a folder'),
        (dict(out='other.npz'), 'other.npz contains no features'),
        (dict(out='taken.npz'), 'taken.npz.parts exists and is not an unfinished extraction'),
        (dict(folder='none'), "no folder 'none'"),
        (dict(folder='empty'), "no images below 'empty'"),
        (dict(checkpoint='none.pth'), 'none.pth'),
        (dict(config='none.py'), 'config not found: none.py'),
        (dict(device='nowhere'), "device 'nowhere' cannot be used"),
    ],
)
def test_wrong_input_is_one_clear_line(checkpoint, photos, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    for folder in ('empty', 'folder.npz', 'taken.npz.parts'):
        (tmp_path / folder).mkdir()
    for file in ('file', 'other.npz', 'taken.npz.parts/notes.txt'):
        (tmp_path / file).write_text('text')
    before = sorted(tmp_path.rglob('*'))
    given = dict(folder=photos, checkpoint=checkpoint, out='f.npz')
    with pytest.raises((ValueError, OSError)) as error:
        extract_features(**{**given, **options})
    assert message in str(error.value) and '\n' not in str(error.value)
    assert sorted(tmp_path.rglob('*')) == before  # nothing is left


def test_parquet_without_its_library(checkpoint, photos, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'pyarrow.parquet', None)
    monkeypatch.setitem(sys.modules, 'pyarrow', None)
    with pytest.raises(ImportError, match="pip install pyarrow; or give out='FILE.npz'"):
        extract_features(photos, checkpoint, tmp_path / 'f.parquet')


def test_other_nets_are_rejected(nets, photos, tmp_path):
    net = load_net(nets['A'][0])
    net.model.head = nn.Identity()
    with pytest.raises(ValueError, match='a head of type vgg_mm.ConvHead, got VGG and Identity'):
        Extractor(net, 'fc7', 'average')
