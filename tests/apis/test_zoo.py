"""The model index is correct, and MMPretrain and mim find it."""

from contextlib import nullcontext

import cv2
import mmengine.runner.checkpoint as mmengine_checkpoint
import numpy as np
import pytest
import torch
import torchvision
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain import get_model, inference_model, list_models
from mmpretrain.registry import MODELS
from modelindex.load_model_index import load
from torch.utils.flop_counter import FlopCounterMode

from tests.checkpoints.source_nets import (
    Size,
    caffe_file,
    caffe_logits,
    caffe_weights,
    torchvision_net,
)
from tests.conftest import ROOT
from vgg_mm import installation, zoo
from vgg_mm.apis import net_table
from vgg_mm.checkpoints import for_rgb, loading_safely
from vgg_mm.checkpoints.schemes import FIRST_WEIGHT
from vgg_mm.evaluation.paper_results import TABLE_3, TABLE_4, TABLE_5
from vgg_mm.models.tta.paper_tta import PROTOCOLS

#: Configs for specific data sets; the others are templates.
CONFIGS = sorted(
    path
    for data in ('imagenet', 'digits', 'clothing', 'torchvision')
    for path in (ROOT / 'configs/vgg').glob(f'*_{data}.py')
)
NARROW = dict(backbone=dict(base_channels=4), head=dict(in_channels=32, fc_channels=16))


@pytest.fixture(scope='module')
def index():
    """The classifiers; tests/downstream tests the detectors and segmentors."""
    found = load(str(ROOT / 'model-index.yml'))
    found.build_models_with_collections()
    return {model.name: model for model in found.models if 'downstream' not in model.config}


def test_every_config_is_in_the_index(index):
    whole = load(str(ROOT / 'model-index.yml'))
    assert whole.check(silent=True) == []
    assert {model.config for model in whole.models if 'downstream' in model.config} == {
        str(path.relative_to(ROOT)) for path in (ROOT / 'configs/downstream').glob('*/*.py')
    }
    assert {name: model.config for name, model in index.items()} == {
        path.stem: f'configs/vgg/{path.name}' for path in CONFIGS
    }
    assert all(model.full_model.paper['URL'].endswith('1409.1556') for model in index.values())


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_parameters_and_flops(path, index):
    """Equal torch's counts and, for the nets of the paper, those of the table of nets."""
    metadata = index[path.stem].metadata.data
    cfg = Config.fromfile(path)
    with DefaultScope.overwrite_default_scope('mmpretrain'), torch.device('meta'):
        model = MODELS.build(cfg.model).eval()
    assert metadata['Parameters'] == sum(p.numel() for p in model.parameters())
    side = 32 * model.head.kernel_size
    with FlopCounterMode(display=False) as counter:
        model(torch.empty(1, 3, side, side, device='meta'))
    assert 2 * metadata['FLOPs'] == counter.get_total_flops()  # torch counts x * w + y as two
    if path.stem.endswith('_imagenet'):
        rows = net_table.layers(cfg.model.backbone.arch)
        assert metadata['Parameters'] == sum(row.parameters for row in rows)
        assert metadata['FLOPs'] == sum(row.multiply_adds for row in rows)


def test_index_has_all_errors_of_the_paper_with_a_label(index):
    """Each figure of Tables 3 to 5 is with the config of its net and S, labelled as the paper's."""
    names = {'s256': (256, 256), 's384': (384, 384), 'jitter': (256, 512)}
    found = {}
    for name, model in index.items():
        (result,) = model.results
        assert result.task == 'Image Classification'  # otherwise inference_model rejects the name
        if result.metrics and not name.endswith('_torchvision'):
            assert result.dataset == 'ImageNet-1k (in the paper)'
            arch = Config.fromfile(ROOT / model.config).model.backbone.arch
            scale = names[name.split('_')[1]]
            found |= {(arch, scale, key): value for key, value in result.metrics.items()}
    texts = {
        'dense': 'dense',
        'multi_crop': 'multi-crop',
        'dense+multi_crop': 'dense and multi-crop',
    }
    assert texts.keys() == PROTOCOLS.keys()
    wanted = {}
    for row in (*TABLE_3, *TABLE_4, *TABLE_5):
        scales = ','.join(map(str, row.test_scales))
        for k, value in ((1, row.top1), (5, row.top5)):
            key = f'Top {k} Error ({texts[row.protocol]}, Q {scales})'
            wanted[row.net, row.scale, key] = value
    assert found == wanted


