"""Prediction compared with tools/test.py, MMPretrain and mmengine; errors of users."""

import csv
import json
import os
import shutil
from keyword import iskeyword
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
import torch.nn as nn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmengine.config import Config
from PIL import Image

from tests.conftest import A_DIGITS, ROOT, run_tool
from vgg_mm.apis import VGGInferencer, predict
from vgg_mm.apis.inference import load_predictor, predict_files, report
from vgg_mm.apis.inference.checkpoint_config import checkpoint_config
from vgg_mm.apis.inference.images import expand_source, picture_paths
from vgg_mm.apis.inference.load import build_model
from vgg_mm.apis.inference.predictor import Predictor
from vgg_mm.checkpoints import parse_config_text
from vgg_mm.evaluation.posteriors import load_posteriors

PROTOCOLS = {
    'dense': 'dense',
    'multi_crop': 'multi_crop',
    'dense_multi_crop': 'dense+multi_crop',
}

CLASSES = tuple('0123456789')


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """A narrow net A for digits with random weights, in a file like that of mmengine's runner."""
    torch.manual_seed(0)
    cfg = Config.fromfile(A_DIGITS)
    cfg.model.backbone.base_channels = 4
    cfg.model.head.update(in_channels=32, fc_channels=16)
    model = build_model(cfg)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=(2 / max(1, parameter[0].numel())) ** 0.5)
    # Small scores: posteriors differ between images, and rounding errors stay small.
    model.head.fc8.weight.data *= 0.05
    path = tmp_path_factory.mktemp('net') / 'epoch_1.pth'
    save(path, model.state_dict(), cfg.pretty_text)
    return path


