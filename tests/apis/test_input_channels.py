"""Grey images and images with opacity, from loading to fine-tuning and prediction."""

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from tests.apis import published
from tests.conftest import A_DIGITS, run_tool, short_run
from vgg_mm.apis import predict
from vgg_mm.apis.config import set_input_channels
from vgg_mm.datasets import CentralCrop, LoadImage, PCAShift, RandomHorizontalFlip

NOTOP = 'vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5'


@pytest.fixture(scope='module')
def home(tmp_path_factory):
    """Photos with opacity in two classes, and weights of a narrow torchvision net for RGB."""
    folder = tmp_path_factory.mktemp('home')
    rng = np.random.default_rng(0)
    for name in ('kreis', 'quadrat'):
        (folder / 'photos' / name).mkdir(parents=True)
        for i in range(5):
            coarse = rng.integers(0, 256, (6, 6, 4), np.uint8)
            rgba = cv2.resize(coarse, (250, 240), interpolation=cv2.INTER_CUBIC)
            Image.fromarray(rgba, 'RGBA').save(folder / 'photos' / name / f'{i}.png')
    published.torchvision(folder / 'vgg11_bn.pth')
    return folder


def test_loaded_channels(home, tmp_path):
    path = str(home / 'photos/kreis/0.png')
    rgba = np.array(Image.open(path))
    grey = LoadImage(in_channels=1)(dict(img_path=path))['img']
    by_pil = np.array(Image.open(path).convert('RGB').convert('L')).astype(int)
    assert grey.shape == rgba.shape[:2] and np.abs(grey - by_pil).max() <= 1
    four = LoadImage(in_channels=4, lazy=True)(dict(img_path=path))['img']
    np.testing.assert_array_equal(four, rgba[..., [2, 1, 0, 3]])
    Image.open(path).convert('RGB').save(tmp_path / 'x.jpg')
    opaque = LoadImage(in_channels=4)(dict(img_path=str(tmp_path / 'x.jpg')))['img']
    assert opaque.shape == rgba.shape and (opaque[..., 3] == 255).all()
    with pytest.raises(ValueError, match='in_channels must be 1, 3 or 4, got 2'):
        LoadImage(in_channels=2)


@pytest.mark.parametrize('channels', [1, 4])
def test_transforms_after_loading(home, channels):
    """Crops treat each channel alike; the colour shift changes only the colour channels."""
    path = str(home / 'photos/kreis/0.png')
    results = LoadImage(in_channels=channels)(dict(img_path=path))
    whole = results['img'].reshape(*results['img'].shape[:2], channels)
    for step in (CentralCrop(scale=80, crop_size=64), RandomHorizontalFlip(1)):
        results = step(results)
    cropped = results['img'].reshape(64, 64, channels)
    for i in range(channels):
        alone = CentralCrop(scale=80, crop_size=64)(dict(img=whole[..., i].copy()))['img']
        np.testing.assert_array_equal(cropped[..., i], alone[:, ::-1])
    np.random.seed(3)
    shifted = PCAShift(alphastd=2)(dict(img=results['img'].copy()))['img']
    if channels == 1:
        np.testing.assert_array_equal(shifted, results['img'])
    else:
        np.random.seed(3)
        colours = PCAShift(alphastd=2)(dict(img=cropped[..., :3].copy()))['img']
        np.testing.assert_array_equal(shifted[..., :3], colours)
        np.testing.assert_array_equal(shifted[..., 3], cropped[..., 3])
        assert (colours != cropped[..., :3]).any()


def test_new_fourth_channel_does_not_change_predictions(home):
    """From weights for RGB; MMPretrain's data preprocessor keeps four channels in BGR order."""
    said = finetune(home, 'vgg11_bn.pth', 'runs/plan', '--in-channels', '4', '--dry-run')
    assert 'images of 4 channels' in said and 'blue, green, red and opacity' in said
    photo = home / 'photos/kreis/1.png'
    (three,), (four,) = (
        predict(photo, home / file, scales=[224])
        for file in ('vgg11_bn.pth', 'runs/plan/start.pth')
    )
    np.testing.assert_allclose(four.posterior, three.posterior, rtol=1e-4)
    assert np.ptp(three.posterior) > 0.01
    rgba = np.array(Image.open(photo))
    (given,) = predict(rgba, home / 'runs/plan/start.pth', scales=[224], channel_order='rgb')
    np.testing.assert_allclose(given.posterior, four.posterior, rtol=1e-5)


