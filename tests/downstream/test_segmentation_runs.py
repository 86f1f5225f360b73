"""The segmentation configs are run as a user runs them, on generated street scenes."""

import json
import logging
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
import torchvision

from tests.conftest import ROOT, run_tool
from tests.downstream import need

need('mmseg')

import mmseg  # noqa: E402
from mmengine.config import Config, ConfigDict  # noqa: E402
from mmengine.registry import MODELS, DefaultScope  # noqa: E402
from mmseg.registry import DATASETS, METRICS, TRANSFORMS  # noqa: E402

from tests.checkpoints.test_from_classifier import source  # noqa: E402
from tests.downstream import masks  # noqa: E402
from vgg_mm.apis import train  # noqa: E402
from vgg_mm.checkpoints import load_checkpoint  # noqa: E402
from vgg_mm.engine import ClassifierInitHook  # noqa: E402

CONFIGS = sorted(path.stem for path in masks.CONFIGS.glob('*.py'))
FCN = {name: masks.CONFIGS / f'{name}_vgg16_camvid.py' for name in ('fcn32s', 'fcn16s', 'fcn8s')}
CLASSIFIER = 'default_hooks.classifier_init.checkpoint'


@pytest.fixture(scope='module')
def streets(tmp_path_factory):
    return masks.write_streets(tmp_path_factory.mktemp('data') / 'streets')


@pytest.fixture(scope='module')
def classifier(tmp_path_factory):
    """Checkpoint of a narrow net."""
    path = tmp_path_factory.mktemp('classifier') / 'd.pth'
    torch.save(dict(state_dict=source().state_dict()), path)
    return path


def short_run(name, data, epochs, *options):
    """Options for a run of a few seconds, with two iterations per epoch."""
    sizes = [f'{key}={value}' for key, value in masks.narrow(name).items()]
    return [
        '--cfg-options',
        f'DATA_ROOT={data}',
        *[size.replace(' ', '') for size in sizes],
        f'train_cfg.max_epochs={epochs}',
        'train_cfg.val_interval=1',
        'train_dataloader.batch_size=2',
        'train_dataloader.num_workers=0',
        'val_dataloader.num_workers=0',
        'test_dataloader.num_workers=0',
        'default_hooks.logger.interval=1',
        'randomness.seed=1',
        *options,
    ]


@pytest.fixture(scope='module')
def fcn32s(streets, classifier, tmp_path_factory):
    """Work directory of FCN-32s, trained for two epochs from the classifier."""
    folder = tmp_path_factory.mktemp('fcn32s')
    options = short_run('fcn32s_vgg16', streets, 2, f'{CLASSIFIER}={classifier}')
    done = run_tool('train.py', FCN['fcn32s'], '--work-dir', 'run', *options, cwd=folder)
    assert 'decode_head.fc6 <- fc6, kept (16, 1568)' in done.stdout
    assert 'decode_head.conv_seg: as initialised' in done.stdout
    return folder / 'run'


def state(path):
    return load_checkpoint(path)['state_dict']


def metrics(work_dir):
    rows = [
        json.loads(line)
        for path in sorted(work_dir.glob('*/vis_data/scalars.json'))
        for line in path.read_text().splitlines()
    ]
    return [row['mIoU'] for row in rows if 'mIoU' in row]