def save(path, weights, text, **meta):
    meta = dict(meta, dataset_meta=dict(classes=CLASSES))
    if text is not None:
        meta['cfg'] = text
    torch.save(dict(state_dict=weights, meta=meta), path)
    return path


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Images of several shapes in class folders, which tools/test.py also needs."""
    rng = np.random.default_rng(1)
    root = tmp_path_factory.mktemp('photos')
    shapes = [(90, 130), (64, 64), (200, 80), (40, 33), (70, 300)]
    for label in range(10):
        (root / 'val' / str(label)).mkdir(parents=True)
        for shape in shapes[label % 5 : label % 5 + 1]:
            small = rng.integers(0, 256, (5, 4, 3), np.uint8)
            image = cv2.resize(small, shape[::-1], interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(root / 'val' / str(label) / f'{label}.png'), image)
    return root


def with_defaults(function, *args, **kwargs):
    return function(*args, **{'top': 5, 'heatmap': None, 'shown_class': None, **kwargs})


@pytest.mark.parametrize('name', PROTOCOLS)
def test_posteriors_equal_those_of_the_test_tool(checkpoint, folder, tmp_path, name):
    run_tool(
        'test.py', A_DIGITS, checkpoint, '--tta-cfg', name, '--out', 'p.npz', '--work-dir', 'w',
        '--cfg-options', f'DATA_ROOT={folder}', 'model.backbone.base_channels=4',
        'model.head.in_channels=32', 'model.head.fc_channels=16',
        'test_dataloader.num_workers=0',
        cwd=tmp_path,
    )  # fmt: skip
    expected = load_posteriors(tmp_path / 'p.npz')
    protocol = PROTOCOLS[name]
    found = {
        os.path.relpath(p.image, folder / 'val'): p.posterior
        for p in predict(folder / 'val', checkpoint, protocol=protocol)
    }
    assert sorted(found) == sorted(expected.names)
    for image, posterior in zip(expected.names, expected.scores[protocol]):
        np.testing.assert_allclose(found[image], posterior, atol=1e-5)
    assert np.ptp([p.max() for p in found.values()]) > 0.01  # images differ


def test_one_image_as_path_array_and_pil(checkpoint, folder):
    path = folder / 'val' / '3' / '3.png'
    bgr = cv2.imread(str(path))
    given = [path, bgr, Image.open(path)]
    by_path, by_array, by_pil = predict(given, str(checkpoint))
    (by_rgb,) = predict(bgr[..., ::-1], checkpoint, channel_order='rgb')
    (wrong_order,) = predict(bgr, checkpoint, channel_order='rgb')
    for other in (by_array, by_pil, by_rgb):
        np.testing.assert_allclose(other.posterior, by_path.posterior, rtol=1e-4, atol=1e-8)
    assert abs(wrong_order.posterior - by_path.posterior).max() > 1e-4
    assert (by_path.image, by_array.image) == (str(path), 'image 1')
    assert by_path.scores == sorted(by_path.posterior.tolist(), reverse=True)[:5]
    assert by_path.classes == [CLASSES[label] for label in by_path.labels]
    assert by_path._repr_png_() is None
    bad = predict([bgr.astype(float), bgr[..., 0]], checkpoint)
    height, width = bgr.shape[:2]
    assert [p.error.partition(', got ')[::2] for p in bad] == [
        ('image 0: an image as an array is uint8 (H, W, 3)', f'float64 ({height}, {width}, 3)'),
        ('image 1: an image as an array is uint8 (H, W, 3)', f'uint8 ({height}, {width})'),
    ]


def test_grid_of_a_config_and_lazy_images(checkpoint, folder, tmp_path):
    """The grid affects multi-crop, not dense evaluation; lazy loading keeps the whole photo."""
    saved = torch.load(checkpoint, weights_only=False)
    cfg = Config.fromstring(saved['meta']['cfg'], '.py')
    cfg.tta_model.grid, cfg.tta_pipeline[0]['lazy'] = 2, True
    path = save(tmp_path / 'net.pth', saved['state_dict'], cfg.pretty_text)
    image = folder / 'val' / '3' / '3.png'
    (dense,) = predict(image, path, score_maps=True)
    (plain,) = predict(image, checkpoint, score_maps=True)
    np.testing.assert_allclose(dense.posterior, plain.posterior, atol=1e-6)
    assert np.array_equal(dense.photo, plain.photo)
    (crops,) = predict(image, path, protocol='multi_crop')
    (more,) = predict(image, checkpoint, protocol='multi_crop')
    assert abs(crops.posterior - more.posterior).max() > 1e-6


def test_inferencer_returns_mmpretrains_results(checkpoint, folder, tmp_path):
    source = tmp_path / 'in'
    (source / 'sub').mkdir(parents=True)
    for name in ('0', '2'):
        (source / 'sub' / f'{name}.png').write_bytes(
            (folder / 'val' / name / f'{name}.png').read_bytes()
        )
    (source / 'sub' / '1.png').write_bytes(b'no image')
    inferencer = VGGInferencer(pretrained=checkpoint, protocol='multi_crop')
    results = inferencer(str(source), batch_size=2, show_dir=str(tmp_path / 'out'))
    expected = predict(source, checkpoint, protocol='multi_crop')
    for result, p in zip([results[0], results[2]], [expected[0], expected[2]]):
        assert result.keys() == {'pred_scores', 'pred_label', 'pred_score', 'pred_class'}
        np.testing.assert_allclose(result['pred_scores'], p.posterior, atol=1e-5)
        assert (result['pred_label'], result['pred_class']) == (p.labels[0], p.classes[0])
    assert results[1] == dict(error=expected[1].error) and '1.png' in expected[1].error
    assert sorted(os.listdir(tmp_path / 'out')) == ['0.png', '2.png']
    array = cv2.imread(str(source / 'sub' / '0.png'))
    (sample,) = inferencer(array, return_datasamples=True)
    np.testing.assert_allclose(sample.pred_score, expected[0].posterior, atol=1e-5)


def test_the_tool_on_a_folder_with_broken_images(checkpoint, folder, tmp_path):
    source = tmp_path / 'photos [1]'
    (source / 'söb').mkdir(parents=True)
    image = (folder / 'val' / '0' / '0.png').read_bytes()
    for name in ('frame_10.png', 'frame_9.png', 'söb/a b*.png', '.hidden.png'):
        (source / name).write_bytes(image)
    (source / 'cut.png').write_bytes(image[: len(image) // 2])
    (source / os.fsdecode(b'\xff\n.jpg')).write_bytes(b'')
    (source / 'notes.txt').write_text('no image')
    cv2.imwrite(str(source / 'strip.png'), np.zeros((1, 60_000, 3), np.uint8))
    arguments = ['predict.py', source, checkpoint, '--heatmap', source / 'maps', '--top', '20']
    done = run_tool(*arguments, '--out', tmp_path / 'new' / 'r.csv', cwd=tmp_path)
    again = run_tool(*arguments, '--out', 'r.json', cwd=tmp_path)
    assert again.stdout.replace('r.json', str(tmp_path / 'new' / 'r.csv')) == done.stdout
    order = ['cut.png', 'frame_9.png', 'frame_10.png', 'strip.png', 'söb/a b*.png']
    with open(tmp_path / 'new' / 'r.csv', newline='', encoding='utf-8') as file:
        rows = list(csv.DictReader(file))
    entries = json.loads((tmp_path / 'r.json').read_text(encoding='utf-8'))['predictions']
    names = [os.path.relpath(row['image'], source) for row in rows]
    assert [name for name in names if name.isprintable()] == order
    broken = {n: row['error'] for n, row in zip(names, rows) if row['error']}
    assert broken.keys() == {*names} - {*order[1:3], order[4]}
    assert 'truncated' in broken['cut.png'] and 'Q=' in broken['strip.png']
    for row, entry in zip(rows, entries):
        assert row['error'] == entry.get('error', '').encode('utf-8', 'backslashreplace').decode()
        assert row['picture'] == entry.get('picture', '')
        if not row['error']:
            assert len(entry['top']) == 10 and row['class_10'] == entry['top'][9]['class']
            assert float(row['score_1']) == entry['top'][0]['score']
            assert cv2.imread(row['picture']).shape[1] > 600
    assert {os.fsencode(e['image'])[-6:] for e in entries if 'error' in e} >= {b'\xff\n.jpg'}
    assert 'could not be read: 3' in done.stdout and r'\udcff\n.jpg' in done.stdout
    assert (source / 'maps' / 'söb' / 'a b*.png').is_file()


def test_exit_status_is_1_if_no_image_can_be_read(checkpoint, tmp_path):
    (tmp_path / 'a.png').write_bytes(b'no image')
    done = run_tool('predict.py', 'a.png', checkpoint, '--out', 'r.json', cwd=tmp_path, check=False)
    assert done.returncode == 1 and 'could not be read: 1' in done.stdout
    assert json.loads((tmp_path / 'r.json').read_text())['predictions'][0]['error']


def test_results_before_ctrl_c_are_kept(checkpoint, folder, tmp_path, monkeypatch, capsys):
    evaluate, seen = Predictor.evaluate, []

    def stop_at_the_third(self, batch):
        seen.append(batch)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return evaluate(self, batch)

    monkeypatch.setattr(Predictor, 'evaluate', stop_at_the_third)
    out = tmp_path / 'r.json'
    with pytest.raises(KeyboardInterrupt):
        with_defaults(predict_files, [str(folder)], str(checkpoint), str(out))
    written = json.loads(out.read_text())
    assert len(written['predictions']) == 8 and not written['complete']
    assert '8 of 10 images' in capsys.readouterr().out


@pytest.mark.parametrize('ending', ['csv', 'json'])
def test_results_are_saved_at_intervals(checkpoint, folder, tmp_path, monkeypatch, ending):
    out = tmp_path / f'r.{ending}'
    evaluate, left_by_kills = Predictor.evaluate, []
    seconds = 0

    def look_first(self, batch):
        nonlocal seconds
        seconds += report.SAVE_EVERY
        left_by_kills.append(out.read_text() if out.exists() else '')
        return evaluate(self, batch)

    monkeypatch.setattr(report, 'time', SimpleNamespace(monotonic=lambda: seconds))
    monkeypatch.setattr(Predictor, 'evaluate', look_first)
    with_defaults(predict_files, [str(folder)], str(checkpoint), str(out))
    assert [text.count('.png') for text in left_by_kills] == [0, 1, 5]
    assert out.read_text().count('.png') == 10
    if ending == 'json':
        assert not json.loads(left_by_kills[-1])['complete']
        assert json.loads(out.read_text())['complete']


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(protocol='denes'), "unknown protocol 'denes'; choose among dense, multi_crop"),
        (dict(top=0), 'must be a positive number of classes, got 0'),
        (dict(top=True), 'must be a positive number of classes, got True'),
        (dict(scales=True), 'scales must be positive integers, got True'),
        (dict(scales='96'), "scales must be positive integers, got '96'"),
        (dict(scales=[32]), 'Q=32 is smaller than the crop; Q must be at least 64'),
        (dict(shown_class='1'), "shown_class='1' is for pictures: give heatmap='FOLDER'"),
        (dict(shown_class='x', heatmap='maps'), "the net has no class 'x'; available: 0, 1, 2, "),
        (dict(config='none.py'), 'config not found: none.py'),
        (dict(config=str(ROOT / 'configs/vgg/vgg16_jitter_digits.py')), 'is of another net'),
        (dict(device='nowhere'), "device 'nowhere' cannot be used"),
        (dict(out='r.txt'), 'the file must end in .csv or .json'),
        (dict(out='.csv/r.csv'), 'the folder .csv cannot be made: File exists'),
        (dict(heatmap='.csv'), 'heatmap: the folder .csv cannot be made: File exists'),
        (dict(out='folder.csv'), 'is a folder'),
    ],
)
def test_wrong_options_are_one_clear_line(
    checkpoint, folder, tmp_path, monkeypatch, options, message
):
    monkeypatch.chdir(tmp_path)
    Path('.csv').touch()
    Path('folder.csv').mkdir()
    with pytest.raises((ValueError, OSError)) as error:
        with_defaults(predict_files, [str(folder)], str(checkpoint), **options)
    assert message in str(error.value) and '\n' not in str(error.value)


def test_results_name_the_checkpoint(checkpoint, folder, tmp_path):
    """Of a run's folder the one that was used, since more may be trained."""
    run = tmp_path / 'run'
    run.mkdir()
    shutil.copy(checkpoint, run / 'epoch_3.pth')
    with_defaults(predict_files, [str(folder)], str(run), out=str(tmp_path / 'r.json'))
    content = json.loads((tmp_path / 'r.json').read_text())
    assert content['checkpoint'] == str(run / 'epoch_3.pth')