@pytest.mark.parametrize('net', [f'vgg{n}{bn}' for n in (11, 13, 16, 19) for bn in ('', '_bn')])
def test_figures_and_urls_of_torchvision(net, index):
    published = torchvision.models.get_model_weights(net).IMAGENET1K_V1
    model = index[f'{net.replace("_", "")}_torchvision']
    (result,) = model.results
    assert result.dataset == "ImageNet-1k (torchvision's figures)"
    metrics = published.meta['_metrics']['ImageNet-1K']
    assert list(result.metrics.values()) == [metrics['acc@1'], metrics['acc@5']]
    assert model.weights == published.url
    assert model.metadata.data['Parameters'] == published.meta['num_params']
    assert Config.fromfile(ROOT / model.config).load_from == f'torchvision://{net}'


@pytest.mark.parametrize('net', ['vgg11', 'vgg16_bn'])
def test_get_model_with_torchvisions_weights(net, index, tmp_path, monkeypatch):
    """``pretrained=True``, with a file of a narrow net in the cache, gives torchvision's scores."""
    name = f'{net.replace("_", "")}_torchvision'
    source, logits = torchvision_net(net, Size(classes=10))
    monkeypatch.setattr(torch.hub, '_hub_dir', str(tmp_path))
    (tmp_path / 'checkpoints').mkdir()
    address = index[name].weights
    torch.save(source.state_dict(), tmp_path / 'checkpoints' / address.rpartition('/')[2])
    head = dict(NARROW['head'], num_classes=10)
    model = get_model(name, pretrained=True, backbone=NARROW['backbone'], head=head)
    rgb = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    bgr = torch.from_numpy(rgb[..., ::-1].transpose(2, 0, 1).copy())
    with torch.inference_mode():
        found = model(model.data_preprocessor(dict(inputs=bgr[None]))['inputs'])
    torch.testing.assert_close(found, logits(rgb), atol=1e-4, rtol=0)


def test_mmpretrain_lists_the_models():
    names = set(list_models('vgg16*'))
    assert {'vgg16_8xb32_in1k', 'vgg16_jitter_imagenet', 'vgg16c_s256_imagenet'} <= names


def test_registering_twice_is_no_error():
    zoo.register()
    names = list_models()
    assert {path.stem for path in CONFIGS} <= set(names)
    assert len(names) == len(set(names))


def checkpoint_of(model, path):
    """A checkpoint with mmengine's log buffers, which not every version of mmengine can load."""
    from mmengine.logging import HistoryBuffer

    log = HistoryBuffer([0.5, 0.25], [1, 1])
    torch.save(
        dict(
            state_dict=model.state_dict(),
            meta=dict(dataset_meta=dict(classes=[f'class {i}' for i in range(10)])),
            message_hub=dict(log_scalars={'train/loss': log}),
        ),
        path,
    )
    return str(path)


@pytest.mark.parametrize('safely', [True, False])
def test_get_model_with_weights_from_a_path(safely, tmp_path):
    if not safely and not hasattr(mmengine_checkpoint, '_safe_torch_load'):
        pytest.skip("this mmengine does not read its own checkpoints with torch's safe loading")
    torch.manual_seed(0)
    source = get_model('vgg16_jitter_digits', **NARROW)
    path = checkpoint_of(source, tmp_path / 'epoch_1.pth')
    with loading_safely() if safely else nullcontext():
        model = get_model('vgg16_jitter_digits', pretrained=path, **NARROW)
    assert model._dataset_meta['classes'][3] == 'class 3'
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(model(image), source(image))


