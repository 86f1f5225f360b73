"""Exported files are read by independent libraries: onnxruntime, torchvision, safetensors."""

import json
from copy import deepcopy
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS
from safetensors import safe_open

from tests.conftest import A_DIGITS, run_tool
from vgg_mm.apis.export import (
    Classifier,
    ExportGraph,
    export,
    load_classifier,
    torchvision_names,
    torchvision_state,
)
from vgg_mm.apis.export import run as export_run
from vgg_mm.checkpoints import Preprocessing

NARROW = dict(
    backbone=dict(base_channels=4),
    head=dict(in_channels=32, fc_channels=16),
    data_preprocessor=dict(mean=[120.0, 110.0, 100.0], std=[60.0, 55.0, 50.0]),
)
CLASSES = tuple(f'class {i}' for i in range(10))

#: (N, H, W): smallest, odd, oblong and larger sizes, and batches; the smallest image is 64 x 64.
SHAPES = [(1, 64, 64), (2, 77, 134), (1, 160, 64), (3, 65, 111), (1, 96, 223)]


def build(cfg):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(deepcopy(cfg)).eval()


@pytest.fixture(scope='module')
def model():
    cfg = Config.fromfile(A_DIGITS)
    cfg.merge_from_dict(dict(model=NARROW))
    torch.manual_seed(0)
    model = build(cfg.model)
    for parameter in model.parameters():  # scores around 1, non-zero biases
        if parameter.ndim > 1:
            torch.nn.init.kaiming_normal_(parameter)
        else:
            torch.nn.init.normal_(parameter, std=0.1)
    model.cfg = cfg
    return model


@pytest.fixture(scope='module')
def checkpoint(model, tmp_path_factory):
    path = tmp_path_factory.mktemp('narrow') / 'epoch_1.pth'
    meta = dict(cfg=model.cfg.pretty_text, dataset_meta=dict(classes=CLASSES))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    return str(path)


def expected(model, rgb, output):
    """The output of MMPretrain's data preprocessor and classifier, which take BGR images."""
    bgr = torch.from_numpy(rgb[:, ::-1].copy())
    with torch.inference_mode():
        inputs = model.data_preprocessor(dict(inputs=bgr))['inputs']
        if output == 'score_map':
            return model.head.score_map(model.extract_feat(inputs)).numpy()
        scores = model(inputs, mode='tensor')
        return (scores.softmax(1) if output == 'posterior' else scores).numpy()


def photos(shape):
    n, height, width = shape
    return np.random.default_rng(n).integers(0, 256, (n, 3, height, width), dtype=np.uint8)


def assert_close(found, wanted):
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= 1e-4 * max(1, np.abs(wanted).max())


def test_the_tool_writes_onnx_for_all_sizes(checkpoint, model, tmp_path):
    done = run_tool(
        'export.py', checkpoint, 'net.onnx', '--dynamic', '--output', 'posterior', cwd=tmp_path
    )
    assert 'largest difference from the net at 5 shapes' in done.stdout
    assert 'RGB, 0 to 255; N is free, H and W from 64 on' in done.stdout
    assert 'onnxruntime' in done.stdout and 'MB' in done.stdout

    session = onnxruntime.InferenceSession(tmp_path / 'net.onnx')
    for shape in SHAPES:
        rgb = photos(shape)
        (found,) = session.run(['posterior'], {'image': rgb.astype(np.float32)})
        assert_close(found, expected(model, rgb, 'posterior'))
        assert found.sum(1) == pytest.approx(np.ones(shape[0]), abs=1e-5)
    facts = session.get_modelmeta().custom_metadata_map
    assert json.loads(facts['classes']) == list(CLASSES)
    assert facts['channel_order'] == 'RGB' and facts['preprocessing'] == 'in the graph'
    assert json.loads(facts['mean']) == [120, 110, 100]


