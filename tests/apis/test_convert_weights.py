"""The tools with other libraries' weights: conversion, testing, fine-tuning, initialisation."""

import re
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import CheckpointLoader
from mmpretrain.registry import MODELS

from tests.checkpoints import source_nets as sources
from tests.conftest import A_DIGITS, D_DIGITS, run_tool, short_run
from vgg_mm.apis.convert_weights import convert_weights, read_weights
from vgg_mm.checkpoints import load_checkpoint, loading_safely
from vgg_mm.engine import CheckpointCheckHook
from vgg_mm.evaluation import load_posteriors

#: The net of configs/vgg/vgg16_jitter_digits.py.
DIGITS = sources.Size((16, 32, 64, 128, 128), 512, 2, 10)
CAFFE = r'BGR, mean 103.939/116.779/123.68, std 1/1/1 \(assumed: as of published weights of Caffe\)'
TORCHVISION = (
    r'RGB, mean 123.675/116.28/103.53, std 58.395/57.12/57.375 '
    r'\(assumed: as of published weights of torchvision\)'
)
CONFIGS = r'RGB, mean 77.8/77.8/77.8, std 1/1/1'


@pytest.fixture(scope='module')
def coloured(tmp_path_factory):
    """One smooth coloured image for each of ten classes: val/CLASS/x.png, 64x64."""
    folder = tmp_path_factory.mktemp('coloured')
    rng = np.random.default_rng(0)
    for label in range(10):
        (folder / 'val' / str(label)).mkdir(parents=True)
        image = cv2.resize(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8), (64, 64))
        cv2.imwrite(str(folder / 'val' / str(label) / 'x.png'), image)
    return folder


@pytest.fixture(scope='module')
def caffe(tmp_path_factory):
    """A net D for the digits: (file, function from an RGB image to logits)."""
    weights = sources.caffe_weights('vgg16', DIGITS)
    path = tmp_path_factory.mktemp('caffe') / 'digits.caffemodel'
    path.write_bytes(sources.caffe_file(weights))
    return path, sources.caffe_logits(weights)


@pytest.fixture(scope='module')
def torchvision(tmp_path_factory):
    """Function that writes a file in torchvision's layout: ``torchvision('vgg16', classes=3)``."""

    def write(name, widths=DIGITS.widths, classes=10):
        size = DIGITS._replace(widths=widths, classes=classes)
        path = tmp_path_factory.mktemp('torchvision') / f'{name}.pth'
        torch.save(sources.torchvision_net(name, size)[0].state_dict(), path)
        return path

    return write


def test_tool_prints_where_each_layer_goes(caffe, tmp_path):
    done = run_tool('convert_weights.py', caffe[0], 'out/d.pth', cwd=tmp_path)
    lines = done.stdout.splitlines()
    assert lines[0].split() == ['layout:', 'Caffe']
    assert lines[1].endswith('D (VGG-16), no norm, width 16, fc6/fc7 512/512, 10 classes')
    assert re.fullmatch(f'pre-processing: {CAFFE}', lines[2])
    rows = [line.split() for line in lines if '.blobs.' in line]
    assert len(rows) == 32 and ['fc6.blobs.0', 'head.fc6.weight', '512x512'] in rows
    assert lines[-1] == 'written: out/d.pth'
    # The printed config builds a net that loads the weights.
    printed = next(line for line in lines if line.startswith('model:'))
    parts = eval(f'dict({printed.removeprefix("model:").strip()})')
    state = load_checkpoint(tmp_path / 'out' / 'd.pth')['state_dict']
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        MODELS.build(
            dict(
                type='ImageClassifier',
                backbone=dict(type='vgg_mm.VGG', **parts['backbone']),
                head=dict(type='vgg_mm.ConvHead', **parts['head']),
            )
        ).load_state_dict(state)


def posteriors(path, coloured, options, tmp_path):
    done = run_tool(
        'test.py', D_DIGITS, path, '--out', 'out.npz', '--work-dir', 'run',
        '--cfg-options', f'DATA_ROOT={coloured}', *options, cwd=tmp_path,
    )  # fmt: skip
    return load_posteriors(tmp_path / 'out.npz').scores['centre crop'], done.stdout + done.stderr


def theirs(logits, coloured):
    """The source library's class posteriors for the centre crops of the config's pipeline."""
    scores = []
    for path in sorted((coloured / 'val').glob('*/x.png')):
        image = cv2.resize(cv2.imread(str(path)), (80, 80), interpolation=cv2.INTER_LINEAR)
        scores.append(logits(image[8:72, 8:72, ::-1]).softmax(1)[0])
    return torch.stack(scores).numpy()