@pytest.mark.parametrize('net, name', [('vgg16', 'vgg16'), ('vgg19', 'vgg19')])
def test_get_model_with_the_authors_weights(net, name, index, tmp_path, monkeypatch):
    """``pretrained=True``, with a file in the cache, gives Caffe's scores of BGR images."""
    weights = caffe_weights(name)
    address = index[f'{net}_jitter_imagenet'].weights
    assert address.startswith(zoo.AUTHORS_RELEASE)
    monkeypatch.setattr(torch.hub, '_hub_dir', str(tmp_path))
    (tmp_path / 'checkpoints').mkdir()
    (tmp_path / 'checkpoints' / address.rpartition('/')[2]).write_bytes(caffe_file(weights))
    shape = {layer: arrays[0].shape for layer, arrays in weights.items()}
    model = get_model(
        f'{net}_jitter_imagenet',
        pretrained=True,
        backbone=dict(base_channels=shape['conv1_1'][0]),
        head=dict(
            in_channels=shape['conv5_3'][0],
            fc_channels=shape['fc6'][0],
            num_classes=shape['fc8'][0],
            kernel_size=int((shape['fc6'][1] / shape['conv5_3'][0]) ** 0.5),
        ),
    )
    side = 32 * model.head.kernel_size
    bgr = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    inputs = model.data_preprocessor(dict(inputs=torch.from_numpy(bgr.transpose(2, 0, 1))[None]))
    with torch.inference_mode():
        found = model(inputs['inputs'])
    assert found.numpy() == pytest.approx(caffe_logits(weights)(bgr[..., ::-1]).numpy(), rel=1e-4)


def test_weights_for_rgb_are_unchanged():
    checkpoint = dict(state_dict={FIRST_WEIGHT: torch.rand(4, 3, 3, 3)}, meta={})
    assert for_rgb(checkpoint) is checkpoint
    meta = dict(preprocessing=dict(to_rgb=True, mean=[1.0, 2.0, 3.0], std=[1.0, 1.0, 1.0]))
    checkpoint = dict(checkpoint, meta=meta)
    assert for_rgb(checkpoint) is checkpoint


def test_inference_model_on_a_photo(photo, tmp_path):
    cv2.imwrite(str(tmp_path / 'photo.png'), photo)
    model = get_model('vgg16_jitter_digits', **NARROW)
    results = [inference_model(model, x) for x in (str(tmp_path / 'photo.png'), photo)]
    assert results[0]['pred_label'] in range(10)
    assert results[0]['pred_scores'] == pytest.approx(results[1]['pred_scores'])


def test_index_in_the_folder_of_mim(index):
    """openmim reads PACKAGE/.mim/model-index.yml and configs below PACKAGE/.mim."""
    mim = ROOT / 'vgg_mm' / '.mim'
    if not mim.is_dir():
        pytest.skip('vgg_mm is not installed')
    found = load(str(mim / 'model-index.yml'))
    classifiers = [model for model in found.models if 'downstream' not in model.config]
    assert {model.name for model in classifiers} == set(index)
    for model in classifiers:
        assert Config.fromfile(mim / model.config).model.backbone.type == 'vgg_mm.VGG'


def test_the_installed_package_finds_its_index(tmp_path, monkeypatch):
    """Without a checkout around it, the package's index is the one below .mim."""
    package = tmp_path / 'site-packages' / 'vgg_mm'
    package.mkdir(parents=True)
    monkeypatch.setattr(installation, '__file__', str(package / 'installation.py'))
    assert installation.root_folder() == str(package / '.mim')
    assert installation.command('chain', 'FILE') == 'vgg-mm chain FILE'
    monkeypatch.undo()
    assert installation.root_folder() == str(ROOT)
    assert installation.command_line('chain', 'FILE') == 'python tools/train_chain.py FILE'
