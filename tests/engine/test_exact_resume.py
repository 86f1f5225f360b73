"""Interrupted runs equal uninterrupted ones, with the command-line tools."""

import json
import random

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import DefaultSampler
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.registry import DATA_SAMPLERS
from mmengine.runner import Runner
from torch.utils.data import BatchSampler

from tests.conftest import A_DIGITS, run_tool, short_run
from vgg_mm.checkpoints import load_checkpoint, loading_safely
from vgg_mm.datasets import SeededDataset
from vgg_mm.seeding import seed_draws

TINY = (
    'model.backbone.base_channels=4',
    'model.head.in_channels=32',
    'model.head.fc_channels=32',
    'randomness.seed=3',
    'train_dataloader.num_workers=1',
    'train_dataloader.persistent_workers=True',
)

#: A checkpoint every third iteration, within epochs of five iterations.
BY_ITERATION = (
    'default_hooks.checkpoint.by_epoch=False',
    'default_hooks.checkpoint.interval=3',
    'default_hooks.checkpoint.max_keep_ckpts=100',
    'default_hooks.checkpoint.save_best=None',
)


def weights(path):
    return load_checkpoint(path)['state_dict']


def assert_equal(one, other):
    one, other = weights(one), weights(other)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def train(data, work_dir, epochs, *options, resume=None):
    arguments = short_run(data, work_dir, epochs, *TINY, *options)
    resuming = ['--resume', resume] if resume else []
    return run_tool('train.py', A_DIGITS, *resuming, *arguments, cwd=work_dir.parent)


@pytest.fixture(scope='module')
def by_iteration(few_digits, tmp_path_factory):
    """An uninterrupted run: 3 epochs, 15 iterations."""
    work_dir = tmp_path_factory.mktemp('whole') / 'run'
    train(few_digits, work_dir, 3, *BY_ITERATION)
    return work_dir


@pytest.mark.parametrize('iteration', [3, 9, 12])
def test_resuming_within_an_epoch(few_digits, by_iteration, tmp_path, iteration):
    checkpoint = by_iteration / f'iter_{iteration}.pth'
    log = train(few_digits, tmp_path / 'run', 3, *BY_ITERATION, resume=checkpoint)
    assert_equal(tmp_path / 'run/iter_15.pth', by_iteration / 'iter_15.pth')
    epoch, within = divmod(iteration, 5)
    assert f'Epoch(train) [{epoch + 1}][{within + 1}/5]' in log.stdout + log.stderr


def test_mmengine_tests_with_the_config_of_a_resumed_run(few_digits, by_iteration, tmp_path):
    """The config has resume=True, so that mmengine expects more than weights in a checkpoint."""
    checkpoint = by_iteration / 'iter_9.pth'
    train(few_digits, tmp_path / 'run', 3, *BY_ITERATION, resume=checkpoint)
    cfg = Config.fromfile(tmp_path / 'run/vgg11_jitter_digits.py')
    assert cfg.resume
    cfg.load_from = str(checkpoint)
    with loading_safely():  # mmengine itself does not do so with all versions of torch
        assert 0 <= Runner.from_cfg(cfg).test()['error/top1'] <= 100


def test_the_number_of_workers_does_not_change_the_weights(few_digits, by_iteration, tmp_path):
    train(few_digits, tmp_path / 'run', 3, *BY_ITERATION, 'train_dataloader.num_workers=0')
    assert_equal(tmp_path / 'run/iter_15.pth', by_iteration / 'iter_15.pth')


def test_seeds_of_draws_differ():
    """Each of the numbers, such as the epoch, changes the random draws."""
    seen = set()
    for numbers in [(0, 3, 0, 1), (0, 3, 1, 1), (0, 3, 0, 2), (1, 3, 0, 1), (0, 4, 0, 1)]:
        seed_draws(*numbers)
        seen.add((torch.rand(1).item(), random.random()))
    assert len({a for a, _ in seen}) == len({b for _, b in seen}) == 5


def test_resuming_with_pending_gradients(few_digits, tmp_path):
    """The checkpoint of iteration 9 is between two optimiser steps of accumulated gradients."""
    options = (*BY_ITERATION, 'optim_wrapper.accumulative_counts=2')
    train(few_digits, tmp_path / 'whole', 3, *options)
    checkpoint = tmp_path / 'whole/iter_9.pth'
    assert 'accumulated_gradients' in load_checkpoint(checkpoint)
    train(few_digits, tmp_path / 'run', 3, *options, resume=checkpoint)
    assert_equal(tmp_path / 'run/iter_15.pth', tmp_path / 'whole/iter_15.pth')


