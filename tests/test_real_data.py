"""Full-width nets on real photos in ImageNet's folder layout, with the command-line tools."""

import re

import cv2
import h5py
import mmcv
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmpretrain.models.utils import ClsDataPreprocessor

from tests.conftest import ROOT, run_tool
from vgg_mm.apis import load_features
from vgg_mm.apis.convert_weights import read_weights
from vgg_mm.checkpoints import load_checkpoint
from vgg_mm.datasets import LoadImage, ScaleJitter
from vgg_mm.datasets.transforms.resampling import rescale, rescale_crop
from vgg_mm.datasets.transforms.rescale import rescaled_size
from vgg_mm.evaluation import load_posteriors
from vgg_mm.models import VGG

VGG16 = ROOT / 'configs/vgg/vgg16_jitter_imagenet.py'


def as_imagenet(real_data, tmp_path):
    """A folder laid out as ImageNet, with the same photos for training and validation."""
    layout = tmp_path / 'imagenet'
    layout.mkdir()
    for split in ('train', 'val'):
        (layout / split).symlink_to(real_data / 'imagenet_sample')
    return layout


@pytest.mark.slow
def test_full_width_training_resuming_and_testing(real_data, tmp_path):
    """12 iterations, resumed after six, then tests with and without the paper's protocol."""
    layout = as_imagenet(real_data, tmp_path)
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
    # Only one test scale, because 150 crops at full width take minutes.
    for tta, photos in (([], 4), (['--tta'], 1)):
        done = run_tool(
            'test.py', VGG16, 'run/epoch_2.pth', *tta, '--cfg-options', *common,
            'test_dataloader.num_workers=1', f'test_dataloader.dataset.indices={photos}',
            'tta_pipeline.1.scales=256', cwd=tmp_path,
        )  # fmt: skip
        assert re.search(r'error/top1: \d+\.\d+  error/top5', done.stdout)


@pytest.mark.slow
def test_a_full_width_chain(real_data, tmp_path):
    """Net A, then net D from A, with the shipped configs: D's initial weights and its table."""
    layout = as_imagenet(real_data, tmp_path)
    configs = {name: f'{ROOT}/configs/vgg/{name}_s256_imagenet.py' for name in ('vgg11', 'vgg16')}
    (tmp_path / 'a_then_d.py').write_text(
        f"stages = [dict(config='{configs['vgg11']}', name='A'), dict(config='{configs['vgg16']}', "
        "name='D', staged_from='A', test='dense_one_scale')]\n"
    )
    done = run_tool(
        'train_chain.py', 'a_then_d.py', '--work-dir', 'run', '--cfg-options',
        f'DATA_ROOT={layout}', 'model.head.num_classes=100', 'train_cfg.max_epochs=1',
        'train_dataloader.batch_size=3',
        # So small that each stage keeps its initial weights.
        'optim_wrapper.optimizer.lr=1e-12',
        *(f'{kind}_dataloader.num_workers=0' for kind in ('train', 'val', 'test')),
        'train_dataloader.dataset.indices=6', 'val_dataloader.dataset.indices=1',
        'test_dataloader.dataset.indices=1', cwd=tmp_path,
    )  # fmt: skip
    assert 'staged initialisation from' in done.stdout
    a, d = (load_checkpoint(tmp_path / f'run/{n}/epoch_1.pth')['state_dict'] for n in 'AD')
    assert d['head.fc6.weight'].shape == (4096, 25088)
    start = [f'backbone.conv{name}' for name in ('1_1', '2_1', '3_1', '3_2')]
    for layer in [*start, 'head.fc6', 'head.fc7', 'head.fc8']:
        torch.testing.assert_close(d[f'{layer}.weight'], a[f'{layer}.weight'])
    assert not torch.equal(d['backbone.conv4_1.weight'], a['backbone.conv4_1.weight'])
    assert re.search(r'\nD +D +256 +256 +dense +\d', done.stdout)


def test_jitter_on_every_photo(real_data):
    """For grey, CMYK, small and odd photos, the crop equals that of the rescaled whole photo."""
    load, jitter = LoadImage(), ScaleJitter((256, 512))
    paths = sorted((real_data / 'imagenet_sample').glob('*/*'))
    assert len(paths) == 100
    np.random.seed(0)
    differences = []
    for path in paths:
        image = load.transform(dict(img_path=str(path)))['img']
        size, (top, left) = jitter._draw(*image.shape[:2])
        assert size == rescaled_size(*image.shape[:2], min(size))
        whole = rescale(image, size).astype(int)
        crop = rescale_crop(image, size, (top, left), (224, 224))
        difference = np.abs(crop - whole[top : top + 224, left : left + 224])
        assert difference.max() <= 8, path
        differences.append(difference.mean())
    assert np.mean(differences) < 0.2


KERAS_NOTOP = 'weights/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5'