def test_pil_images_of_16_bits(checkpoint, tmp_path):
    deep = np.random.default_rng(0).integers(0, 2**16, (80, 90), dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / 'deep.png')
    image = Image.open(tmp_path / 'deep.png')
    assert image.mode.startswith('I')
    # The same image several times: it is decoded once, not by several threads at a time.
    first, *others = predict([tmp_path / 'deep.png', *[image] * 6], checkpoint, score_maps=True)
    for other in others:
        assert np.array_equal(other.photo, first.photo)
    floats = Image.fromarray(np.float32(deep))
    (broken,) = predict(floats, checkpoint)
    assert broken.error == (
        'image 0: a PIL image of floating-point numbers: black and white are unknown'
    )


def test_servers_that_answer_nonsense_are_images_that_cannot_be_read(checkpoint):
    (broken,) = predict('http://127.0.0.1/a photo.jpg', checkpoint)
    assert broken.error.startswith('http://127.0.0.1/a photo.jpg: InvalidURL: ')


def test_files_of_a_source(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    of_systems = ('d/@eaDir/x.png', '__MACOSX/d/x.png', 'd/.ipynb_checkpoints/x-checkpoint.png')
    for name in ('f10.jpg', 'f9.JPG', 'd/x.png', 'd/e/y.webp', 'd/.z.png', 'd/n.txt', '[a]*.jpg'):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    for name in of_systems:
        Path(name).parent.mkdir(parents=True)
        Path(name).touch()
    assert expand_source('[a]*.jpg') == ['[a]*.jpg']
    assert expand_source('f*') == ['f9.JPG', 'f10.jpg']
    assert expand_source('d') == ['d/e/y.webp', 'd/x.png']
    assert expand_source('d/*') == ['d/e/y.webp', 'd/x.png']  # includes the folder d/e
    assert expand_source('d/*.txt') == ['d/n.txt']
    assert expand_source('**/*.png') == ['d/x.png']
    assert expand_source('.', outside='d/e') == ['./[a]*.jpg', './d/x.png', './f9.JPG', './f10.jpg']
    assert expand_source('d/n.txt') == ['d/n.txt']
    assert (
        expand_source('d/@eaDir') == expand_source('d/@eaDir/*') == ['d/@eaDir/x.png']
    )  # given explicitly
    assert picture_paths(['d/x.png', 'd/e/y.webp'], 'o') == ['o/x.png', 'o/e/y.png']
    assert picture_paths(['d/x.png', 'd/x.jpg'], 'o') == ['o/x.png.png', 'o/x.jpg.png']
    # No picture overwrites another one or an image, not even one that is not evaluated.
    names = ['d/x.jpg', 'd/x.png', 'd/x.jpg.png']
    assert picture_paths(names, 'o') == [f'o/{name[2:]}.png' for name in names]
    assert picture_paths(['d/x.png', 'd/y.jpg'], 'd') == ['d/x.png.png', 'd/y.jpg.png']
    assert picture_paths(['d/e/y.webp'], 'd') == ['d/y.webp.png']
    with pytest.raises(ValueError, match="^heatmap='d': all images of 'd/e' are in this folder"):
        expand_source('d/e', outside='d')
    with pytest.raises(ValueError, match='^heatmap: the picture d/e/y.png would overwrite one of'):
        picture_paths(['d/y.png', 'd/e/y.png'], 'd/e')
    Path(picture_paths([255 * 'a'], '.')[0]).touch()
    for nothing, reason in (('none.jpg', 'no file, no folder'), ('*.gif', 'matches no image')):
        with pytest.raises(FileNotFoundError, match=f'no image found: .*{reason}'):
            expand_source(nothing)
    Path('empty').mkdir()
    with pytest.raises(ValueError, match="no images below 'empty'"):
        expand_source('empty')
    with pytest.raises(TypeError, match='a path or an array, got a int'):
        predict([1], 'x.pth')


@pytest.mark.parametrize('path', sorted((ROOT / 'configs/vgg').glob('*_s256_*.py')) + [A_DIGITS])
def test_text_of_a_config_is_parsed_as_by_mmengine(path):
    cfg = Config.fromfile(path)
    expected = Config.fromstring(cfg.pretty_text, '.py').to_dict()
    assert parse_config_text(cfg.pretty_text) == expected
    assert checkpoint_config(cfg.pretty_text).model.head.type == 'vgg_mm.ConvHead'


#: mmengine's text of keys with quotes, or that are Python keywords, is not valid Python.
KEYS = st.text('abc_.-: 1é猫', min_size=1, max_size=6).filter(lambda key: not iskeyword(key))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False)
    | st.text(st.characters(blacklist_categories=['Cs']), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple)
    | st.dictionaries(KEYS | st.integers(-3, 99), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(['model', 'a', 'b_1']), VALUES, min_size=1))
