"""Several processes, or accumulated small batches, compared with one process and large batches."""

import re
import shlex
import shutil

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS

from tests.checkpoints.source_nets import Size, torchvision_net
from tests.conftest import A_DIGITS, ROOT, run_tool
from vgg_mm.checkpoints import load_checkpoint

TWO_PROCESSES = ['-m', 'torch.distributed.run', '--standalone', '--nproc_per_node=2']

#: Net A with 4 to 32 channels and without dropout, whose masks differ between processes. Jitter and
#: crops are kept: they depend only on seed, epoch and image.
SETTINGS = f"""
_base_ = [{A_DIGITS!r}]
custom_imports = dict(imports=['vgg_mm', 'tests.distributed_parts'], allow_failed_imports=False)
custom_hooks = [dict(type='LossOfEachProcess'), dict(type='GiveStateDict')]
model = dict(
    type='DoubleClassifier',
    backbone=dict(base_channels=4),
    head=dict(in_channels=32, fc_channels=32, dropout=0.0),
)
# FSDP cannot clip gradients; without clipping, this net needs a lower learning rate.
optim_wrapper = dict(clip_grad=None, optimizer=dict(lr=1e-3))
train_cfg = dict(max_epochs=4)
train_dataloader = dict(num_workers=0, persistent_workers=False)
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=-1))
randomness = dict(seed=3)
load_from = 'first_weights.pth'
"""

SHARDED = f"""
_base_ = ['./config.py', {str(ROOT / 'configs/_base_/distributed/fsdp.py')!r}]
# Units: the convolutions, fc6 and fc7 of this net.
strategy = dict(model_wrapper=dict(auto_wrap_policy=dict(min_num_params=1000)))
"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Folder with the configs and the initial weights of all runs."""
    folder = tmp_path_factory.mktemp('distributed')
    (folder / 'config.py').write_text(SETTINGS)
    (folder / 'sharded.py').write_text(SHARDED)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(Config.fromfile(folder / 'config.py').model)
    model.init_weights()
    torch.save(dict(state_dict=model.state_dict()), folder / 'first_weights.pth')
    size = Size((4, 8, 16, 32, 32), fc=32, side=2, classes=10)
    torch.save(torchvision_net('vgg11', size)[0].state_dict(), folder / 'torchvision.pth')
    torch.save({'layer1.0.conv1.weight': torch.zeros(2, 3, 3, 3)}, folder / 'resnet.pth')
    return folder


def arguments(work_dir, data, batch_size, *options, config='config.py', launcher='none'):
    """Arguments of tools/train.py."""
    return [
        config, '--work-dir', work_dir, '--launcher', launcher,
        *([] if config == 'sharded.py' else ['--no-validate']),
        '--cfg-options', f'DATA_ROOT={data}', f'train_dataloader.batch_size={batch_size}', *options,
    ]  # fmt: skip


@pytest.fixture(scope='module')
def one_process(folder, few_digits):
    """Work directory of a run in one process: 20 iterations of 24 images."""
    run_tool('train.py', *arguments('one', few_digits, 24), cwd=folder)
    first, last = (load_checkpoint(folder / p) for p in ('first_weights.pth', 'one/epoch_4.pth'))
    moved = last['state_dict']['head.fc7.weight'] - first['state_dict']['head.fc7.weight']
    assert moved.abs().max() > 1e-3
    return folder / 'one'


@pytest.fixture(scope='module')
def two_processes(folder, few_digits, tmp_path_factory):
    """All runs of two processes; returns the finished process with their output."""
    odd = shutil.copytree(few_digits, tmp_path_factory.mktemp('odd') / 'data')
    sorted(odd.glob('train/*/*'))[-1].unlink()
    launched = dict(launcher='pytorch')
    sharded = dict(config='sharded.py', **launched)
    resume = ['train_cfg.max_epochs=2', 'resume=True', 'load_from=None']
    once = ['train_cfg.max_epochs=1', 'optim_wrapper.optimizer.lr=0', 'load_from=None']
    compress = 'default_hooks.gradient_compression.dtype=bfloat16'
    runs = [
        arguments('two', few_digits, 12, **launched),
        arguments('odd', odd, 16, compress, **launched),
        arguments('sharded', few_digits, 12, 'train_cfg.max_epochs=1', **sharded),
        arguments('sharded', few_digits, 12, *resume, **sharded),
        *(
            arguments(f'{library}_{number}', few_digits, 12, *once, option, **sharded)
            for library in ('torchvision', 'resnet')
            for number, option in enumerate(
                (
                    f'load_from={library}.pth',
                    f'custom_hooks.1.path={library}.pth',
                )
            )
        ),
        arguments('broken', few_digits, 12, 'optim_wrapper.optimizer.lr=1e300', **sharded),
    ]
    (folder / 'runs.txt').write_text('\n'.join(map(shlex.join, runs)))
    script = 'tests/several_trainings.py'
    return run_tool(script, 'runs.txt', cwd=folder, launcher=TWO_PROCESSES)