def test_the_authors_convolutions(real_data, tmp_path):
    """conv5_3 of photos equals plain torch with Keras's weights, loaded from two file formats."""
    weights = real_data / KERAS_NOTOP
    if not weights.is_file():
        pytest.skip(f'no {KERAS_NOTOP} in the folder of VGG_MM_DATA')
    with h5py.File(weights) as file:  # sorted by the names of the layers
        kernels = [
            [torch.from_numpy(array[()]) for array in file[layer].values()]
            for layer in sorted(layer for layer in file if 'conv' in layer)
        ]
    photos = sorted((real_data / 'imagenet_sample').glob('*/*'))[:2]
    bgr = np.stack([cv2.resize(mmcv.imread(str(path)), (96, 96)) for path in photos])
    x = torch.from_numpy(bgr.transpose(0, 3, 1, 2).copy())
    expected = x - torch.tensor([103.939, 116.779, 123.68]).view(3, 1, 1)
    with torch.inference_mode():
        for number, (kernel, bias) in enumerate(kernels):
            if number in (2, 4, 7, 10):
                expected = F.max_pool2d(expected, 2)
            kernel = kernel.permute(3, 2, 0, 1)
            expected = F.conv2d(expected, kernel, bias, padding=1).relu()
    assert expected.shape == (2, 512, 6, 6) and expected.max() > 10

    # Keras's file, and a conversion for RGB images with torchvision's names, as others publish it.
    state = load_checkpoint(weights)['state_dict']
    names = [f'features.{i}' for i in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)]
    kinds = [f'{name}.{kind}' for name in names for kind in ('weight', 'bias')]
    rgb = dict(zip(kinds, state.values())) | {kinds[0]: state['backbone.conv1_1.weight'].flip(1)}
    torch.save(rgb, tmp_path / 'vgg16_conv.pth')
    for source in (weights, tmp_path / 'vgg16_conv.pth'):
        found = read_weights(str(source))
        assert found.preprocessing.origin.startswith("recognised: conv1_1 is that of the authors'")
        images = ClsDataPreprocessor(**found.preprocessing.to_meta())(dict(inputs=x))['inputs']
        net = VGG(**found.net.backbone_config(), out_indices=('conv5_3',))
        net.load_state_dict({n.removeprefix('backbone.'): t for n, t in found.weights.items()})
        with torch.inference_mode():
            (maps,) = net.eval()(images)
        torch.testing.assert_close(maps, expected, rtol=1e-4, atol=1e-3)


def test_all_tools_with_the_authors_convolutions(real_data, tmp_path):
    """At full width: finetune, predict, export, features, SVM, test, tables, finetune again."""
    weights = real_data / KERAS_NOTOP
    if not weights.is_file():
        pytest.skip(f'no {KERAS_NOTOP} in the folder of VGG_MM_DATA')
    classes = ('dress', 'shoes')
    for split, count in (('train', 3), ('val', 1)):
        for name in classes:
            (tmp_path / 'photos' / split / name).mkdir(parents=True)
            for path in sorted((real_data / 'clothing' / split / name).iterdir())[:count]:
                (tmp_path / 'photos' / split / name / path.name).symlink_to(path)
    command = ('finetune.py', 'photos', '--head', 'gap', '--epochs', '1', '--batch-size', '2')
    said = run_tool(*command, '--weights', weights, '--work-dir', 'run', cwd=tmp_path).stdout
    assert 'width 64, without fully-connected layers; global average pooling; fc8 is new' in said
    assert "recognised: conv1_1 is that of the authors' net D" in said
    shown = run_tool('predict.py', 'photos/val', 'run', '--scales', '224', cwd=tmp_path).stdout
    assert 'by the names of the folders (2 images)' in shown
    run_tool('export.py', 'run', 'net.onnx', cwd=tmp_path)
    for split in ('train', 'val'):
        options = ('--layer', 'pool5', '--scales', '224', '--out', f'{split}.npz')
        run_tool('extract_features.py', 'run', f'photos/{split}', *options, cwd=tmp_path)
    assert load_features(tmp_path / 'val.npz').values.shape == (2, 512)
    probe = ('linear_probe.py', 'train.npz', '--test', 'val.npz', '--C', '1')
    assert '2 classes' in run_tool(*probe, cwd=tmp_path).stdout
    run_tool(
        'test.py', 'run/photos.py', 'run/photos/epoch_1.pth', '--tta', '--out', 'crops.npz',
        '--cfg-options', 'tta_model.protocol=multi_crop', 'tta_pipeline.1.scales=256', cwd=tmp_path,
    )  # fmt: skip
    both = ('run/photos/posteriors.npz:dense', 'crops.npz:multi_crop')
    run_tool('ensemble.py', *both, '--out', 'both.npz', cwd=tmp_path)
    files = ('run/photos/posteriors.npz', 'crops.npz', 'both.npz')
    scores = [load_posteriors(tmp_path / name).scores for name in files]
    average = (scores[0]['dense'] + scores[1]['multi_crop']) / 2
    np.testing.assert_allclose(scores[2]['mixed'], average, rtol=1e-5)
    table = run_tool('paper_table.py', 'run', 'work_dirs', cwd=tmp_path).stdout
    assert 'Table 4' in table and len(re.findall(r'^D .*(?:dense|multi_crop) ', table, re.M)) == 2
    options = ('--weights', 'run', '--work-dir', 'again', '--dry-run')
    again = run_tool(*command[:2], *options, cwd=tmp_path).stdout
    assert 'global average pooling; fc8 is new' in again and 'recorded: in the config' in again