def test_resuming_by_iterations(few_digits, tmp_path):
    """Resuming in mmengine's iteration-based loop gives the same weights."""
    config = tmp_path / 'config.py'
    config.write_text(
        f'_base_ = {A_DIGITS!r}\n'
        'train_cfg = dict(_delete_=True, by_epoch=False, max_iters=12, val_interval=100)\n'
        'param_scheduler = dict(by_epoch=False)\n'
    )
    options = [
        *TINY,
        *BY_ITERATION,
        'train_dataloader.batch_size=24',
        'default_hooks.logger.interval=1',
    ]
    common = ['--cfg-options', f'DATA_ROOT={few_digits}', *options]
    whole, run = tmp_path / 'whole', tmp_path / 'run'
    run_tool('train.py', config, '--work-dir', whole, *common, cwd=tmp_path)
    checkpoint = whole / 'iter_9.pth'
    run_tool('train.py', config, '--resume', checkpoint, '--work-dir', run, *common, cwd=tmp_path)
    assert_equal(run / 'iter_12.pth', whole / 'iter_12.pth')
    common[common.index('train_dataloader.batch_size=24')] = 'train_dataloader.batch_size=12'
    call = ('train.py', config, '--resume', checkpoint, '--work-dir', tmp_path / 'other', *common)
    failed = run_tool(*call, cwd=tmp_path, check=False)
    assert 'the run had 24 images an iteration, now 12: by iterations it resumes' in failed.stderr


def test_no_validation_is_missed(few_digits, tmp_path):
    """epoch_2.pth is written before the validation that drops the learning rate.

    This holds only without ``save_best``; with it mmengine writes the file again after validation.
    """
    config = tmp_path / 'config.py'
    config.write_text(
        f'_base_ = {A_DIGITS!r}\n'
        "param_scheduler = dict(_delete_=True, type='ReduceOnPlateauLR', rule='greater',\n"
        "    monitor='accuracy/top1', patience=0, threshold=100)\n"
        'train_cfg = dict(val_interval=1)\n'
    )
    whole, run = tmp_path / 'whole', tmp_path / 'run'
    options = (
        *TINY,
        *(f'default_hooks.checkpoint.{o}' for o in ('save_best=None', 'max_keep_ckpts=9')),
    )
    run_tool('train.py', config, *short_run(few_digits, whole, 4, *options), cwd=tmp_path)
    rates = learning_rates(whole)
    assert len(set(rates)) > 1  # the plateau schedule has dropped the learning rate
    resumed = run_tool(
        'train.py', config, '--resume', whole / 'epoch_2.pth',
        *short_run(few_digits, run, 4, *options), cwd=tmp_path,
    )  # fmt: skip
    assert 'running the missed validation of epoch 2 first' in resumed.stdout + resumed.stderr
    assert_equal(run / 'epoch_4.pth', whole / 'epoch_4.pth')
    assert learning_rates(run) == rates[10:]


def learning_rates(work_dir):
    (file,) = work_dir.glob('*/vis_data/scalars.json')
    rows = map(json.loads, file.read_text().splitlines())
    return [row['lr'] for row in rows if 'loss' in row]


def test_resuming_with_another_batch_size(few_digits, by_iteration, tmp_path):
    """Within an epoch it is an error; at the end of an epoch it works."""
    refused = run_tool(
        'train.py', A_DIGITS, '--resume', by_iteration / 'iter_9.pth',
        *short_run(few_digits, tmp_path / 'run', 3, *TINY, 'train_dataloader.batch_size=12'),
        cwd=tmp_path, check=False,
    )  # fmt: skip
    assert refused.returncode == 1
    assert (
        'error: the checkpoint was written at iteration 4 of 5 in an epoch with 24 images an '
        'iteration, now there are 12 in 10 iterations: resume with the same photos and the same '
        'number (processes x batch size), or from a checkpoint of the end of an epoch'
    ) in refused.stderr.splitlines()
    log = train(
        few_digits, tmp_path / 'other', 4, 'train_dataloader.batch_size=12',
        resume=by_iteration / 'iter_15.pth',
    )  # fmt: skip
    assert 'Epoch(train) [4][ 1/10]' in log.stdout + log.stderr
    assert load_checkpoint(tmp_path / 'other/epoch_4.pth')['meta']['iter'] == 40


class Numbers(torch.utils.data.Dataset):
    """Twelve numbers instead of images."""

    metainfo = {}

    def __len__(self):
        return 12

    def __getitem__(self, index):
        return dict(inputs=torch.full((1,), float(index)))


class Product(BaseModel):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, inputs, mode):
        outputs = self.weight * torch.stack(list(inputs))
        return dict(loss=outputs.square().mean()) if mode == 'loss' else [dict()]


