"""Prediction with published weights, without a config."""

import json

import cv2
import numpy as np
import pytest
import torch
from mmpretrain.datasets.categories import IMAGENET_CATEGORIES

from tests.apis import published
from tests.checkpoints import source_nets as sources
from tests.conftest import ROOT, run_tool
from vgg_mm.apis import VGGInferencer, extract_features, load_features, predict
from vgg_mm.apis.inference.load import load_net
from vgg_mm.datasets.class_names import WNIDS

WITH_FC = [name for name, write in published.FILES.items() if write is not published.keras_notop]
#: Name of a file in torch.hub's cache, so that nothing is downloaded.
CACHED = 'vgg11-8a719046.pth'


@pytest.fixture
def photo(tmp_path):
    """A photo of 224 x 224, as a file and as RGB pixels."""
    coarse = np.random.default_rng(0).integers(0, 256, (7, 7, 3), np.uint8)
    rgb = cv2.resize(coarse, (224, 224), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(tmp_path / 'photo.png'), rgb[..., ::-1])
    return tmp_path / 'photo.png', rgb


@pytest.fixture(scope='module')
def hub(tmp_path_factory):
    """torch.hub's folder with a VGG-11 of torchvision: 1/16 of the width, 1,000 classes."""
    folder = tmp_path_factory.mktemp('hub')
    (folder / 'checkpoints').mkdir()
    net, logits = sources.torchvision_net('vgg11', sources.Size(classes=1000))
    torch.save(net.state_dict(), folder / 'checkpoints' / CACHED)
    return folder, logits


@pytest.fixture
def vgg11(hub, monkeypatch):
    folder, logits = hub
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(folder))
    return folder / 'checkpoints' / CACHED, logits


def expected_posterior(logits, rgb):
    """The mean over the photo, which is a single crop, and its flip."""
    flipped = np.ascontiguousarray(rgb[:, ::-1])
    return sum(logits(image).softmax(1)[0] for image in (rgb, flipped)) / 2


@pytest.mark.parametrize('name', WITH_FC)
def test_posteriors_equal_those_of_the_library(name, photo, tmp_path, capsys):
    path, rgb = photo
    logits = published.FILES[name](tmp_path / name)
    (found,) = predict(path, tmp_path / name, scales=[224])
    expected = expected_posterior(logits, rgb)
    np.testing.assert_allclose(found.posterior, expected, atol=2e-4)
    said = capsys.readouterr().err
    assert 'found from the weights: net' in said and 'images: ' in said
    assert '/config' not in said and '.py' not in said


def test_convolutions_alone_give_features_but_no_classes(photo, tmp_path):
    path, _ = photo
    name = 'notop.h5'
    published.keras_notop(tmp_path / name)
    failed = run_tool('predict.py', path, name, cwd=tmp_path, check=False)
    assert failed.returncode == 1 and failed.stderr.count('\n') == 1
    assert 'without fc8 and cannot classify' in failed.stderr
    run_tool('extract_features.py', name, '.', '--layer', 'pool5', '--out', 'f.npz', cwd=tmp_path)
    failed = run_tool('extract_features.py', name, '.', '--out', 'g.npz', cwd=tmp_path, check=False)
    assert "no layer 'fc7' for features; available: conv1_1, " in failed.stderr


def test_ssds_fc6_and_fc7_are_not_a_classifier(photo, tmp_path, capsys):
    path, _ = photo
    net, _ = sources.torchvision_net('vgg16')
    convs = {n: t for n, t in net.state_dict().items() if n.startswith('features.')}
    reduced = {'31.weight': torch.zeros(16, 32, 3, 3), '33.weight': torch.zeros(16, 16, 1, 1)}
    reduced |= {'31.bias': torch.zeros(16), '33.bias': torch.zeros(16)}
    convs |= {f'extras.{i}.weight': torch.zeros(2, 2) for i in range(3)}
    torch.save(convs | {f'features.{n}': t for n, t in reduced.items()}, tmp_path / 'ssd.pth')
    left_out = 'left out: extras.0.weight, extras.1.weight, and 1 more: of no layer of the net'
    with pytest.raises(ValueError, match=rf'without fc8 and cannot classify \({left_out}\): '):
        predict(path, tmp_path / 'ssd.pth')
    # Nor does their 3x3 kernel set the crop size: Q is that of convolutions alone.
    extract_features(path.parent, tmp_path / 'ssd.pth', tmp_path / 'f.npz', layer='conv4_3')
    said = capsys.readouterr().err
    assert 'fc6 3x3), without fc8; Q = 256' in said and f'notice: {left_out}' in said