def test_testing_uses_the_checkpoints_preprocessing(caffe, coloured, tmp_path):
    """The converted and the original file give the source's posteriors, with one notice.

    An explicit option of the user has priority, and the notice says so.
    """
    path, logits = caffe
    expected = theirs(logits, coloured)
    run_tool('convert_weights.py', path, 'd.pth', cwd=tmp_path)
    for file in ('d.pth', path):
        found, text = posteriors(file, coloured, [], tmp_path)
        np.testing.assert_allclose(found, expected, atol=1e-4)
        warning = f"pre-processing differs: .*'s is {CAFFE}; the config's is {CONFIGS}; "
        assert len(re.findall(f"{warning}the checkpoint's is used", text)) == 1
    option = 'model.data_preprocessor.mean=[103.939,116.779,123.68]'
    found, text = posteriors('d.pth', coloured, [option], tmp_path)
    assert re.search("the config's is RGB, mean 103.939/.*; the config's is used", text)
    assert np.abs(found - expected).max() > 0.01
    options = [option, 'model.data_preprocessor.to_rgb=False']
    found, text = posteriors('d.pth', coloured, options, tmp_path)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert 'pre-processing differs' not in text


def test_testing_rejects_another_number_of_classes(torchvision, coloured, tmp_path):
    done = run_tool(
        'test.py', D_DIGITS, torchvision('vgg16', classes=3),
        '--cfg-options', f'DATA_ROOT={coloured}', cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert re.search(r'error: .*head.fc8.bias is \(3,\), the model expects \(10,\)', done.stderr)


def test_fine_tuning_from_torchvision(few_digits, torchvision, tmp_path):
    path = torchvision('vgg11', classes=3)
    options = [f'load_from={path}', 'optim_wrapper.optimizer.lr=0']
    done = run_tool('train.py', A_DIGITS, *short_run(few_digits, 'run', 1, *options), cwd=tmp_path)
    text = done.stdout + done.stderr
    notice = 'head.fc8.weight is left as initialised: the checkpoint has 3 classes, the model 10'
    assert text.count(notice) == 1
    assert re.search(f"differs: .*'s is {TORCHVISION}; .* {CONFIGS}; the config's is used", text)
    trained = load_checkpoint(tmp_path / 'run' / 'epoch_1.pth')
    assert 'preprocessing' not in trained['meta']
    source = load_checkpoint(path)['state_dict']
    for name, tensor in trained['state_dict'].items():
        assert 'fc8' in name or torch.equal(tensor, source[name].reshape(tensor.shape))


def test_staged_initialisation_from_torchvision(few_digits, torchvision, tmp_path):
    staged = f'default_hooks.staged_init.checkpoint={torchvision("vgg11")}'
    options = [staged, 'optim_wrapper.optimizer.lr=0']
    done = run_tool('train.py', D_DIGITS, *short_run(few_digits, 'run', 1, *options), cwd=tmp_path)
    assert 'backbone.conv3_2.weight -> backbone.conv3_2.weight (64, 64, 3, 3)' in done.stdout
    assert re.search(f"pre-processing differs: .*vgg11.pth's is {TORCHVISION}", done.stdout)


def test_a_width_that_does_not_fit(few_digits, torchvision, tmp_path):
    path = torchvision('vgg11', widths=(8, 16, 32, 64, 64))
    (tmp_path / 'pretrained.py').write_text(
        f'_base_ = [{A_DIGITS!r}]\n'
        'model = dict(backbone=dict(init_cfg=dict(_delete_=True, type="Pretrained", '
        f'checkpoint={str(path)!r})))'
    )
    for config, options in ((A_DIGITS, [f'load_from={path}']), ('pretrained.py', [])):
        arguments = short_run(few_digits, 'run', 1, *options)
        done = run_tool('train.py', config, *arguments, cwd=tmp_path, check=False)
        assert done.returncode == 1
        (line,) = [line for line in done.stderr.splitlines() if line.startswith('error:')]
        what = r'(of another net|not fit the model): .*'
        assert re.search(rf'{what}conv1_1.bias is \(8,\), the model expects \(16,\)', line)


def built(init, part='model'):
    """An initialised digits net whose model or part has ``init_cfg``."""
    cfg = Config.fromfile(A_DIGITS).model
    (cfg if part == 'model' else cfg[part])['init_cfg'] = dict(type='Pretrained', **init)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg)
    model.init_weights()
    return model


@pytest.mark.parametrize(
    'part, prefix',
    [
        ('model', None),
        ('backbone', None),
        ('backbone', 'backbone.'),
        ('head', None),
        ('head', 'head'),
    ],
)
def test_pretrained(part, prefix, torchvision):
    path = torchvision('vgg11')
    init = dict(checkpoint=str(path), **(dict(prefix=prefix) if prefix else {}))
    state = built(init, part).state_dict()
    source = load_checkpoint(path)['state_dict']
    for name, tensor in state.items():
        same = torch.equal(tensor, source[name])
        assert same == (part == 'model' or name.startswith(part))


