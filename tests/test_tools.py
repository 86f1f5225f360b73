"""train.py and test.py as a user runs them, on a few of the digits."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import mmcv
import mmengine
import pytest
import torch
from sklearn.datasets import load_digits

from tests.conftest import A_DIGITS, D_DIGITS, ROOT, run_tool, short_run
from vgg_mm.checkpoints import load_checkpoint
from vgg_mm.models.architectures import STAGED_LAYERS


def weights(work_dir, epoch):
    return load_checkpoint(work_dir / f'epoch_{epoch}.pth')['state_dict']


def losses(done):
    return [float(x) for x in re.findall(r'Epoch\(train\).* loss: (\d+\.\d+)', done.stdout)]


@pytest.fixture(scope='module')
def net_d(few_digits, net_a, tmp_path_factory):
    """Net D, initialised from A, trained for one short epoch."""
    work_dir = tmp_path_factory.mktemp('net_d')
    staged = f'default_hooks.staged_init.checkpoint={net_a}/epoch_2.pth'
    done = run_tool('train.py', D_DIGITS, *short_run(few_digits, work_dir, 1, staged), cwd=work_dir)
    assert f'staged initialisation from {net_a}/epoch_2.pth' in done.stdout
    return work_dir


def test_training_leaves_what_mmengine_users_expect(net_a):
    assert (net_a / 'last_checkpoint').read_text().endswith('epoch_2.pth')
    assert list(net_a.glob('best_accuracy_top1_epoch_*.pth'))
    assert (net_a / 'vgg11_jitter_digits.py').exists()
    (scalars,) = net_a.glob('*/vis_data/scalars.json')
    rows = [json.loads(line) for line in scalars.read_text().splitlines()]
    assert {'lr', 'loss', 'epoch', 'step'} <= set(rows[0])
    assert any('error/top1' in row and 'accuracy/top5' in row for row in rows)


def test_resume_goes_on_where_it_stopped(few_digits, tmp_path):
    """One epoch, then --resume for the second, with weights, optimizer and counters."""
    single = 'train_dataloader.num_workers=0'
    run_tool('train.py', A_DIGITS, *short_run(few_digits, 'run', 1, single), cwd=tmp_path)
    first = load_checkpoint(tmp_path / 'run' / 'epoch_1.pth')
    options = [*short_run(few_digits, 'run', 2, single), 'optim_wrapper.optimizer.momentum=0.5']
    done = run_tool('train.py', A_DIGITS, '--resume', *options, cwd=tmp_path)
    assert 'resumed epoch: 1, iter: 5' in done.stdout
    assert 'Epoch(train) [2][1/5]' in done.stdout and 'Epoch(train) [1]' not in done.stdout
    second = load_checkpoint(tmp_path / 'run' / 'epoch_2.pth')
    assert (first['meta']['iter'], second['meta']['iter']) == (5, 10)
    # The optimizer is the checkpoint's: its momentum, not the one given above.
    assert second['optimizer']['param_groups'][0]['momentum'] == 0.9
    moved = second['state_dict']['head.fc7.weight'] - first['state_dict']['head.fc7.weight']
    assert 0 < moved.abs().max() < 0.1


def test_resume_never_stages_again(few_digits, net_a, net_d, tmp_path):
    staged = f'default_hooks.staged_init.checkpoint={net_a}/epoch_2.pth'
    done = run_tool(
        'train.py',
        D_DIGITS,
        '--resume',
        net_d / 'epoch_1.pth',
        *short_run(few_digits, tmp_path, 2, staged, 'optim_wrapper.optimizer.lr=0'),
        cwd=tmp_path,
    )
    assert 'staged initialisation' not in done.stdout
    before, after = weights(net_d, 1), weights(tmp_path, 2)
    assert not torch.equal(before['head.fc7.weight'], weights(net_a, 2)['head.fc7.weight'])
    # The optimizer's momentum and rate come from the checkpoint: the net moves on a little.
    assert (after['head.fc7.weight'] - before['head.fc7.weight']).abs().max() < 0.1


def test_staged_initialisation_under_ddp(few_digits, net_a, tmp_path):
    """Two processes; at learning rate 0 the copied layers are the source's at the end."""
    launcher = ['-m', 'torch.distributed.run', '--nproc_per_node=2', '--master_port=29611']
    options = [
        'optim_wrapper.optimizer.lr=0',
        'train_dataloader.num_workers=0',
        'val_dataloader.num_workers=0',
        f'default_hooks.staged_init.checkpoint={net_a}/epoch_2.pth',
    ]
    done = run_tool(
        'train.py',
        D_DIGITS,
        '--launcher',
        'pytorch',
        *short_run(few_digits, tmp_path, 1, *options),
        cwd=tmp_path,
        launcher=launcher,
    )
    assert 'Epoch(val)' in done.stdout
    source, target = weights(net_a, 2), weights(tmp_path, 1)
    for name, value in target.items():
        # Biases that are not copied start at zero.
        staged = name.split('.')[1] in STAGED_LAYERS
        expected = source[name] if staged else torch.zeros_like(value)
        if staged or name.endswith('bias'):
            assert torch.equal(value, expected), name
        else:
            assert name not in source or not torch.equal(value, source[name]), name