class Validations(BaseMetric):
    """Counts how often it is computed."""

    count = 0

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        self.count += 1
        return dict(accuracy=1.0)


def train_numbers(work_dir, train_cfg, resume=None, **loader):
    """Train in this process; returns the runner and the metric."""
    metric = Validations()
    loader = dict(
        dict(
            batch_size=4,
            dataset=SeededDataset(Numbers()),
            sampler=dict(type='vgg_mm.ResumableSampler'),
        ),
        **loader,
    )
    runner = Runner(
        Product(),
        str(work_dir),
        train_dataloader=loader,
        train_cfg=dict(type='vgg_mm.ResumableTrainLoop', **train_cfg),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=1e-3)),
        val_dataloader=dict(
            batch_size=4, dataset=Numbers(), sampler=dict(type='DefaultSampler', shuffle=False)
        ),
        val_cfg=dict(),
        val_evaluator=[metric],
        default_hooks=dict(checkpoint=dict(type='vgg_mm.CheckpointHook', interval=1)),
        custom_hooks=[dict(type='vgg_mm.ExactResumeHook')],
        load_from=resume and str(resume),
        resume=resume is not None,
        # mmengine keeps one logger a name and second, also after the run.
        experiment_name=str(work_dir).replace('/', '_'),
    )
    with loading_safely():  # as above
        runner.train()
    return runner, metric


def test_the_missed_validation_of_an_interval_that_changes(tmp_path):
    """epoch_4.pth is written before the validation of epoch 4, where every epoch has one."""
    train_cfg = dict(max_epochs=5, val_interval=10, dynamic_intervals=[(3, 1)])
    _, whole = train_numbers(tmp_path / 'whole', train_cfg)
    _, resumed = train_numbers(tmp_path / 'run', train_cfg, tmp_path / 'whole/epoch_4.pth')
    assert whole.count == 4 and resumed.count == 2


def within_an_epoch(path, to):
    """The checkpoint after two of three iterations of the first epoch."""
    checkpoint = torch.load(path, weights_only=False)
    checkpoint['meta'].update(epoch=0, iter=2)
    torch.save(checkpoint, to)
    return to


def test_samplers_that_cannot_continue_say_so(tmp_path):
    train_cfg = dict(max_epochs=2)
    train_numbers(tmp_path / 'whole', train_cfg)
    path = within_an_epoch(tmp_path / 'whole/epoch_1.pth', tmp_path / 'within.pth')
    train_numbers(tmp_path / 'run', train_cfg, path, sampler=dict(type='OfNumbers', shuffle=True))
    log = next((tmp_path / 'run').rglob('*.log')).read_text()
    assert 'at iteration 2 of 3 in an epoch, which is repeated from its start: OfNumbers' in log


def test_resuming_with_more_images(tmp_path):
    """From an epoch's end; within an epoch it is an error."""

    class More(Numbers):
        def __len__(self):
            return 16

    train_cfg = dict(max_epochs=3)
    train_numbers(tmp_path / 'whole', train_cfg)
    last = tmp_path / 'whole/epoch_2.pth'
    more = SeededDataset(More())
    runner, _ = train_numbers(tmp_path / 'run', train_cfg, last, dataset=more)
    assert runner.iter == 3 * 4
    path = within_an_epoch(last, tmp_path / 'within.pth')
    with pytest.raises(ValueError, match='now there are 4 in 4 iterations: resume with the same'):
        train_numbers(tmp_path / 'other', train_cfg, path, dataset=more)


@DATA_SAMPLERS.register_module()
class OfNumbers(DefaultSampler):
    """Of (seed, epoch, index), but without a place to start from."""

    def __iter__(self):
        return ((0, self.epoch, index) for index in super().__iter__())


@DATA_SAMPLERS.register_module()
class PairsOfNumbers(BatchSampler):
    """A batch sampler that torch does not make itself, like mmdet's by shape."""


def test_resuming_with_a_batch_sampler(tmp_path):
    """The order of images is that of the checkpoint's seed; within an epoch it is an error."""
    loader = dict(batch_sampler=dict(type='PairsOfNumbers', drop_last=False), batch_size=4)
    train_cfg = dict(max_epochs=3)
    train_numbers(tmp_path / 'whole', train_cfg, **loader)
    first = tmp_path / 'whole/epoch_1.pth'
    train_numbers(tmp_path / 'run', train_cfg, first, **loader)
    assert_equal(tmp_path / 'run/epoch_3.pth', tmp_path / 'whole/epoch_3.pth')
    within_an_epoch(first, tmp_path / 'within.pth')
    with pytest.raises(ValueError, match='the batches of PairsOfNumbers cannot be continued'):
        train_numbers(tmp_path / 'other', train_cfg, tmp_path / 'within.pth', **loader)