def test_net_without_its_last_layer_gives_features(photo, tmp_path):
    path, rgb = photo
    net, _ = sources.torchvision_net('vgg11')
    weights = {n: t for n, t in net.state_dict().items() if not n.startswith('classifier.6')}
    torch.save(weights, tmp_path / 'net.pth')
    with pytest.raises(ValueError, match='without fc8 and cannot classify'):
        predict(path, tmp_path / 'net.pth')
    folder = path.parent / 'photos'
    folder.mkdir()
    path.rename(folder / path.name)
    extract_features(folder, tmp_path / 'net.pth', tmp_path / 'f.npz', scales=[224], flip=False)
    found = load_features(tmp_path / 'f.npz').values[0]
    net.classifier[6] = torch.nn.Identity()
    x = torch.from_numpy(rgb.transpose(2, 0, 1).astype(np.float32))[None] / 255
    mean, std = (
        torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    with torch.no_grad():
        expected = torch.nn.functional.normalize(net((x - mean) / std))[0]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_classes_and_weights_of_torchvision(vgg11, photo, tmp_path):
    path, rgb = photo
    file, logits = vgg11
    expected = expected_posterior(logits, rgb)
    first = IMAGENET_CATEGORIES[expected.argmax()]
    # The config of another model in the same folder is ignored.
    (file.parent / 'resnet50.py').write_text("model = dict(type='ResNet')")
    for checkpoint in ('torchvision://vgg11', file):
        (found,) = predict(path, checkpoint, scales=[224])
        np.testing.assert_allclose(found.posterior, expected, atol=1e-5)
        assert found.classes[0] == first
    net = load_net('torchvision://vgg11')
    assert net.classes == list(IMAGENET_CATEGORIES)
    for arguments in (
        dict(pretrained='torchvision://vgg11'),
        dict(pretrained=str(file)),
    ):
        (result,) = VGGInferencer(**arguments, scales=[224])(str(path))
        assert result['pred_class'] == first
        np.testing.assert_allclose(result['pred_scores'], expected, atol=1e-5)
    run_tool('export.py', file, 'net.onnx', cwd=tmp_path)
    import onnx

    model = onnx.load(tmp_path / 'net.onnx')
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(facts['classes']) == list(IMAGENET_CATEGORIES)


def test_model_of_the_zoo_by_its_name(photo, monkeypatch, tmp_path):
    """Files of a narrow net replace the weights and the config of the model."""
    path, rgb = photo
    from mmpretrain.apis import ModelHub

    net, logits = sources.torchvision_net('vgg11', sources.Size(classes=1000))
    torch.save(net.state_dict(), tmp_path / 'net.pth')
    model = ModelHub._models_dict['vgg11_torchvision']
    monkeypatch.setattr(model, 'weights', str(tmp_path / 'net.pth'))
    config = tmp_path / 'narrow.py'
    config.write_text(
        f"_base_ = '{ROOT}/configs/vgg/vgg11_torchvision.py'\n"
        'model = dict(backbone=dict(base_channels=4), head=dict(in_channels=32, fc_channels=16))\n'
    )
    monkeypatch.setattr(model, 'config', str(config))
    expected = expected_posterior(logits, rgb)
    for arguments in (
        dict(model='vgg11_torchvision'),
        dict(model='vgg11_torchvision', pretrained=True),
        dict(pretrained='vgg11_torchvision'),
    ):
        (result,) = VGGInferencer(**arguments, scales=[224])(str(path))
        np.testing.assert_allclose(result['pred_scores'], expected, atol=1e-5)
        assert result['pred_class'] == IMAGENET_CATEGORIES[expected.argmax()]
    for wrong in (dict(), dict(pretrained=None), dict(pretrained=False, model='vgg11_torchvision')):
        with pytest.raises(ValueError, match='give pretrained=CHECKPOINT, or a model that has'):
            VGGInferencer(**wrong)
    with pytest.raises(ValueError, match='vgg13_s256_imagenet has no published weights'):
        VGGInferencer('vgg13_s256_imagenet')


def test_1000_classes_on_a_folder_of_ten(vgg11, tmp_path):
    """Errors are computed with the labels of the ten classes among the 1,000."""
    file, logits = vgg11
    rng = np.random.default_rng(1)
    wrong = []
    for i, number in enumerate(rng.choice(1000, 10, replace=False)):
        rgb = cv2.resize(rng.integers(0, 256, (6, 6, 3), np.uint8), (224, 224))
        best = int(expected_posterior(logits, rgb).argmax())
        number = best if i < 4 else number  # four photos have the predicted class
        folder = tmp_path / 'data' / 'val' / WNIDS[number]
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f'{i}.png'), rgb[..., ::-1])
        wrong.append(best != number)
    errors = 100 * np.mean(wrong)
    assert 0 < errors < 100
    narrow = (
        'model.backbone.base_channels=4',
        'model.head.in_channels=32',
        'model.head.fc_channels=16',
    )
    tested = run_tool(
        'test.py', ROOT / 'configs/vgg/vgg11_torchvision.py', file, '--tta',
        '--cfg-options', 'DATA_ROOT=data', 'tta_pipeline.1.scales=224',
        'test_dataloader.num_workers=0', *narrow, cwd=tmp_path,
    ).stdout  # fmt: skip
    assert 'are matched with the 1,000 that the checkpoint was trained on by name' in tested
    assert f'error/top1: {errors:.4f}' in tested
    shown = run_tool('predict.py', 'data/val', file, '--scales', '224', cwd=tmp_path).stdout
    assert f'top-1 error {errors:.1f} % [' in shown
