"""train.py and test.py as a user runs them, on some of the digits."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import mmcv
import mmengine
import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from tests.conftest import A_DIGITS, D_DIGITS, ROOT, run_tool, short_run
from vgg_mm.architectures import STAGED_LAYERS
from vgg_mm.checkpoints import load_checkpoint
from vgg_mm.evaluation import RECORDS_FILE, load_posteriors, read_records, wrong_images


def weights(work_dir, epoch):
    return load_checkpoint(work_dir / f'epoch_{epoch}.pth')['state_dict']


def losses(done):
    return [float(x) for x in re.findall(r'Epoch\(train\).* loss: (\d+\.\d+)', done.stdout)]


@pytest.fixture(scope='module')
def net_d(few_digits, net_a, tmp_path_factory):
    """Work directory of net D, initialised from A and trained for one short epoch."""
    work_dir = tmp_path_factory.mktemp('net_d')
    staged = f'default_hooks.staged_init.checkpoint={net_a}/epoch_2.pth'
    done = run_tool('train.py', D_DIGITS, *short_run(few_digits, work_dir, 1, staged), cwd=work_dir)
    assert f'staged initialisation from {net_a}/epoch_2.pth' in done.stdout
    return work_dir


def test_training_writes_the_files_that_mmengine_users_expect(net_a):
    assert (net_a / 'last_checkpoint').read_text().endswith('epoch_2.pth')
    assert list(net_a.glob('best_accuracy_top1_epoch_*.pth'))
    assert (net_a / 'vgg11_jitter_digits.py').exists()
    (scalars,) = net_a.glob('*/vis_data/scalars.json')
    rows = [json.loads(line) for line in scalars.read_text().splitlines()]
    assert {'lr', 'loss', 'epoch', 'step'} <= set(rows[0])
    assert any('error/top1' in row and 'accuracy/top5' in row for row in rows)


def test_resume_continues_where_the_run_stopped(few_digits, tmp_path):
    """After one epoch, --resume continues with the second: weights, optimizer and counters."""
    single = 'train_dataloader.num_workers=0'
    run_tool('train.py', A_DIGITS, *short_run(few_digits, 'run', 1, single), cwd=tmp_path)
    first = load_checkpoint(tmp_path / 'run' / 'epoch_1.pth')
    options = [
        *short_run(few_digits, 'run', 2, single), 'optim_wrapper.optimizer.momentum=0.5',
        'optim_wrapper.optimizer.lr=0.003', 'param_scheduler.milestones=[2,4]',
    ]  # fmt: skip
    done = run_tool('train.py', A_DIGITS, '--resume', *options, cwd=tmp_path)
    assert 'resumed epoch: 1, iter: 5' in done.stdout
    (line,) = [line for line in done.stdout.splitlines() if 'ignored' in line]
    assert 'optim_wrapper.optimizer.lr=0.003 (0.01 stays)' in line
    assert 'optim_wrapper.optimizer.momentum=0.5 (0.9 stays)' in line
    assert 'param_scheduler.milestones=[2, 4] ([16, 20] stays)' in line
    assert 'param_scheduler.end=2 (1 stays)' in line  # the epochs of the first run
    assert 'load_from=CHECKPOINT' in line and line.count('stays') == 4
    assert 'Epoch(train) [2][1/5]' in done.stdout and 'Epoch(train) [1]' not in done.stdout
    second = load_checkpoint(tmp_path / 'run' / 'epoch_2.pth')
    assert (first['meta']['iter'], second['meta']['iter']) == (5, 10)
    # The optimizer comes from the checkpoint, with its momentum instead of the one given above.
    assert second['optimizer']['param_groups'][0]['momentum'] == 0.9
    moved = second['state_dict']['head.fc7.weight'] - first['state_dict']['head.fc7.weight']
    assert 0 < moved.abs().max() < 0.1
    # The config written by the run has resume=True; a test loads only the weights.
    config = tmp_path / 'run' / 'vgg11_jitter_digits.py'
    done = run_tool('test.py', config, tmp_path / 'run' / 'epoch_2.pth', cwd=tmp_path)
    assert 'top-1 error' in done.stdout


def test_resume_does_not_repeat_the_staged_initialisation(few_digits, net_a, net_d, tmp_path):
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
    # Momentum and learning rate come from the checkpoint, so that the net still changes a little.
    assert (after['head.fc7.weight'] - before['head.fc7.weight']).abs().max() < 0.1


def test_staged_initialisation_under_ddp(few_digits, net_a, tmp_path):
    """With two processes and a learning rate of 0, copied layers remain those of the source."""
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


def run_test(net_d, data, cwd, *arguments, options=(), **kwargs):
    return run_tool(
        'test.py', D_DIGITS, net_d / 'epoch_1.pth', *arguments, '--work-dir', 'work',
        '--cfg-options', f'DATA_ROOT={data}', *options, cwd=cwd, **kwargs,
    )  # fmt: skip


@pytest.fixture(scope='module')
def tested(few_digits, net_d, tmp_path_factory):
    """Folder of a test with all protocols at once, with its posteriors and its output."""
    folder = tmp_path_factory.mktemp('tested')
    done = run_test(net_d, few_digits, folder, '--tta', '--tta-cfg', 'all', '--out', 'out/all.npz')
    (folder / 'stdout.txt').write_text(done.stdout)
    return folder


@pytest.mark.parametrize('tta', [False, True])
def test_test_prints_errors(few_digits, net_d, tmp_path, tta):
    arguments = [*(['--tta'] if tta else []), '--out', 'metrics.json', '--out-item', 'metrics']
    done = run_test(net_d, few_digits, tmp_path, *arguments)
    metrics = json.loads((tmp_path / 'metrics.json').read_text())
    assert set(metrics) == {f'{m}/top{k}' for m in ('error', 'accuracy') for k in (1, 5)}
    assert metrics['error/top1'] == pytest.approx(100 - metrics['accuracy/top1'])
    assert 'Epoch(test)' in done.stdout and 'error/top1' in done.stdout
    (record,) = read_records(tmp_path / 'work' / RECORDS_FILE)
    assert (record.net, record.width, record.scale, record.images) == ('D', 16, (64, 96), 40)
    assert record.protocol == ('dense+multi_crop' if tta else 'centre crop')
    assert record.test_scales == ((64, 80, 96) if tta else (80,))
    assert record.error(1) == pytest.approx(metrics['error/top1'], abs=1e-4)
    assert record.seconds_per_image > 0


def test_several_protocols_in_one_pass(few_digits, tested):
    """The table has a row for each protocol; posteriors are in the order of the data set."""
    found = load_posteriors(tested / 'out' / 'all.npz')
    assert list(found.scores) == ['dense', 'multi_crop', 'dense+multi_crop']
    names = [str(p.relative_to(few_digits / 'val')) for p in sorted(few_digits.glob('val/*/*'))]
    assert found.names == names
    assert found.labels.tolist() == [int(name.split('/')[0]) for name in names]
    dense, crops, both = found.scores.values()
    np.testing.assert_allclose(both, (dense + crops) / 2, atol=1e-6)
    records = {r.protocol: r for r in read_records(tested / 'work' / RECORDS_FILE)}
    table = (tested / 'stdout.txt').read_text()
    for protocol, scores in found.scores.items():
        np.testing.assert_allclose(scores.sum(1), 1, atol=1e-5)
        assert records[protocol].wrong[1] == wrong_images(scores, found.labels, 1).sum()
        assert re.search(rf'D +\[64;96\] +64,80,96 +{re.escape(protocol)} +\d', table)


@pytest.mark.parametrize('protocol', ['dense', 'multi_crop'])
def test_a_single_protocol_gives_the_same_result(few_digits, net_d, tested, tmp_path, protocol):
    options = ['test_dataloader.batch_size=7', 'test_dataloader.num_workers=0']
    run_test(
        net_d, few_digits, tmp_path, '--tta-cfg', protocol, '--out', 'one.npz', options=options
    )
    found, expected = (load_posteriors(p) for p in (tmp_path / 'one.npz', tested / 'out/all.npz'))
    assert list(found.scores) == [protocol]
    np.testing.assert_allclose(found.scores[protocol], expected.scores[protocol], atol=1e-5)


def test_options_override_a_protocol_in_another_file(few_digits, net_d, tmp_path):
    """They are for the protocol, wherever it comes from; what it differs in is in its name."""
    options = ['tta_pipeline.1.scales=(96,72)', 'tta_model.flip=True', 'tta_model.grid=2']
    arguments = ['--tta-cfg', 'all', '--out', 'p.npz']
    done = run_test(net_d, few_digits, tmp_path, *arguments, options=options)
    records = read_records(tmp_path / 'work' / RECORDS_FILE)
    assert {record.test_scales for record in records} == {(72, 96)}
    # The digits' nets are trained without flips.
    names = ['dense, flips', 'multi_crop, 2, flips', 'dense+multi_crop, 2, flips']
    assert [record.protocol for record in records] == names
    assert re.search(r'72,96 +multi_crop, 2, flips +\d', done.stdout)
    found = load_posteriors(tmp_path / 'p.npz')
    assert found.info['test_scales'] == [72, 96] and list(found.scores) == names


def test_two_processes_give_the_same_result(few_digits, net_d, tested, tmp_path):
    """With 39 images, the processes have different numbers of images."""
    data = shutil.copytree(few_digits, tmp_path / 'data')
    sorted(data.glob('val/*/*'))[-1].unlink()
    launcher = ['-m', 'torch.distributed.run', '--nproc_per_node=2', '--master_port=29613']
    arguments = ['--launcher', 'pytorch', '--tta-cfg', 'all', '--out', 'two.npz']
    options = ['test_dataloader.num_workers=0']
    run_test(net_d, data, tmp_path, *arguments, options=options, launcher=launcher)
    found, expected = (load_posteriors(p) for p in (tmp_path / 'two.npz', tested / 'out/all.npz'))
    assert found.names == expected.names[:-1]
    for protocol, scores in found.scores.items():
        np.testing.assert_allclose(scores, expected.scores[protocol][:-1], atol=1e-5)
    records = read_records(tmp_path / 'work' / RECORDS_FILE)
    for record in records:
        scores = expected.scores[record.protocol][:-1]
        assert record.images == 39
        assert record.wrong[1] == wrong_images(scores, found.labels, 1).sum()


def test_predictions_and_pictures(few_digits, net_d, tested, tmp_path):
    """MMPretrain's file of predictions, pictures, and posteriors in bfloat16 close to float32's."""
    arguments = ['--tta-cfg', 'dense', '--amp', '--out', 'p.pkl']
    pictures = ['--show-dir', 'pictures', '--interval', '20']
    run_test(net_d, few_digits, tmp_path, *arguments, *pictures)
    predictions = mmengine.load(tmp_path / 'p.pkl')
    expected = load_posteriors(tested / 'out' / 'all.npz')
    assert [Path(p['img_path']).name for p in predictions] == [
        Path(name).name for name in expected.names
    ]
    scores = np.stack([p['pred_score'].numpy() for p in predictions])
    np.testing.assert_allclose(scores, expected.scores['dense'], atol=0.02)
    assert list((tmp_path).rglob('pictures/**/*.png'))


def test_broken_images_can_count_as_errors(few_digits, net_d, tmp_path):
    data = shutil.copytree(few_digits, tmp_path / 'data')
    broken = sorted(data.glob('val/*/*'))[3]
    broken.write_bytes(broken.read_bytes()[:40])
    for tta in ([], ['--tta-cfg', 'dense_one_scale']):
        done = run_test(net_d, data, tmp_path, *tta, check=False)
        assert done.returncode == 1 and broken.name in done.stderr.splitlines()[-1]
        arguments = [*tta, '--broken-images', 'count', '--out', 'out.npz']
        done = run_test(net_d, data, tmp_path, *arguments)
        assert '1 of 40 images could not be read and count as errors' in done.stdout
        assert broken.name in done.stdout
        found = load_posteriors(tmp_path / 'out.npz')
        unreadable = np.isnan(next(iter(found.scores.values()))).any(1)
        assert np.flatnonzero(unreadable).tolist() == [3]
        (scores,) = found.scores.values()
        record = read_records(tmp_path / 'work' / RECORDS_FILE)[-1]
        assert record.wrong[1] == wrong_images(scores, found.labels, 1).sum()
        assert record.wrong[5] >= 1
    # A strip is too large once it is rescaled.
    Image.new('L', (12_000, 1)).save(broken)
    run_test(net_d, data, tmp_path, '--tta', '--broken-images', 'count', '--out', 'out.npz')
    (scores,) = load_posteriors(tmp_path / 'out.npz').scores.values()
    assert np.flatnonzero(np.isnan(scores).any(1)).tolist() == [3]


def test_concatenated_test_sets(few_digits, net_d, tested, tmp_path):
    """Their posteriors and errors, one set after the other; names are below the shared folder."""
    config = tmp_path / 'joined.py'
    config.write_text(f"""