def losses(work_dir, processes=1):
    """Losses as an array (processes, iterations)."""
    return np.stack([np.loadtxt(work_dir / f'losses_{rank}.txt') for rank in range(processes)])


def assert_same_weights(one, other):
    one, other = load_checkpoint(one)['state_dict'], load_checkpoint(other)['state_dict']
    assert one.keys() == other.keys()
    for name, weight in one.items():
        torch.testing.assert_close(weight, other[name], rtol=0, atol=1e-8)


def test_two_processes_give_the_same_result(folder, one_process, two_processes):
    """The weights, and the mean loss of the two processes with 12 images each, are equal."""
    two = losses(folder / 'two', processes=2)
    assert two.shape == (2, 20) and np.abs(two[0] - two[1]).max() > 1e-3
    np.testing.assert_allclose(two.mean(0), losses(one_process)[0], rtol=0, atol=1e-8)
    assert_same_weights(folder / 'two/epoch_4.pth', one_process / 'epoch_4.pth')


def test_accumulated_gradients_give_the_same_result(folder, few_digits, one_process):
    """Each optimiser step accumulates four batches of 6 images."""
    accumulate = 'optim_wrapper.accumulative_counts=4'
    run_tool('train.py', *arguments('four', few_digits, 6, accumulate), cwd=folder)
    four = losses(folder / 'four')[0].reshape(20, 4)
    np.testing.assert_allclose(four.mean(1), losses(one_process)[0], rtol=0, atol=1e-8)
    assert_same_weights(folder / 'four/epoch_4.pth', one_process / 'epoch_4.pth')


def test_compressed_gradients_and_an_odd_data_set(folder, two_processes):
    """119 images: each process takes 60 in batches of 16, 16, 16 and 12; one image occurs twice."""
    assert 'gradients are sent in bfloat16' in two_processes.stdout
    found = losses(folder / 'odd', processes=2)
    assert found.shape == (2, 4 * 4) and np.isfinite(found).all()
    assert found[:, -4:].mean() < found[:, :4].mean()


def test_sharded_weights_give_the_same_result(folder, one_process, two_processes):
    """An FSDP run that is resumed after an epoch and its validation gives the same weights."""
    assert 'resumed epoch: 1, iter: 5' in two_processes.stdout
    printed = [two_processes.stdout, two_processes.stderr]
    printed += [(folder / f'errors_{rank}.txt').read_text() for rank in range(2)]
    assert not any('Failed to search registry' in text for text in printed)
    for epoch in (1, 2):
        name = f'epoch_{epoch}.pth'
        assert_same_weights(folder / 'sharded' / name, one_process / name)


def test_sharded_nets_take_weights_of_other_libraries(folder, two_processes):
    """``load_from`` works; with ``load_state_dict`` a one-line error says what to do."""
    given = load_checkpoint(folder / 'torchvision.pth')['state_dict']
    found = load_checkpoint(folder / 'torchvision_0/epoch_1.pth')['state_dict']
    assert found.keys() == given.keys()
    for name, weight in found.items():
        assert torch.equal(weight.float(), given[name].view(weight.shape)), name
    for run, message in (
        ('torchvision_1', 'the net is sharded (FSDP) and accepts weights in its own names only: '),
        ('resnet_0', 'no VGG found'),
        ('resnet_1', 'no VGG found'),
    ):
        end = rf'error: [^\n]*{re.escape(message)}[^\n]*\n[^\n]*--work-dir {run} '
        for rank in range(2):
            assert re.search(end, (folder / f'errors_{rank}.txt').read_text()), (run, rank)
        assert not list((folder / run).glob('*.pth'))


def test_a_sharded_loss_that_is_not_finite(folder, two_processes):
    pattern = (
        r'error: the loss is (nan|inf) at iteration 2 \(before: .*\); its layers are not '
        r'examined, since the net is sharded; lower the learning rate \(--cfg-options '
        r'optim_wrapper.optimizer.lr=1e\+299\), or start from init_cfg glorot or a shallower net '
        r'.*; to continue anyway: --cfg-options default_hooks.loss_guard.not_finite=warn\n'
    )
    errors = (folder / 'errors_0.txt').read_text()
    assert re.search(pattern, errors)
    assert 'ended with status 1' in errors.splitlines()[-1]