def test_any_values_are_parsed_from_mmengines_text(content):
    cfg = Config(content)
    for text in (cfg.pretty_text, Config(content, format_python_code=False).pretty_text):
        found = parse_config_text(text)
        assert found == content and repr(sort(found)) == repr(sort(content))  # types, too


def sort(value):
    if isinstance(value, dict):
        return {key: sort(value[key]) for key in sorted(value, key=str)}
    return type(value)(map(sort, value)) if isinstance(value, (list, tuple)) else value


def test_values_that_mmengine_writes_by_name():
    values = dict(a=[float('-inf'), np.float64(0.5)], c={1}, d=1e-30)
    expected = dict(a=[float('-inf'), 0.5], c={1}, d=1e-30)
    assert parse_config_text(Config(values).pretty_text) == expected


def test_classes_that_mmengine_writes_by_name():
    cfg = Config(dict(b=[nn.ReLU, int]))
    try:
        text = cfg.pretty_text
    except SyntaxError:
        pytest.skip("OpenMMLab's mmengine cannot write a config with classes in a list")
    assert parse_config_text(text) == dict(b=['torch.nn.modules.activation.ReLU', 'int'])


PURE_PYTHON = """
from mmengine.config import read_base
from mmpretrain.datasets.transforms import PackInputs
from mmpretrain.models import ImageClassifier
from vgg_mm.datasets import LoadImage, TestScales
from vgg_mm.engine import ExactResumeHook
from vgg_mm.models import VGG, ConvHead

model = dict(type=ImageClassifier, backbone=dict(type=VGG, arch='A'), head=dict(type=ConvHead))
tta_pipeline = [dict(type=LoadImage), dict(type=TestScales, scales=(64,)), dict(type=PackInputs)]
custom_hooks = [dict(type=ExactResumeHook)]
"""


