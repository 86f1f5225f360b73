"""On real photos: full-width VGG-16 from a folder laid out as ImageNet, by the command line."""

import re

import mmcv
import numpy as np

from tests.conftest import ROOT, run_tool
from vgg_mm.checkpoints import load_checkpoint
from vgg_mm.datasets import LoadImage, ScaleJitter
from vgg_mm.datasets.transforms.resampling import resample_crop
from vgg_mm.datasets.transforms.rescale import rescaled_size

VGG16 = ROOT / 'configs/vgg/vgg16_jitter_imagenet.py'


def test_full_width_training_resuming_and_testing(real_data, tmp_path):
    """12 iterations in two halves, then a test with and without the paper's protocol."""
    layout = tmp_path / 'imagenet'
    layout.mkdir()
    for split in ('train', 'val'):
        (layout / split).symlink_to(real_data / 'imagenet_sample')
    common = [f'DATA_ROOT={layout}', 'model.head.num_classes=100']
    options = [
        *common,
        'randomness.seed=0',
        'train_dataloader.batch_size=5',
        'train_dataloader.num_workers=1',
        'train_dataloader.dataset.indices=30',
        'val_dataloader.num_workers=1',
        'val_dataloader.dataset.indices=10',
        'default_hooks.logger.interval=1',
        'default_hooks.checkpoint.save_best=None',
    ]
    log = ''
    for epochs, resume in ((1, []), (2, ['--resume'])):
        done = run_tool(
            'train.py', VGG16, *resume, '--work-dir', 'run', '--cfg-options', *options,
            f'train_cfg.max_epochs={epochs}', cwd=tmp_path,
        )  # fmt: skip
        log += done.stdout
    losses = [float(x) for x in re.findall(r'Epoch\(train\).* loss: (\d+\.\d+)', log)]
    assert len(losses) == 12 and np.isfinite(losses).all()
    assert np.mean(losses[-4:]) < np.mean(losses[:4])
    state = load_checkpoint(tmp_path / 'run' / 'epoch_2.pth')
    assert state['meta']['iter'] == 12
    assert state['state_dict']['head.fc6.weight'].shape == (4096, 25088)
    # One test scale: 150 crops of full width take minutes.
    for tta, photos in (([], 4), (['--tta'], 1)):
        done = run_tool(
            'test.py', VGG16, 'run/epoch_2.pth', *tta, '--cfg-options', *common,
            'test_dataloader.num_workers=1', f'test_dataloader.dataset.indices={photos}',
            'tta_pipeline.1.scales=256', cwd=tmp_path,
        )  # fmt: skip
        assert re.search(r'error/top1: \d+\.\d+  error/top5', done.stdout)


def test_jitter_on_every_photo(real_data):
    """Grey, CMYK, small and odd ones: the crop is that of rescaling the whole photo."""
    load, jitter = LoadImage(), ScaleJitter((256, 512))
    paths = sorted((real_data / 'imagenet_sample').glob('*/*'))
    assert len(paths) == 100
    np.random.seed(0)
    differences = []
    for path in paths:
        image = load.transform(dict(img_path=str(path)))['img']
        size, (top, left) = jitter._draw(*image.shape[:2])
        assert size == rescaled_size(*image.shape[:2], min(size))
        whole = mmcv.imresize(image, size[::-1]).astype(int)
        crop = resample_crop(image, size, (top, left), 224)
        difference = np.abs(crop - whole[top : top + 224, left : left + 224])
        assert difference.max() <= 1, path
        differences.append(difference.mean())
    assert np.mean(differences) < 0.2