_base_ = {D_DIGITS!r}
val = _base_.test_dataloader.dataset
train = dict(val, data_prefix='train')
test_dataloader = dict(dataset=dict(_delete_=True, type='ConcatDataset', datasets=[val, train]))
""")
    arguments = ['--tta-cfg', 'dense', '--broken-images', 'count', '--out', 'two.npz']
    run_tool(
        'test.py', config, net_d / 'epoch_1.pth', *arguments, '--work-dir', 'work',
        '--cfg-options', f'DATA_ROOT={few_digits}', cwd=tmp_path,
    )  # fmt: skip
    found, once = (load_posteriors(p) for p in (tmp_path / 'two.npz', tested / 'out/all.npz'))
    files = [p for part in ('val', 'train') for p in sorted(few_digits.glob(f'{part}/*/*'))]
    assert found.names == [str(p.relative_to(few_digits)) for p in files]
    scores = found.scores['dense']
    np.testing.assert_allclose(scores[: len(once.names)], once.scores['dense'], atol=1e-5)
    (record,) = read_records(tmp_path / 'work' / RECORDS_FILE)
    assert record.images == len(files) and record.test_scales == (64, 80, 96)
    assert record.wrong[1] == wrong_images(scores, found.labels, 1).sum()


#: Parts of messages that the stack prints at every start, for each weight or repeatedly.
STACKS_OWN = (
    'Failed to search registry', 'requires_grad=False', 'paramwise_options', 'FileClient',
    'MultiScaleDeformableAttention', 'SyncBatchNorm', 'OneDL',
)  # fmt: skip


def test_mixed_precision_and_scaled_rate(few_digits, tmp_path):
    done = run_tool(
        'train.py',
        A_DIGITS,
        '--amp',
        '--auto-scale-lr',
        '--no-validate',
        *short_run(few_digits, tmp_path, 2, 'model.backbone.frozen_stages=1'),
        cwd=tmp_path,
    )
    (log,) = tmp_path.glob('*/*.log')
    before, first, _ = done.stdout.partition('Epoch(train)')
    assert first and before.count('\n') <= 10
    for text in STACKS_OWN:
        assert text not in done.stdout + done.stderr
    # Long texts that are the same at every start are in the log file, not on the screen.
    for text in ('Bf16OptimWrapper', 'Hooks will be executed', 'System environment'):
        assert text in log.read_text() and text not in done.stdout
    assert 'Scaling the original LR by 0.75' in done.stdout
    assert 'Epoch(val)' not in done.stdout
    assert losses(done)
    assert weights(tmp_path, 2)['head.fc6.weight'].dtype == torch.float32


def test_tensorboard_by_one_option(few_digits, tmp_path):
    option = 'visualizer.vis_backends.0.type=TensorboardVisBackend'
    run_tool('train.py', A_DIGITS, *short_run(few_digits, tmp_path, 1, option), cwd=tmp_path)
    assert list(tmp_path.rglob('events.out.tfevents.*'))


@pytest.mark.parametrize('script', ['dist_train', 'dist_test', 'slurm_train', 'slurm_test'])
def test_shell_scripts_print_their_usage(script, tmp_path):
    done = subprocess.run(
        [ROOT / 'tools' / f'{script}.sh'], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 2 and 'usage:' in done.stderr


@pytest.mark.parametrize('script, tool', [('slurm_train', 'train.py'), ('slurm_test', 'test.py')])
def test_slurm_scripts_pass_on_all_arguments(script, tool, tmp_path):
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