def test_a_config_in_pure_python(tmp_path):
    (tmp_path / 'net.py').write_text(PURE_PYTHON)
    text = Config.fromfile(tmp_path / 'net.py', lazy_import=True).pretty_text
    assert "type='vgg_mm.models.VGG'" in text
    cfg = checkpoint_config(text)
    assert cfg.model.backbone.type == 'vgg_mm.VGG' and cfg.model.head.type == 'vgg_mm.ConvHead'
    assert [step.type for step in cfg.tta_pipeline] == [
        'vgg_mm.LoadImage', 'vgg_mm.TestScales', 'mmpretrain.PackInputs'
    ]  # fmt: skip


@pytest.mark.parametrize(
    'text, reason',
    [
        ("model = __import__('os').system('touch ran')", 'line 1 is more than a plain value'),
        ("import os\nos.system('touch ran')", 'line 1 is more than a plain value: import os'),
        ("a = 1\nmodel = dict(type=open('ran', 'w'))", 'line 2 is more than a plain value: open('),
        ("model = dict({'a': 1, **{}})", 'line 1 is more than a plain value'),
        ("model = dict({'a': open('ran', 'w')})", 'line 1 is more than a plain value: open('),
        ("model = dict({open('ran', 'w'): 1})", 'line 1 is more than a plain value: open('),
        ("model = dict({'a': 1}, b=2)", 'line 1 is more than a plain value'),
        ("model = open('ran', 'w').name", 'line 1 is more than a plain value'),
        ('model = {(): {[]}}', 'line 1 is more than a plain value'),
        ('model = {[]: 1}', 'line 1 is more than a plain value'),
        ('model = dict(**{})', 'line 1 is more than a plain value'),
        ('model = dict([1])', 'line 1 is more than a plain value'),
        ('model.x = 1', 'line 1 is more than a plain value'),
        ('model = {**{}}', 'line 1 is more than a plain value'),
        ('model = [x for x in (1,)]', 'line 1 is more than a plain value'),
        ('model = (', 'line 1 is not Python'),
        ('model = ' + '-' * 100_000 + '1', 'nested too deeply'),
        ('a' * 5_000_001, 'has 5,000,001 characters'),
        ('a = 1', 'it has no model'),
        ("model = dict(type='os.system', command='touch ran')", "it refers to 'os.system'"),
        (
            "model = dict(type='ImageClassifier', backbone=dict(type='TIMMBackbone'))",
            "it refers to 'TIMMBackbone'",
        ),
        (
            "model = dict(type='ImageClassifier', head=[dict(type=['x'])])",
            "it refers to ['x']",
        ),
        ("model = dict(type='ImageClassifier', _scope_='os')", "'_scope_'"),
        (
            "model = dict(type='ImageClassifier')\ntta_pipeline = [dict(type='os.system')]",
            "it refers to 'os.system'",
        ),
    ],
)
def test_no_code_of_a_checkpoint_runs(checkpoint, tmp_path, monkeypatch, text, reason):
    monkeypatch.chdir(tmp_path)
    weights = torch.load(checkpoint, weights_only=False)['state_dict']
    save('bad.pth', weights, text)
    with pytest.raises(ValueError) as error:
        load_predictor('bad.pth')
    message = str(error.value)
    assert message.startswith('the config in checkpoint bad.pth cannot be used: ')
    assert reason in message and message.endswith("; pass one with config='FILE'")
    assert '\n' not in message and len(message) < 300
    assert not Path('ran').exists()