def test_the_onnx_graph_is_made_of_plain_layers(checkpoint, model, tmp_path):
    path = str(tmp_path / 'net.onnx')
    export(checkpoint, path, dynamic=True, output='score_map')
    onnx.checker.check_model(path, full_check=True)
    graph = onnx.load(path).graph
    kinds = [node.op_type for node in graph.node]
    convs = 8 + 3
    assert kinds.count('Conv') == convs and kinds.count('Relu') == convs - 1
    assert set(kinds) == {'Sub', 'Div', 'Conv', 'Relu', 'MaxPool'}
    weights = sum(np.prod(w.dims) for w in graph.initializer if len(w.dims) in (1, 4))
    assert weights == sum(p.numel() for p in model.parameters())
    session = onnxruntime.InferenceSession(path)
    for shape in SHAPES:
        rgb = photos(shape)
        (found,) = session.run(None, {'image': rgb.astype(np.float32)})
        assert_close(found, expected(model, rgb, 'score_map'))


def test_fixed_size(checkpoint, model, tmp_path):
    path = str(tmp_path / 'net.onnx')
    export(checkpoint, path, size=96)
    session = onnxruntime.InferenceSession(path)
    assert session.get_inputs()[0].shape[2:] == [96, 96]
    for batch in (1, 4):
        rgb = photos((batch, 96, 96))
        (found,) = session.run(['scores'], {'image': rgb.astype(np.float32)})
        assert_close(found, expected(model, rgb, 'scores'))
    with pytest.raises(Exception, match='invalid dimensions|INVALID_ARGUMENT'):
        session.run(None, {'image': np.zeros((1, 3, 128, 96), np.float32)})


@pytest.mark.filterwarnings('ignore:.*torch.jit.load')
@pytest.mark.parametrize('name', ['net.ts', 'net.pt2'])
def test_torch_files(name, checkpoint, model, tmp_path):
    path = str(tmp_path / name)
    export(checkpoint, path, dynamic=True, output='score_map', preprocessing=False)
    extra = {'vgg_mm.json': ''}
    if name.endswith('.ts'):
        loaded = torch.jit.load(path, _extra_files=extra)
    else:
        loaded = torch.export.load(path, extra_files=extra).module()
    facts = json.loads(extra['vgg_mm.json'])
    assert facts['output'].startswith('(N, classes, h, w)') and facts['arch'] == 'A'
    assert facts['preprocessing'] == 'not in the graph'
    mean, std = (np.float32(json.loads(facts[k])).reshape(3, 1, 1) for k in ('mean', 'std'))
    for shape in SHAPES:
        rgb = photos(shape)
        with torch.inference_mode():
            found = loaded(torch.from_numpy((rgb - mean) / std)).numpy()
        assert_close(found, expected(model, rgb, 'score_map'))


@settings(max_examples=15, deadline=None)
@given(
    height=st.integers(64, 170),
    width=st.integers(64, 170),
    to_rgb=st.booleans(),
    output=st.sampled_from(['scores', 'posterior', 'score_map']),
)
def test_graph_equals_the_net_at_any_size(height, width, to_rgb, output):
    kind = Preprocessing(to_rgb, (120.0, 110.0, 100.0), (60.0, 55.0, 50.0))
    classifier = classifier_of('A', kernel=2, preprocessing=kind)
    images = photos((1, height, width))
    with torch.inference_mode():
        found = ExportGraph(classifier, output, True)(torch.from_numpy(images).float()).numpy()
    rgb = images if to_rgb else images[:, ::-1]  # without to_rgb the net takes BGR
    assert_close(found, expected(classifier.model, rgb, output))


def classifier_of(arch, kernel=7, base=4, fc=16, norm=None, preprocessing=None, **backbone):
    preprocessing = preprocessing or Preprocessing(True, (120.0, 110.0, 100.0), (1.0, 1.0, 1.0))
    model = build(
        dict(
            type='ImageClassifier',
            data_preprocessor=preprocessing.to_meta(),
            backbone=dict(
                type='vgg_mm.VGG', arch=arch, base_channels=base, norm_cfg=norm, **backbone
            ),
            head=dict(
                type='vgg_mm.ConvHead',
                num_classes=10,
                in_channels=8 * base,
                fc_channels=fc,
                kernel_size=kernel,
            ),
        )
    )
    return Classifier(model, CLASSES, preprocessing, model.head.window)