@pytest.mark.parametrize('tta', [False, True])
def test_test_prints_errors(few_digits, net_d, tmp_path, tta):
    out = tmp_path / 'metrics.json'
    done = run_tool(
        'test.py',
        D_DIGITS,
        net_d / 'epoch_1.pth',
        *(['--tta'] if tta else []),
        '--out',
        out,
        '--out-item',
        'metrics',
        '--cfg-options',
        f'DATA_ROOT={few_digits}',
        cwd=tmp_path,
    )
    metrics = json.loads(out.read_text())
    assert set(metrics) == {f'{m}/top{k}' for m in ('error', 'accuracy') for k in (1, 5)}
    assert metrics['error/top1'] == pytest.approx(100 - metrics['accuracy/top1'])
    assert 'Epoch(test)' in done.stdout and 'error/top1' in done.stdout


def test_predictions_and_pictures(few_digits, net_d, tmp_path):
    run_tool(
        'test.py',
        D_DIGITS,
        net_d / 'epoch_1.pth',
        '--tta',
        '--out',
        'predictions.pkl',
        '--show-dir',
        'pictures',
        '--interval',
        '20',
        '--amp',
        '--cfg-options',
        f'DATA_ROOT={few_digits}',
        cwd=tmp_path,
    )
    predictions = mmengine.load(tmp_path / 'predictions.pkl')
    assert len(predictions) == 40
    for sample in predictions:
        assert sample['pred_score'].sum().item() == pytest.approx(1, abs=1e-3)
        assert sample['img_path'].endswith('.png')
    assert list((tmp_path).rglob('pictures/**/*.png'))


def test_mixed_precision_and_scaled_rate(few_digits, tmp_path):
    done = run_tool(
        'train.py',
        A_DIGITS,
        '--amp',
        '--auto-scale-lr',
        '--no-validate',
        *short_run(few_digits, tmp_path, 2),
        cwd=tmp_path,
    )
    assert 'Bf16OptimWrapper' in done.stdout
    assert 'Scaling the original LR by 0.75' in done.stdout
    assert 'Epoch(val)' not in done.stdout
    assert losses(done)
    assert weights(tmp_path, 2)['head.fc6.weight'].dtype == torch.float32


def test_tensorboard_by_one_option(few_digits, tmp_path):
    option = 'visualizer.vis_backends.0.type=TensorboardVisBackend'
    run_tool('train.py', A_DIGITS, *short_run(few_digits, tmp_path, 1, option), cwd=tmp_path)
    assert list(tmp_path.rglob('events.out.tfevents.*'))


@pytest.mark.parametrize('tool', ['train.py', 'test.py', 'prepare_data.py', 'demo.py'])
def test_help(tool, tmp_path):
    assert 'usage:' in run_tool(tool, '--help', cwd=tmp_path).stdout


@pytest.mark.parametrize('script', ['dist_train', 'dist_test', 'slurm_train', 'slurm_test'])
def test_shell_scripts_say_how_they_are_used(script, tmp_path):
    done = subprocess.run(
        [ROOT / 'tools' / f'{script}.sh'], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 2 and 'usage:' in done.stderr


@pytest.mark.parametrize('script, tool', [('slurm_train', 'train.py'), ('slurm_test', 'test.py')])
def test_slurm_scripts_hand_everything_on(script, tool, tmp_path):
    """A stand-in for srun prints its arguments."""
    (tmp_path / 'srun').write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / 'srun').chmod(0o755)
    env = {**os.environ, 'PATH': f'{tmp_path}{os.pathsep}{os.environ["PATH"]}', 'GPUS': '4'}
    command = [ROOT / 'tools' / f'{script}.sh', 'part', 'job', 'config.py', 'fourth', '--amp']
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert '-p part --job-name job --gres gpu:4 --ntasks 4 --ntasks-per-node 4' in done.stdout
    where = '--work-dir fourth' if tool == 'train.py' else 'fourth'
    assert f'{tool} config.py {where} --amp --launcher slurm' in done.stdout


def test_dist_scripts_run(few_digits, tmp_path):
    env = {**os.environ, 'PATH': f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'}
    env['PORT'] = '29612'
    train = [ROOT / 'tools/dist_train.sh', A_DIGITS, '1', *short_run(few_digits, 'run', 1)]
    done = subprocess.run([*map(str, train)], capture_output=True, text=True, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr[-3000:]
    test = [ROOT / 'tools/dist_test.sh', A_DIGITS, 'run/epoch_1.pth', '1', '--tta']
    test += ['--cfg-options', f'DATA_ROOT={few_digits}']
    done = subprocess.run([*map(str, test)], capture_output=True, text=True, cwd=tmp_path, env=env)
    assert done.returncode == 0 and 'error/top1' in done.stdout, done.stderr[-3000:]


def test_digits_as_a_folder(digits):
    counts = {s: len(list((digits / s).glob('*/*.png'))) for s in ('train', 'val')}
    assert counts == {'train': 1437, 'val': 360}
    pixels = torch.tensor(mmcv.imread(str(digits / 'val' / '8' / '1796.png'), flag='grayscale'))
    expected = torch.tensor(load_digits().images[-1] * 255 / 16).round().to(torch.uint8)
    assert torch.equal(pixels, expected)