def test_the_three_stages(fcn32s, streets, tmp_path):
    """Each net starts from the previous one; its new score layers are trained."""
    before = fcn32s / 'epoch_2.pth'
    for name, pool in (('fcn16s', 4), ('fcn8s', 3)):
        options = short_run(f'{name}_vgg16', streets, 1, f'load_from={before}')
        done = run_tool('train.py', FCN[name], '--work-dir', name, *options, cwd=tmp_path)
        assert f'Load checkpoint from {before}' in done.stdout
        old, new = state(before), state(tmp_path / name / 'epoch_1.pth')
        score = new[f'decode_head.score_pool{pool}.weight']
        assert score.any() and score.abs().max() < 0.1
        moved = (new['decode_head.fc6.weight'] - old['decode_head.fc6.weight']).abs().max()
        assert moved < 0.01  # copied, then slightly trained
        before = tmp_path / name / 'epoch_1.pth'
    options = short_run('fcn8s_vgg16', streets, 1)
    done = run_tool('test.py', FCN['fcn8s'], before, '--show-dir', 'shown', *options, cwd=tmp_path)
    tested = float(re.search(r'Epoch\(test\).*mIoU: ([\d.]+)', done.stdout)[1])
    assert tested == pytest.approx(metrics(tmp_path / 'fcn8s')[-1], abs=1e-3)
    assert list((tmp_path / 'shown').rglob('*.png'))


def test_resuming_is_exact(fcn32s, streets, classifier, tmp_path):
    """A run that is resumed after one epoch ends with the weights of an uninterrupted run."""
    given = f'{CLASSIFIER}={classifier}'
    options = short_run('fcn32s_vgg16', streets, 1, given)
    run_tool('train.py', FCN['fcn32s'], '--work-dir', 'run', *options, cwd=tmp_path)
    options = short_run('fcn32s_vgg16', streets, 2, given)
    command = ['train.py', FCN['fcn32s'], '--work-dir', 'run', '--resume', *options]
    done = run_tool(*command, cwd=tmp_path)
    assert 'resumed epoch: 1' in done.stdout and 'initialised from' not in done.stdout
    whole, resumed = state(fcn32s / 'epoch_2.pth'), state(tmp_path / 'run/epoch_2.pth')
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in whole.items())


def test_two_runs_in_one_process_have_curves_of_their_own(streets, tmp_path, monkeypatch):
    """Although MMSegmentation's configs, as MMDetection's, name all visualizers the same."""
    monkeypatch.chdir(tmp_path)
    options = short_run('fcn32s_vgg16', streets, 1, f'{CLASSIFIER}=None')[1:]
    for name in ('a', 'b'):
        train(FCN['fcn32s'], work_dir=name, cfg_options=options)
    assert [len(metrics(tmp_path / name)) for name in ('a', 'b')] == [1, 1]


def test_the_best_checkpoint_of_another_metric(streets, tmp_path):
    """The best checkpoint is by the first reported metric except pixel accuracy."""
    options = short_run('fcn32s_vgg16', streets, 1, 'val_evaluator.iou_metrics=[mDice]')
    run_tool('train.py', FCN['fcn32s'], '--work-dir', 'run', *options, cwd=tmp_path)
    assert (tmp_path / 'run/best_mDice_epoch_1.pth').is_file()


def test_mmseg_alone_runs_a_config(streets, classifier, tmp_path):
    """A user's config is trained like in mmseg's tools/train.py, without this package's tools."""
    (tmp_path / 'own.py').write_text(
        f'_base_ = {str(masks.CONFIGS / "deeplab_largefov_vgg16_camvid.py")!r}\n'
        'model = dict(backbone=dict(base_channels=4),\n'
        '             decode_head=dict(in_channels=32, fc_channels=8))\n'
        f'train_dataloader = dict(num_workers=0, persistent_workers=False, batch_size=2,\n'
        f'                        dataset=dict(data_root={str(streets)!r}))\n'
        f'val_dataloader = dict(num_workers=0, persistent_workers=False,\n'
        f'                      dataset=dict(data_root={str(streets)!r}))\n'
        'test_dataloader = val_dataloader\n'
        'train_cfg = dict(max_epochs=1, val_interval=1)\n'
        "default_hooks = dict(classifier_init=dict(checkpoint='d.pth'))\n"
    )
    (tmp_path / 'd.pth').write_bytes(classifier.read_bytes())
    (tmp_path / 'mmsegs_train.py').write_text(
        'from mmengine.config import Config\nfrom mmengine.runner import Runner\n'
        "cfg = Config.fromfile('own.py')\ncfg.work_dir = 'run'\n"
        'Runner.from_cfg(cfg).train()\n'
    )
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', 'mmsegs_train.py'],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(metrics(tmp_path / 'run')) == 1
    assert 'decode_head.fc6 <- fc6, folded, sub-sampled' in done.stdout
    assert (tmp_path / 'run/epoch_1.pth').exists()


