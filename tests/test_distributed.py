"""Several processes, or several small batches, against one process with the large batch."""

import shutil

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS

from tests.conftest import A_DIGITS, ROOT, run_tool
from vgg_mm.checkpoints import load_checkpoint

TWO_PROCESSES = ['-m', 'torch.distributed.run', '--standalone', '--nproc_per_node=2']

#: Net A with 4 to 32 channels and without dropout, whose draws are each process's own. Jitter and
#: crops are the usual ones, drawn from seed, epoch and image alone.
SETTINGS = f"""
_base_ = [{A_DIGITS!r}]
custom_imports = dict(imports=['vgg_mm', 'tests.distributed_parts'], allow_failed_imports=False)
custom_hooks = [dict(type='LossOfEachProcess')]
model = dict(
    type='DoubleClassifier',
    backbone=dict(base_channels=4),
    head=dict(in_channels=32, fc_channels=32, dropout=0.0),
)
# FSDP cannot clip; without clipping this net wants a lower rate.
optim_wrapper = dict(clip_grad=None, optimizer=dict(lr=1e-3))
train_cfg = dict(max_epochs=4)
train_dataloader = dict(num_workers=0, persistent_workers=False)
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=-1))
randomness = dict(seed=3)
load_from = 'first_weights.pth'
"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Holds the config, and the weights that all runs start from."""
    folder = tmp_path_factory.mktemp('distributed')
    (folder / 'config.py').write_text(SETTINGS)
    (folder / 'sharded.py').write_text(
        f"_base_ = ['./config.py', {str(ROOT / 'configs/_base_/distributed/fsdp.py')!r}]\n"
        # The convolutions, fc6 and fc7 of this net.
        'strategy = dict(model_wrapper=dict(auto_wrap_policy=dict(min_num_params=1000)))\n'
    )
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(Config.fromfile(folder / 'config.py').model)
    model.init_weights()
    torch.save(dict(state_dict=model.state_dict()), folder / 'first_weights.pth')
    return folder


def train(
    folder, work_dir, data, batch_size, *options, config='config.py', launcher=(), validate=False
):
    return run_tool(
        'train.py', config, '--work-dir', work_dir, *([] if validate else ['--no-validate']),
        *(['--launcher', 'pytorch'] if launcher else []), '--cfg-options', f'DATA_ROOT={data}',
        f'train_dataloader.batch_size={batch_size}', *options, cwd=folder, launcher=launcher,
    )  # fmt: skip


def losses(work_dir, processes=1):
    """(processes, iterations)"""
    return np.stack([np.loadtxt(work_dir / f'losses_{rank}.txt') for rank in range(processes)])


def assert_same_weights(one, other):
    one, other = load_checkpoint(one)['state_dict'], load_checkpoint(other)['state_dict']
    assert one.keys() == other.keys()
    for name, weight in one.items():
        torch.testing.assert_close(weight, other[name], rtol=0, atol=1e-5)


@pytest.fixture(scope='module')
def one_process(folder, few_digits):
    """20 iterations of 24 images."""
    train(folder, 'one', few_digits, 24)
    first, last = (load_checkpoint(folder / p) for p in ('first_weights.pth', 'one/epoch_4.pth'))
    moved = last['state_dict']['head.fc7.weight'] - first['state_dict']['head.fc7.weight']
    assert moved.abs().max() > 1e-3
    return folder / 'one'


def test_two_processes_give_the_same(folder, few_digits, one_process):
    """Weights, and the mean of the two losses, which are of 12 images each."""
    train(folder, 'two', few_digits, 12, launcher=TWO_PROCESSES)
    two = losses(folder / 'two', processes=2)
    assert two.shape == (2, 20) and np.abs(two[0] - two[1]).max() > 1e-3
    np.testing.assert_allclose(two.mean(0), losses(one_process)[0], rtol=0, atol=1e-5)
    assert_same_weights(folder / 'two/epoch_4.pth', one_process / 'epoch_4.pth')


def test_accumulated_gradients_give_the_same(folder, few_digits, one_process):
    """Four times 6 images a step."""
    train(folder, 'four', few_digits, 6, 'optim_wrapper.accumulative_counts=4')
    four = losses(folder / 'four')[0].reshape(20, 4)
    np.testing.assert_allclose(four.mean(1), losses(one_process)[0], rtol=0, atol=1e-5)
    assert_same_weights(folder / 'four/epoch_4.pth', one_process / 'epoch_4.pth')


def test_compressed_gradients_and_an_odd_data_set(folder, few_digits, tmp_path):
    """119 images: each process takes 60 in batches of 16, 16, 16 and 12; one comes twice."""
    data = shutil.copytree(few_digits, tmp_path / 'data')
    sorted(data.glob('train/*/*'))[-1].unlink()
    option = 'default_hooks.gradient_compression.dtype=bfloat16'
    done = train(folder, 'odd', data, 16, option, launcher=TWO_PROCESSES)
    assert 'gradients are sent in bfloat16' in done.stdout
    found = losses(folder / 'odd', processes=2)
    assert found.shape == (2, 4 * 4) and np.isfinite(found).all()
    assert found[:, -4:].mean() < found[:, 0].mean()


def test_sharded_weights_give_the_same(folder, few_digits, one_process):
    """FSDP, stopped after an epoch (and its validation) and resumed."""
    sharded = dict(config='sharded.py', launcher=TWO_PROCESSES, validate=True)
    train(folder, 'sharded', few_digits, 12, 'train_cfg.max_epochs=1', **sharded)
    assert_same_weights(folder / 'sharded/epoch_1.pth', one_process / 'epoch_1.pth')
    resume = ['train_cfg.max_epochs=2', 'resume=True', 'load_from=None']
    train(folder, 'sharded', few_digits, 12, *resume, **sharded)
    assert_same_weights(folder / 'sharded/epoch_2.pth', one_process / 'epoch_2.pth')