def test_wrong_graph_is_not_written(checkpoint, tmp_path, monkeypatch):
    write, read = export_run.GRAPHS['torchscript']

    def damaged(content):
        run = read(content)
        return lambda image: run(image) * 1.001

    monkeypatch.setitem(export_run.GRAPHS, 'torchscript', (write, damaged))
    with pytest.raises(ValueError, match='the exported graph is wrong: at 1x3x64x64 it differs'):
        export(checkpoint, str(tmp_path / 'net.ts'))
    monkeypatch.setitem(
        export_run.GRAPHS, 'torchscript', (write, lambda c: lambda x: read(c)(x) * np.nan)
    )
    with pytest.raises(ValueError, match='differs from the net by nan'):
        export(checkpoint, str(tmp_path / 'net.ts'))
    assert not list(tmp_path.iterdir())


NETS = [(arch, norm) for arch in 'ABDE' for norm in (None, dict(type='BN'))]


@pytest.mark.parametrize('arch, norm', NETS)
def test_torchvision_loads_every_weight(arch, norm):
    """At full width, on the meta device to save memory."""
    with torch.device('meta'):
        classifier = classifier_of(arch, base=64, fc=4096, norm=norm)
        state = torchvision_state(classifier)
        facts = state._metadata['']['vgg_mm']
        net = getattr(torchvision.models, facts['torchvision'])(num_classes=10)
    assert facts['torchvision'].endswith('_bn') is bool(norm)
    net.load_state_dict(state, strict=True, assign=True)
    assert 'mean 120/110/100' in facts['notice']