def test_the_loss_falls(streets, classifier, tmp_path):
    """The loss falls on four images whose classes differ in colour."""
    options = short_run('fcn32s_vgg16', streets, 12, f'{CLASSIFIER}={classifier}')
    options += ['train_cfg.val_interval=12', 'default_hooks.checkpoint.interval=12']
    options.append('optim_wrapper.optimizer.lr=0.05')  # for a narrow net with random weights
    done = run_tool('train.py', FCN['fcn32s'], '--work-dir', 'run', *options, cwd=tmp_path)
    losses = [float(x) for x in re.findall(r'Epoch\(train\).* loss: (\d+\.\d+)', done.stdout)]
    assert losses[0] == pytest.approx(np.log(11), abs=1e-3)  # all scores are zero
    assert losses[-1] < 0.8 * losses[0]


BAD_INPUT = [
    ('fcn32s', ['DATA_ROOT=nowhere'], "no data folder 'nowhere/img_dir/train': give yours with"),
    ('fcn32s', ['model.decode_head.num_classes=7'], 'model.decode_head.num_classes=11'),
    ('fcn32s', [f'{CLASSIFIER}=nowhere.pth'], 'nowhere.pth'),
    ('fcn32s', ['model.decode_head.kernel_size=4'], 'kernel_size must be an odd number'),
    ('fcn16s', [], 'work_dirs/fcn32s_vgg16_camvid/epoch_30.pth'),
    (
        'fcn16s',
        ['load_from={classifier}', f'{CLASSIFIER}={{classifier}}'],
        'would replace the weights of load_from=',
    ),
    (
        'fcn32s',
        ['model.backbone.base_channels=8', f'{CLASSIFIER}={{classifier}}'],
        'conv1_1.weight',
    ),
]


@pytest.mark.parametrize('name, options, message', BAD_INPUT)
def test_bad_input_is_one_line(name, options, message, streets, classifier, tmp_path):
    options = [option.format(classifier=classifier) for option in options]
    if 'model.backbone.base_channels=8' in options:
        options.append('model.decode_head.in_channels=64')
    arguments = short_run(f'{name}_vgg16', streets, 1, *options)
    done = run_tool('train.py', FCN[name], *arguments, cwd=tmp_path, check=False)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith('error: ')]
    assert message in line
    assert 'Traceback' not in done.stderr


def foreign(tmp_path):
    """A checkpoint of another architecture."""
    path = tmp_path / 'resnet.pth'
    torch.save(torchvision.models.resnet18().state_dict(), path)
    return path


def normed(tmp_path):
    path = tmp_path / 'bn.pth'
    torch.save(dict(state_dict=source(norm_cfg=dict(type='BN')).state_dict()), path)
    return path


@pytest.mark.parametrize(
    'checkpoint, message',
    [
        (foreign, 'no VGG found in any known layout'),
        (normed, "has batch norms, the model has none: give the backbone norm_cfg=dict(type='BN')"),
    ],
)
def test_classifiers_that_do_not_fit_are_one_line(checkpoint, message, tmp_path):
    runner = SimpleNamespace(model=masks.fcn(), iter=0, logger=logging.getLogger('init'))
    with pytest.raises(ValueError) as error:
        ClassifierInitHook(checkpoint(tmp_path)).before_train(runner)
    assert message in str(error.value) and '\n' not in str(error.value)