def finetune(home, weights, work_dir, *options):
    command = ('photos', '--weights', weights, '--work-dir', work_dir, '--epochs', '1')
    return run_tool('finetune.py', *command, '--batch-size', '4', *options, cwd=home).stdout


@pytest.mark.parametrize('channels', [1, 4])
def test_finetune_and_tools_after_it(home, channels):
    run = f'runs/{channels}'
    finetune(home, 'vgg11_bn.pth', run, '--in-channels', channels)
    weights = torch.load(home / run / 'photos' / 'epoch_1.pth', weights_only=False)['state_dict']
    first = weights['backbone.conv1_1.weight']
    assert (
        first.shape[1] == channels and (first[:, -1] != 0).any()
    )  # weights of the opacity are trained
    shown = run_tool('predict.py', 'photos', run, '--heatmap', f'{run}/maps', cwd=home)
    assert 'by the names of the folders (10 images)' in shown.stdout
    exported = run_tool('export.py', run, f'{run}/net.onnx', cwd=home).stdout
    assert f'(N, {channels}, H, W) float32, {({1: "grey", 4: "BGRA"})[channels]}' in exported
    run_tool('extract_features.py', run, 'photos', '--out', f'{run}/f.npz', cwd=home)
    again = finetune(home, run, f'{run}_again', '--dry-run')
    assert f'images of {channels} channel' in again
    command = ('photos', '--weights', run, '--work-dir', f'{run}_no', '--in-channels', '3')
    failed = run_tool('finetune.py', *command, cwd=home, check=False)
    assert failed.returncode == 1 and f'this one is for {channels}' in failed.stderr


@pytest.mark.parametrize('option', [('--cache-maps', 'on'), ('--unfreeze', '1'), ('--views', '2')])
def test_a_new_channel_needs_the_first_block(home, option):
    command = ('photos', '--weights', 'vgg11_bn.pth', '--work-dir', 'runs/refused')
    failed = run_tool('finetune.py', *command, '--in-channels', '4', *option, cwd=home, check=False)
    message = (
        f'error: {" ".join(option)} is for frozen blocks, and with --in-channels 4 conv1_1 has'
    )
    assert failed.returncode == 1 and failed.stderr.splitlines()[-1].startswith(message)


def test_weight_decay_on_pooled_grey_maps(home):
    """Feature maps of the authors' nets are as large for grey images as for colour images."""
    published.FILES[NOTOP](home / NOTOP)
    said = finetune(home, NOTOP, 'runs/pooled', '--in-channels', '1', '--head', 'gap', '--dry-run')
    assert 'Images     grey, mean 114.799, std 1 (' in said
    assert '; weight decay of fc8 0.2' in said


def test_in_channels_as_option_of_train_py(few_digits, tmp_path):
    """Loading and normalisation of the images are adapted to the net."""
    option = ('model.backbone.in_channels=1',)
    run_tool('train.py', A_DIGITS, *short_run(few_digits, tmp_path, 1, *option), cwd=tmp_path)
    weights = torch.load(tmp_path / 'epoch_1.pth', weights_only=False)['state_dict']
    assert weights['backbone.conv1_1.weight'].shape[1] == 1


def test_given_channels_are_kept():
    load = dict(type='vgg_mm.LoadImage', in_channels=4)
    cfg = Config(
        dict(
            model=dict(
                backbone=dict(in_channels=1),
                data_preprocessor=dict(mean=[1.0, 2.0, 3.0], std=[1.0, 1.0, 4.0], to_rgb=True),
            ),
            a=[[load], dict(pipeline=[dict(type='vgg_mm.LoadImage')])],
        )
    )
    set_input_channels(cfg)
    assert cfg.a[0][0].in_channels == 4 and cfg.a[1].pipeline[0].in_channels == 1
    assert cfg.model.data_preprocessor.mean == [2.0] and cfg.model.data_preprocessor.std == [2.0]