def test_pretrained_for_other_classes_and_of_other_nets(torchvision, tmp_path):
    model = built(dict(checkpoint=str(torchvision('vgg11', classes=3))), 'head')
    assert model.head.fc8.weight.shape[0] == 10
    torch.save({'layer1.weight': torch.zeros(2)}, tmp_path / 'other.pth')
    with pytest.raises(ValueError, match='other.pth: no VGG found .*layer1') as error:
        built(dict(checkpoint=str(tmp_path / 'other.pth')), 'backbone')
    assert '\n' not in str(error.value)


def test_pretrained_leaves_other_models_to_mmengine(tmp_path):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        net = MODELS.build(dict(type='LeNet5', num_classes=3))
        torch.save(dict(state_dict=net.state_dict()), tmp_path / 'lenet.pth')
        other = MODELS.build(dict(type='LeNet5', num_classes=3))
    other.init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'lenet.pth'))
    other.init_weights()
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])


def test_mmpretrains_own_net_loads_its_own_checkpoints(tmp_path):
    """The tools also train and test MMPretrain's VGG, whose checkpoints are not converted."""
    net, _ = sources.mmpretrain_net('vgg11_bn')
    torch.save(dict(state_dict=net.state_dict(), meta=dict(epoch=1)), tmp_path / 'net.pth')
    with loading_safely():
        loaded = CheckpointLoader.load_checkpoint(str(tmp_path / 'net.pth'))
    hook = CheckpointCheckHook(strict=True)
    hook.after_load_checkpoint(SimpleNamespace(model=net), loaded)
    assert loaded['state_dict'].keys() == net.state_dict().keys()
    assert loaded['meta'] == dict(epoch=1)
    other = sources.MMPretrainNet('vgg11_bn').backbone
    path = str(tmp_path / 'net.pth')
    other.init_cfg = dict(type='Pretrained', checkpoint=path, prefix='backbone.')
    with loading_safely():
        other.init_weights()
    for name, tensor in net.backbone.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])


def test_unknown_prefix(torchvision):
    with pytest.raises(ValueError, match="begins with prefix='neck.'; the first is 'backbone.c"):
        built(dict(checkpoint=str(torchvision('vgg11')), prefix='neck.'), 'backbone')


def test_by_name(torchvision, tmp_path, monkeypatch):
    """``torchvision://vgg16`` is read from the cache of torch.hub."""
    monkeypatch.setattr(torch.hub, '_hub_dir', str(tmp_path))
    kept = tmp_path / 'checkpoints' / 'vgg16-397923af.pth'
    kept.parent.mkdir()
    kept.write_bytes(torchvision('vgg16').read_bytes())
    converted = read_weights('torchvision://vgg16')
    assert converted.layout == 'torchvision' and re.fullmatch(
        TORCHVISION, str(converted.preprocessing)
    )
    with pytest.raises(ValueError, match="has no model 'vgg12'; did you mean 'vgg"):
        read_weights('torchvision://vgg12')
    with pytest.raises(FileNotFoundError, match='checkpoint not found: no.pth'):
        read_weights('no.pth')


@pytest.mark.parametrize(
    'options, message',
    [
        (['--arch', 'E'], 'is net D, not E'),
        (['--arch', '19'], 'is net D, not E'),
        (['--arch', 'X'], "unknown arch 'X'"),
        (['out.h5'], 'must end in .pth, got out.h5'),
    ],
)
def test_wrong_options(options, message, caffe, tmp_path):
    out = [] if options[0].startswith('out') else ['out.pth']
    done = run_tool('convert_weights.py', caffe[0], *out, *options, cwd=tmp_path, check=False)
    assert done.returncode == 1 and message in done.stderr and done.stderr.count('\n') == 1
    assert not list(tmp_path.iterdir())


def test_the_source_is_not_overwritten(caffe, tmp_path):
    path = tmp_path / 'net.pth'
    convert_weights(str(caffe[0]), path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match='net.pth is the file that is read: give another one'):
        convert_weights(str(path), str(tmp_path / '.' / 'net.pth'))
    (tmp_path / 'last_checkpoint').write_text(str(path))
    with pytest.raises(ValueError, match='net.pth is the file that is read'):
        convert_weights(str(tmp_path), path)  # the folder of a run
    assert path.read_bytes() == before


def test_options(torchvision, tmp_path):
    """A-LRN has A's weights; --preprocessing replaces the pre-processing of the layout."""
    options = ['a.pth', '--arch', 'A-LRN', '--preprocessing', 'paper']
    run_tool('convert_weights.py', torchvision('vgg11'), *options, cwd=tmp_path)
    meta = load_checkpoint(tmp_path / 'a.pth')['meta']
    assert meta['net']['arch'] == 'A-LRN' and meta['layout'] == 'torchvision'
    mean = [123.68, 116.779, 103.939]
    assert meta['preprocessing'] == dict(to_rgb=True, mean=mean, std=[1.0, 1.0, 1.0])
    # Converting a converted file changes nothing.
    run_tool('convert_weights.py', 'a.pth', 'b.pth', '--arch', 'A-LRN', cwd=tmp_path)
    assert load_checkpoint(tmp_path / 'b.pth')['meta'] == meta