@pytest.mark.parametrize('arch, norm', NETS)
def test_torchvision_gives_the_same_logits(arch, norm):
    torch.manual_seed(1)
    classifier = classifier_of(arch, norm=norm)
    for layer in classifier.model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(layer.running_mean, -1, 1)
            torch.nn.init.uniform_(layer.running_var, 0.5, 2)
    plan = [n if n == 'M' else n // 16 for n in torchvision.models.vgg.cfgs[arch]]
    net = torchvision.models.VGG(
        torchvision.models.vgg.make_layers(plan, batch_norm=bool(norm)), init_weights=False
    )
    for index, (inputs, outputs) in {0: (32 * 49, 16), 3: (16, 16), 6: (16, 10)}.items():
        net.classifier[index] = torch.nn.Linear(inputs, outputs)
    names = torchvision_names(arch, bool(norm))
    own = classifier.model.state_dict()
    renamed = {f'{names[k.rpartition(".")[0]]}.{k.rpartition(".")[2]}': v for k, v in own.items()}
    net.load_state_dict(renamed, strict=True)
    images = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        found = classifier.model.head(classifier.model.extract_feat(images))
        assert net.eval()(images) == pytest.approx(found, abs=1e-5)


FULL = dict(base=64, fc=4096)


@pytest.mark.parametrize(
    'arch, options, message',
    [
        ('C', FULL, 'torchvision has no net C; it has A, B, D, E'),
        ('A-LRN', FULL, 'torchvision has no net A-LRN'),
        ('B-5x5', FULL, 'torchvision has no net B-5x5'),
        ('D', dict(FULL, kernel=2), 'kernel_size is 2 here, 7 there'),
        ('D', dict(base=64), r'fc_channels is \(16, 16\) here, \(4096, 4096\) there'),
        ('D', dict(), 'base_channels is 4 here, 64 there'),
        ('A', dict(FULL, ceil_mode=True), 'plain_pools is False'),
        ('A', dict(FULL, norm=dict(type='GN', num_groups=4)), 'GroupNorm'),
        ('A', dict(FULL, norm=dict(type='BN', eps=1e-3)), 'eps=1e-5'),
        ('A', dict(FULL, act_cfg=dict(type='LeakyReLU')), 'LeakyReLU'),
    ],
)
def test_nets_that_torchvision_lacks(arch, options, message):
    with torch.device('meta'):
        classifier = classifier_of(arch, **options)
    with pytest.raises(ValueError, match=message) as error:
        torchvision_state(classifier)
    assert '\n' not in str(error.value)


def test_safetensors(checkpoint, model, tmp_path, capsys):
    path = str(tmp_path / 'net.safetensors')
    export(checkpoint, path)
    assert 'safetensors' in capsys.readouterr().out
    with safe_open(path, 'pt') as file:
        facts = file.metadata()
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    wanted = model.state_dict()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    assert facts['arch'] == 'A' and json.loads(facts['std']) == [60, 55, 50]
    assert json.loads(facts['classes']) == list(CLASSES)
    with pytest.raises(ValueError, match='base_channels is 4 here'):
        export(checkpoint, path, names='torchvision')
    # The file can be loaded with a config, which it does not contain.
    config = tmp_path / 'config.py'
    config.write_text(model.cfg.pretty_text)
    again = load_classifier(path, str(config)).model.state_dict()
    assert all(torch.equal(again[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize(
    'out, options, message',
    [
        ('net.bin', {}, r"kind of .*net.bin unknown: give to='KIND' or one of the suffixes"),
        ('net.onnx', dict(size=96, dynamic=True), 'give either size or dynamic'),
        ('net.onnx', dict(size=32), 'size must be at least 64, got 32'),
        ('net.onnx', dict(names='own'), 'names is for safetensors, not for onnx'),
        ('net.pth', dict(output='scores'), 'output is for onnx, .*, not for torchvision'),
        ('net.safetensors', dict(dynamic=True), 'dynamic is for onnx'),
        ('net.pth', {}, 'torchvision has no such net: kernel_size|base_channels is 4'),
    ],
)
def test_invalid_options(out, options, message, checkpoint, tmp_path):
    with pytest.raises(ValueError, match=message):
        export(checkpoint, str(tmp_path / out), **options)
    assert not list(tmp_path.iterdir())


def test_the_checkpoint_is_not_overwritten(checkpoint):
    before = Path(checkpoint).read_bytes()
    with pytest.raises(ValueError, match='is the file that is read: give another one to write'):
        export(checkpoint, checkpoint, to='safetensors')
    with pytest.raises(ValueError, match='is the file that is read'):
        export(f'vgg_mm://{checkpoint}', checkpoint, to='safetensors')
    assert Path(checkpoint).read_bytes() == before


def test_errors_of_the_tool_are_one_line(tmp_path):
    done = run_tool('export.py', 'no.pth', 'net.onnx', cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == 'error: checkpoint not found: no.pth'


def test_other_models_are_rejected(tmp_path):
    cfg = Config(
        dict(
            model=dict(
                type='ImageClassifier',
                backbone=dict(type='vgg_mm.VGG', arch='A', base_channels=4),
                neck=dict(type='GlobalAveragePooling'),
                head=dict(type='LinearClsHead', num_classes=10, in_channels=32),
            ),
        )
    )
    (tmp_path / 'config.py').write_text(cfg.pretty_text)
    torch.save(build(cfg.model).state_dict(), tmp_path / 'net.pth')
    with pytest.raises(ValueError, match='with a vgg_mm.ConvHead is exported, not VGG with Linear'):
        load_classifier(str(tmp_path / 'net.pth'), str(tmp_path / 'config.py'))


@pytest.mark.parametrize('package', ['onnx', 'onnxscript'])
def test_missing_package_is_reported(package, checkpoint, tmp_path, monkeypatch):
    from vgg_mm.apis.export import formats

    monkeypatch.setattr(formats, 'find_spec', lambda name: None if name == package else True)
    with pytest.raises(ImportError, match=f'needs onnx, onnxscript: pip install {package}$'):
        export(checkpoint, str(tmp_path / 'net.onnx'))
