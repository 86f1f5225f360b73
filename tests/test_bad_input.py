"""User errors end with a one-line message."""

import re
import shutil

import cv2
import numpy as np
import pytest
import torch

from tests.checkpoints.test_safe_load import hostile
from tests.conftest import A_DIGITS, D_DIGITS, ROOT, run_tool, short_run


@pytest.fixture
def data(few_digits, tmp_path):
    """A copy of the digits, which tests may damage."""
    return shutil.copytree(few_digits, tmp_path / 'data')


def train(config, data, *options, arguments=()):
    options = short_run(data, 'run', 1, 'train_dataloader.num_workers=1', *options)
    return ['train.py', config, *arguments, *options]


def test(config, checkpoint, data, *options, arguments=()):
    options = ['--cfg-options', f'DATA_ROOT={data}', *options]
    return ['test.py', config, checkpoint, *arguments, *options]


test.__test__ = False  # arguments of test.py


def first_image(folder):
    return sorted(folder.glob('train/*/*'))[0]


def break_image(content):
    """Replace every training image of class 0 by this content, so that one is certainly loaded."""

    def apply(data):
        for path in data.glob('train/0/*'):
            path.unlink()
            path.with_suffix('.jpg').write_bytes(content)

    return apply


def truncated_jpeg():
    image = np.random.default_rng(0).integers(0, 256, (50, 50, 3), dtype=np.uint8)
    content = cv2.imencode('.jpg', image)[1].tobytes()
    return content[: len(content) // 2]


def remove_images(data):
    shutil.rmtree(data / 'train')
    (data / 'train').mkdir()


def remove_files(data, split='train'):
    for path in data.glob(f'{split}/*/*'):
        path.unlink()


def break_all(data):
    for path in data.glob('train/*/*'):
        path.write_bytes(b'some text')


def folder_at(path):
    path.mkdir()
    return path


def half_checkpoint(checkpoint, folder):
    """Write the first half of a checkpoint as the only one in the work directory."""
    target = folder / 'run' / 'epoch_1.pth'
    target.parent.mkdir()
    content = checkpoint.read_bytes()
    target.write_bytes(content[: len(content) // 2])
    return target


def mid_epoch(checkpoint):
    """The same checkpoint as if it had been written after three iterations of the next epoch."""
    content = torch.load(checkpoint, weights_only=False)
    content['meta']['iter'] += 3
    target = checkpoint.with_name('mid_epoch.pth')
    torch.save(content, target)
    return target


NARROWER = ('model.backbone.base_channels=8', 'model.head.in_channels=64')

CASES = {
    'unknown arch': (
        lambda d, c: train(A_DIGITS, d, 'model.backbone.arch=F'),
        "VGG: unknown arch 'F'; choose one of A, A-LRN, B",
    ),
    'S below the crop': (
        lambda d, c: train(A_DIGITS, d, 'train_dataloader.dataset.pipeline.1.scale=32'),
        'ScaleJitter: S must be at least crop_size, got S=32 and crop_size=64',
    ),
    'image smaller than the crop': (
        lambda d, c: test(A_DIGITS, c, d, 'tta_pipeline.1.scales=32', arguments=['--tta']),
        'an image is 32x32 at test scale Q=32, smaller than a crop of 64x64',
    ),
    'empty test set': (
        lambda d, c: (remove_files(d, 'val'), test(A_DIGITS, c, d, arguments=['--tta']))[1],
        'Found 0 files .*/data/val',
    ),
    'unknown test config': (
        lambda d, c: test(A_DIGITS, c, d, arguments=['--tta-cfg', 'denser']),
        "protocol 'denser': no such file, nor one of all, dense, dense_multi_crop",
    ),
    'posteriors of no known ending': (
        lambda d, c: test(A_DIGITS, c, d, arguments=['--out', 'posteriors.txt']),
        '--out posteriors.txt: for --out-item pred the file must end in .npz',
    ),
    'missing data folder': (
        lambda d, c: train(A_DIGITS, d / 'nothing'),
        'no data folder .*nothing/train.*DATA_ROOT=FOLDER',
    ),
    'empty data folder': (
        lambda d, c: (remove_images(d), train(A_DIGITS, d))[1],
        'no class folders in .*/data/train',
    ),
    'class folders without images': (
        lambda d, c: (remove_files(d), train(A_DIGITS, d))[1],
        'Found 0 files .*/data/train.*extensions are',
    ),
    'other validation class': (
        lambda d, c: ((d / 'val' / '3').rename(d / 'val' / 'three'), train(A_DIGITS, d))[1],
        "the validation set's 10 classes are not the 10 of the training set .'0', ....: 'three' is",
    ),
    'wrong number of classes': (
        lambda d, c: train(A_DIGITS, d, 'model.head.num_classes=7'),
        'the training set has 10 classes, but the head is for 7: .*model.head.num_classes=10',
    ),
    'test set of other classes': (
        lambda d, c: ((d / 'val' / '3').rename(d / 'val' / 'three'), test(A_DIGITS, c, d))[1],
        "the test set's 10 classes are not the 10 that the checkpoint was trained on "
        ".'0', ....: 'three' is none of them; .*class_check.names=False",
    ),
    'truncated JPEG': (
        lambda d, c: (break_image(truncated_jpeg())(d), train(A_DIGITS, d))[1],
        r'truncated JPEG file \(no end marker\): .*/data/train/0/\d+.jpg',
    ),
    'text named .jpg': (
        lambda d, c: (break_image(b'some text')(d), train(A_DIGITS, d))[1],
        r'not an image, or of a format that cannot be read: .*/train/0/\d+.jpg',
    ),
    'empty file': (
        lambda d, c: (break_image(b'')(d), train(A_DIGITS, d))[1],
        r'empty image file: .*/train/0/\d+.jpg',
    ),
    'checkpoint of another net': (
        lambda d, c: test(D_DIGITS, c, d),
        'the checkpoint is of another net: backbone.conv1_2.bias is missing; .* more',
    ),
    'checkpoint of another width': (
        lambda d, c: test(A_DIGITS, c, d, *NARROWER),
        'of another net: .* is .16,., the model expects .8,.',
    ),
    'missing checkpoint': (
        lambda d, c: test(A_DIGITS, d / 'no.pth', d),
        'checkpoint not found: .*no.pth',
    ),
    'text as checkpoint': (
        lambda d, c: test(A_DIGITS, ROOT / 'README.md', d),
        'checkpoint .*README.md (is truncated or not a PyTorch file|was not loaded)',
    ),
    'missing checkpoint for staging': (
        lambda d, c: train(D_DIGITS, d, 'default_hooks.staged_init.checkpoint=no.pth'),
        'checkpoint not found: no.pth',
    ),
    'staging from another width': (
        lambda d, c: train(
            D_DIGITS,
            d,
            *NARROWER,
            f'default_hooks.staged_init.checkpoint={c}',
        ),
        r'conv1_1.weight of .* is \(16, 3, 3, 3\), but .* is \(8, 3, 3, 3\)',
    ),
    'resume from a missing file': (
        lambda d, c: train(A_DIGITS, d, arguments=['--resume', 'no.pth']),
        'checkpoint not found: no.pth',
    ),
    'resume from another net': (
        lambda d, c: train(D_DIGITS, d, arguments=['--resume', c]),
        'the checkpoint is of another net',
    ),
    'missing config': (
        lambda d, c: train('configs/no.py', d),
        'config not found: configs/no.py',
    ),
    'misspelt name of a config': (
        lambda d, c: train('vgg11_jiter_digits', d),
        "config not found: vgg11_jiter_digits; did you mean 'vgg11_jitter_digits', which comes",
    ),
    'typo in a section': (
        lambda d, c: train(A_DIGITS, d, 'optim_wraper.optimizer.lr=1'),
        "the config has no 'optim_wraper'; did you mean 'optim_wrapper'",
    ),
    'typo in a key': (
        lambda d, c: train(A_DIGITS, d, 'loadfrom=a.pth'),
        "the config has no 'loadfrom'; did you mean 'load_from'",
    ),
    'typo in an argument': (
        lambda d, c: train(A_DIGITS, d, 'model.head.num_clases=10'),
        "model.head has no parameter 'num_clases'; did you mean 'model.head.num_classes'",
    ),
    'unknown type': (
        lambda d, c: train(A_DIGITS, d, 'model.backbone.type=vgg_mm.VGGG'),
        'vgg_mm.VGGG',
    ),
    'option without a value': (
        lambda d, c: train(A_DIGITS, d, 'randomness.seed'),
        "--cfg-options expects key=value, got 'randomness.seed'",
    ),
    'unknown initialiser': (
        lambda d, c: train(A_DIGITS, d, 'model.backbone.init_cfg=xavier'),
        "VGG: unknown init_cfg 'xavier'; choose one of normal_var",
    ),
    'head narrower than the backbone': (
        lambda d, c: train(A_DIGITS, d, 'model.head.in_channels=64'),
        'ConvHead: expects a map of 64 channels',
    ),
    'unknown test protocol': (
        lambda d, c: test(A_DIGITS, c, d, 'tta_model.protocol=densely', arguments=['--tta']),
        "PaperTTA: unknown protocol 'densely'; choose among dense, multi_crop",
    ),
    'an output file that is a folder': (
        lambda d, c: test(A_DIGITS, c, d, arguments=['--out', folder_at(d.parent / 'q.npz')]),
        '--out .*q.npz is a folder; give a file in it',
    ),
    'only truncated checkpoints to resume from': (
        lambda d, c: (half_checkpoint(c, d.parent), train(A_DIGITS, d, arguments=['--resume']))[1],
        'no intact checkpoint to resume from in run: run/epoch_1.pth is truncated',
    ),
    'resume a truncated checkpoint': (
        lambda d, c: train(A_DIGITS, d, arguments=['--resume', half_checkpoint(c, d.parent)]),
        'checkpoint .*epoch_1.pth is truncated or not a PyTorch file',
    ),
    'resume with another batch within an epoch': (
        lambda d, c: train(
            A_DIGITS, d, 'train_dataloader.batch_size=12', arguments=['--resume', mid_epoch(c)]
        ),
        'written at iteration 3 of 5 in an epoch with 24 images an iteration, now there are 12',
    ),
    'skipping without LoadImage': (
        lambda d, c: train(
            A_DIGITS,
            d,
            'train_dataloader.dataset.pipeline.0.type=LoadImageFromFile',
            arguments=['--broken-images', 'skip'],
        ),
        '--broken-images skip needs vgg_mm.LoadImage in the training pipeline',
    ),
    'nothing but broken images': (
        lambda d, c: (
            break_all(d),
            train(A_DIGITS, d, arguments=['--broken-images', 'skip']),
        )[1],
        'Cannot find valid image after 1000|not an image',
    ),
    'guard with an unknown action': (
        lambda d, c: train(A_DIGITS, d, 'default_hooks.loss_guard.at_chance=halt'),
        "LossGuardHook: at_chance must be one of stop, warn, off, got 'halt'",
    ),
    'unknown linear rule': (
        lambda d, c: train(A_DIGITS, d, 'auto_scale_lr=None', arguments=['--auto-scale-lr']),
        '--auto-scale-lr: .* has no auto_scale_lr=dict.base_batch_size',
    ),
}


@pytest.mark.parametrize('case', CASES)
def test_one_clear_line(case, data, net_a, tmp_path):
    arguments, message = CASES[case]
    done = run_tool(*arguments(data, net_a / 'epoch_2.pth'), cwd=tmp_path, check=False)
    lines = [line for line in done.stderr.splitlines() if line.startswith('error: ')]
    assert done.returncode == 1, done.stderr[-2000:]
    assert 'Traceback' not in done.stderr + done.stdout, done.stderr[-2000:]
    assert len(lines) == 1 and re.search(message, lines[0]), done.stderr[-2000:]


def test_traceback_on_demand(tmp_path):
    done = run_tool('train.py', 'no.py', cwd=tmp_path, check=False, env={'VGG_MM_TRACEBACK': '1'})
    assert 'Traceback' in done.stderr and 'config not found: no.py' in done.stderr


def test_code_in_a_hostile_checkpoint_is_not_run(few_digits, tmp_path):
    marker = tmp_path / 'marker'
    torch.save(
        dict(state_dict={}, meta=hostile(marker)['os.system']),
        tmp_path / 'hostile.pth',
    )
    for arguments in (
        test(A_DIGITS, tmp_path / 'hostile.pth', few_digits),
        train(A_DIGITS, few_digits, arguments=['--resume', tmp_path / 'hostile.pth']),
        train(A_DIGITS, few_digits, f'default_hooks.staged_init.checkpoint={tmp_path}/hostile.pth'),
    ):
        done = run_tool(*arguments, cwd=tmp_path, check=False)
        assert done.returncode == 1 and 'hostile.pth was not loaded' in done.stderr
    assert not marker.exists()