def test_net_is_found_from_weights_without_a_config(checkpoint, tmp_path, capsys):
    content = torch.load(checkpoint, weights_only=False)
    path = save(tmp_path / 'w.pth', content['state_dict'], None)
    config = tmp_path / 'net.py'
    config.write_text(content['meta']['cfg'])
    image = np.full((70, 80, 3), 200, np.uint8)
    (found,) = predict(image, path, scales=[64, 80, 96])
    said = capsys.readouterr().err
    assert 'net A (VGG-11), no norm, width 4, fc6/fc7 16/16, 10 classes' in said
    assert 'RGB, mean 123.68/116.779/103.939, std 1/1/1 (assumed' in said
    VGGInferencer(pretrained=path)
    assert capsys.readouterr().err == said
    (other,), (expected,) = (predict(image, *files) for files in ((path, config), (checkpoint,)))
    np.testing.assert_array_equal(other.posterior, expected.posterior)
    cfg = Config.fromfile(config)
    cfg.model.data_preprocessor.update(mean=[123.68, 116.779, 103.939], to_rgb=True)
    cfg.tta_model.flip = True
    (expected,) = predict(image, path, cfg)
    np.testing.assert_allclose(found.posterior, expected.posterior, atol=1e-6)
    assert predict(image, path)[0].scales == (73,)