@pytest.mark.parametrize('name', CONFIGS)
def test_every_config_builds(name, tmp_path):
    """Model, pipelines and evaluator are built; the net takes an image with odd sides."""
    cfg = Config.fromfile(masks.CONFIGS / f'{name}.py')
    cfg.merge_from_dict(masks.narrow(name))
    cv2.imwrite(str(tmp_path / 'a.png'), np.full((45, 67, 3), 128, np.uint8))
    cv2.imwrite(str(tmp_path / 'mask.png'), np.ones((45, 67), np.uint8))
    found = dict(img_path=str(tmp_path / 'a.png'), seg_map_path=str(tmp_path / 'mask.png'))
    train = cfg.train_dataloader.dataset
    pipeline = (train.datasets[1] if 'datasets' in train else train).pipeline
    with DefaultScope.overwrite_default_scope('mmseg'):
        net = MODELS.build(cfg.model).eval()
        assert DATASETS.get(cfg.val_dataloader.dataset.type) is not None
        METRICS.build(cfg.val_evaluator)
        for steps in (pipeline, cfg.test_dataloader.dataset.pipeline):
            results = dict(found, reduce_zero_label=False, seg_fields=[])
            for step in steps:
                results = TRANSFORMS.build(step)(results)
        batch = dict(inputs=[results['inputs']], data_samples=[results['data_samples']])
        (answer,) = net.test_step(batch)
    assert answer.pred_sem_seg.shape == (45, 67)
    classes = 11 if 'camvid' in name else 21
    assert answer.seg_logits.data.shape[0] == classes
    ignored = cfg.test_evaluator.get('ignore_index', 255)
    assert cfg.model.decode_head.ignore_index == cfg.model.data_preprocessor.seg_pad_val == ignored


def examples():
    """The configs shown in docs/segmentation.md; those without ``_base_`` are parts of a config."""
    blocks = (ROOT / 'docs/segmentation.md').read_text().split('```python\n')[1:]
    texts = [block.split('```')[0] for block in blocks]
    assert len(texts) == 3
    return texts


@pytest.mark.parametrize('text', examples(), ids=['FCN', 'LargeFOV', 'ASPP'])
def test_the_docs_examples_build(text, tmp_path):
    bases = Path(mmseg.__file__).parent / '.mim/configs/_base_'
    if '_base_' in text and not bases.is_dir():
        pytest.skip("mmseg's configs are not installed")
    (tmp_path / 'own.py').write_text(text.replace('../_base_', str(bases)))
    cfg = Config.fromfile(tmp_path / 'own.py')
    model = dict(type='EncoderDecoder', test_cfg=dict(mode='whole'))
    model.update(cfg.model, pretrained=None)
    with DefaultScope.overwrite_default_scope('mmseg'), torch.device('meta'):
        net = MODELS.build(ConfigDict(model)).eval()
        channels = net.decode_head.in_channels
    assert channels in ([256, 512, 512], [512], 512)


def test_the_papers_rates():
    """Each finer FCN has 1/100 of the previous learning rate, LargeFOV's score layer 10 times."""
    rates = {
        name: Config.fromfile(masks.CONFIGS / f'{name}_vgg16_voc12aug.py').optim_wrapper
        for name in ('fcn32s', 'fcn16s', 'fcn8s', 'deeplab_largefov')
    }
    assert rates['fcn32s'].optimizer.lr == 1e-4
    assert rates['fcn16s'].optimizer.lr == 1e-6 and rates['fcn8s'].optimizer.lr == 1e-8
    assert rates['deeplab_largefov'].paramwise_cfg.custom_keys.conv_seg.lr_mult == 10


def test_data_root_reaches_joined_data_sets(tmp_path):
    """DATA_ROOT applies to VOC + SBD: missing files are reported with this folder."""
    options = ['--cfg-options', f'DATA_ROOT={tmp_path}', f'{CLASSIFIER}=None']
    config = masks.CONFIGS / 'fcn32s_vgg16_voc12aug.py'
    done = run_tool('train.py', config, *options, cwd=tmp_path, check=False)
    assert f"no annotation file '{tmp_path}/ImageSets/Segmentation/train.txt'" in done.stderr