def test_names_of_classes(checkpoint, folder, tmp_path, capsys):
    content = torch.load(checkpoint, weights_only=False)
    image = folder / 'val' / '0' / '0.png'
    given = [f'name {n}' for n in range(10)]
    (found,) = predict(image, checkpoint, classes=given)
    assert found.classes == [given[label] for label in found.labels]
    with pytest.raises(ValueError, match='1 class names for a net of 10 classes'):
        predict(image, checkpoint, classes=['a'])
    del content['meta']['dataset_meta']
    torch.save(content, tmp_path / 'w.pth')
    assert capsys.readouterr().err == ''
    (numbers,) = predict(image, tmp_path / 'w.pth')
    assert numbers.classes == list(map(str, numbers.labels))
    assert 'neither checkpoint nor config names the classes' in capsys.readouterr().err
    cfg = load_predictor(checkpoint).cfg
    cfg.test_dataloader.dataset.metainfo = dict(classes=given)
    assert predict(image, tmp_path / 'w.pth', cfg)[0].classes == found.classes


def test_pre_processing_of_the_weights_has_priority(checkpoint, folder, tmp_path, capsys):
    content = torch.load(checkpoint, weights_only=False)
    wanted = dict(to_rgb=False, mean=[10.0, 20.0, 30.0], std=[50.0, 60.0, 70.0])
    content['meta']['preprocessing'] = wanted
    torch.save(content, tmp_path / 'w.pth')
    image = folder / 'val' / '2' / '2.png'
    (found,) = predict(image, tmp_path / 'w.pth')
    assert 'images are pre-processed as in the checkpoint' in capsys.readouterr().err
    cfg = load_predictor(checkpoint).cfg
    cfg.model.data_preprocessor.update(wanted)
    torch.save(content['state_dict'], tmp_path / 'plain.pth')
    (expected,) = predict(image, tmp_path / 'plain.pth', cfg)
    (other,) = predict(image, checkpoint)
    np.testing.assert_allclose(found.posterior, expected.posterior, atol=1e-6)
    assert abs(found.posterior - other.posterior).max() > 1e-4
    # So has that of the config in the checkpoint.
    capsys.readouterr()
    (again,) = predict(image, checkpoint, cfg)
    assert '(recorded: in the config of its training)), not in the' in capsys.readouterr().err
    np.testing.assert_allclose(again.posterior, other.posterior, atol=1e-6)


def test_numbers_of_numpy(checkpoint, folder):
    image = folder / 'val' / '0' / '0.png'
    (expected,) = predict(image, checkpoint, scales=[64, 96], top=2)
    (found,) = predict(image, checkpoint, scales=np.arange(64, 97, 32), top=np.int64(2))
    np.testing.assert_array_equal(found.posterior, expected.posterior)
    assert found.scales == (64, 96) and type(found.scales[0]) is int
    (one,) = predict(image, checkpoint, scales=96)
    assert one.scales == predict(image, checkpoint, scales=np.int64(96))[0].scales == (96,)


def test_given_scales_and_scales_of_the_training(checkpoint, folder):
    image = folder / 'val' / '0' / '0.png'
    cfg = load_predictor(checkpoint).cfg
    (paper,) = predict(image, checkpoint)
    assert paper.scales == (64, 80, 96)
    cfg.pop('tta_pipeline')
    (from_training,) = predict(image, checkpoint, cfg)
    np.testing.assert_array_equal(from_training.posterior, paper.posterior)
    cfg.pop('train_dataloader')
    with pytest.raises(ValueError, match='give Q with scales'):
        predict(image, checkpoint, cfg)
    (one,) = predict(image, checkpoint, cfg, scales=[96, 64])
    (alone,), (other,) = (predict(image, checkpoint, cfg, scales=[q]) for q in (96, 64))
    mean = (alone.posterior + other.posterior) / 2
    np.testing.assert_allclose(one.posterior, mean, atol=1e-6)
