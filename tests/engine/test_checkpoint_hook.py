"""There is an intact checkpoint on the disk at any time."""

import errno
import multiprocessing
import os
import random
import shutil
import time
from types import SimpleNamespace

import pytest
import torch
from mmengine.dataset import DefaultSampler
from mmengine.evaluator import BaseMetric
from mmengine.fileio import FileClient, LocalBackend, get_file_backend
from mmengine.fileio.backends import backends, prefix_to_backends
from mmengine.hooks import CheckpointHook as MMEngineCheckpointHook
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner

from tests.conftest import file_limit
from vgg_mm.checkpoints import (
    find_resume_point,
    is_intact,
    load_checkpoint,
    loading_safely,
)
from vgg_mm.engine.hooks.checkpoint_hook import CheckpointHook

WEIGHTS = 50_000


class Net(BaseModel):
    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.zeros(WEIGHTS))

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return dict(loss=((self.w - 1) ** 2).mean()) if mode == 'loss' else [0.0]


class Scores(BaseMetric):
    """Returns the next number of a list at each validation."""

    def __init__(self, scores):
        super().__init__()
        self.scores = iter(scores)

    def process(self, data_batch, data_samples):
        self.results.append(0.0)

    def compute_metrics(self, results):
        score = next(self.scores)
        return dict(acc=score, top=-score)


class QuietRunner(Runner):
    def _log_env(self, env_cfg):
        """Does nothing: mmengine would start compilers to find their versions."""


def loader(images=2):
    dataset = [dict(inputs=torch.zeros(1)) for _ in range(images)]
    return torch.utils.data.DataLoader(dataset, sampler=DefaultSampler(dataset, shuffle=False))


def runner(work_dir, epochs=3, scores=(), resume=None, by_epoch=True, **hook):
    net = Net()
    steps = dict(max_epochs=epochs) if by_epoch else dict(max_iters=2 * epochs, val_interval=2)
    validation = dict(val_dataloader=loader(), val_cfg=dict(), val_evaluator=[Scores(scores)])
    return QuietRunner(
        net,
        work_dir=str(work_dir),
        # mmengine's iteration-based loop sleeps for two seconds when the data loader restarts.
        train_dataloader=loader(2 if by_epoch else 2 * epochs),
        train_cfg=dict(by_epoch=by_epoch, **steps),
        optim_wrapper=OptimWrapper(torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)),
        default_hooks=dict(
            checkpoint=CheckpointHook(**{'interval': 1, 'by_epoch': by_epoch, **hook}),
            sampler_seed=None,
        ),
        resume=resume is not None,
        load_from=resume,
        log_level='WARNING',
        experiment_name=f'run{time.time_ns()}',
        **(validation if scores else {}),
    )


def train(work_dir, **kwargs):
    runner(work_dir, **kwargs).train()


def checkpoints(work_dir):
    return sorted(n for n in os.listdir(work_dir) if n.endswith('.pth') or n.startswith('.'))


@pytest.fixture(autouse=True)
def restored():
    with loading_safely():
        yield


@pytest.fixture
def order(monkeypatch):
    """Records the order in which files are written and removed."""
    events, replace, remove = [], os.replace, os.remove

    def recorded_replace(source, target):
        replace(source, target)
        events.append(f'write {os.path.basename(target)}')

    def recorded_remove(path):
        remove(path)
        events.append(f'remove {os.path.basename(path)}')

    monkeypatch.setattr(os, 'replace', recorded_replace)
    monkeypatch.setattr(os, 'remove', recorded_remove)
    return events


def test_old_checkpoints_are_removed_after_the_new_one_is_written(tmp_path, order):
    train(tmp_path, epochs=3, max_keep_ckpts=2)
    assert order == [
        *('write epoch_1.pth', 'write last_checkpoint'),
        *('write epoch_2.pth', 'write last_checkpoint'),
        *('write epoch_3.pth', 'write last_checkpoint', 'remove epoch_1.pth'),
    ]
    assert checkpoints(tmp_path) == ['epoch_2.pth', 'epoch_3.pth']
    assert find_resume_point(tmp_path) == str(tmp_path / 'epoch_3.pth')


@pytest.mark.parametrize(
    'options',
    [
        {},
        dict(backend_args=dict(backend='local')),
        dict(file_client_args=dict(backend='disk')),
    ],
)
def test_training_leaves_mmengines_backends_unchanged(options, tmp_path, order):
    def tables():
        return dict(backends), dict(prefix_to_backends), dict(FileClient._backends)

    before = tables()
    train(tmp_path, epochs=1, **options)
    assert order == ['write epoch_1.pth', 'write last_checkpoint']
    assert tables() == before and type(get_file_backend(tmp_path)) is LocalBackend


def test_another_backend_is_kept(tmp_path, order, monkeypatch):
    class Other(LocalBackend):
        pass

    monkeypatch.setitem(prefix_to_backends, '', Other)
    train(tmp_path, epochs=1)
    assert order == ['write last_checkpoint'] and checkpoints(tmp_path) == ['epoch_1.pth']


def test_the_old_best_is_removed_after_the_new_one_is_written(tmp_path, order):
    train(tmp_path, scores=[1, 5, 3], max_keep_ckpts=1, save_best='acc', rule='greater')
    assert order == [
        *('write epoch_1.pth', 'write last_checkpoint', 'write best_acc_epoch_1.pth'),
        *('write epoch_1.pth', 'write last_checkpoint'),  # again, with the name of the best one
        *('write epoch_2.pth', 'write last_checkpoint', 'remove epoch_1.pth'),
        *('write best_acc_epoch_2.pth', 'write epoch_2.pth', 'write last_checkpoint'),
        'remove best_acc_epoch_1.pth',
        *('write epoch_3.pth', 'write last_checkpoint', 'remove epoch_2.pth'),
    ]
    assert checkpoints(tmp_path) == ['best_acc_epoch_2.pth', 'epoch_3.pth']


@pytest.mark.parametrize('by_epoch', [True, False])
def test_the_same_files_as_mmengine(tmp_path, by_epoch):
    options = dict(
        by_epoch=by_epoch,
        scores=[1, 5, 3],
        interval=1 if by_epoch else 2,
        max_keep_ckpts=2,
        save_best=['acc', 'top'],
        rule=['greater', 'less'],
        published_keys=['meta', 'state_dict'],
    )
    train(tmp_path / 'ours', **options)
    theirs = runner(tmp_path / 'theirs', **options)
    hook = next(h for h in theirs.hooks if isinstance(h, CheckpointHook))
    hook.__class__ = MMEngineCheckpointHook
    theirs.train()
    ours, theirs = tmp_path / 'ours', tmp_path / 'theirs'
    unhashed = [[n.split('-')[0] for n in checkpoints(folder)] for folder in (ours, theirs)]
    assert unhashed[0] == unhashed[1] and len(unhashed[0]) == 7
    for name in checkpoints(ours):
        assert is_intact(ours / name)
        if '-' not in name:  # published ones differ: their hash includes the time
            one, other = (load_checkpoint(folder / name) for folder in (ours, theirs))
            assert one.keys() == other.keys()
            assert torch.equal(one['state_dict']['w'], other['state_dict']['w'])
            infos = [c['message_hub']['runtime_info'] for c in (one, other)]
            assert infos[0]['best_score_acc'] == infos[1]['best_score_acc']
    last = [(folder / 'last_checkpoint').read_text() for folder in (ours, theirs)]
    assert os.path.basename(last[0]) == os.path.basename(last[1])


def test_a_run_that_is_killed_before_it_removes_the_old_one(tmp_path, monkeypatch):
    def killed(self, paths):
        if list(paths):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(CheckpointHook, '_remove', killed)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path, max_keep_ckpts=1)
    assert checkpoints(tmp_path) == ['epoch_1.pth', 'epoch_2.pth']
    train(tmp_path, max_keep_ckpts=1, resume=str(tmp_path / 'epoch_2.pth'))
    assert checkpoints(tmp_path) == ['epoch_3.pth']


def test_a_moved_folder(tmp_path):
    options = dict(scores=[1, 2, 3], save_best='acc', rule='greater', max_keep_ckpts=1)
    train(tmp_path / 'old', epochs=2, **options)
    shutil.copytree(tmp_path / 'old', tmp_path / 'new')
    options['scores'] = [9]
    train(tmp_path / 'new', resume=str(tmp_path / 'new/epoch_2.pth'), **options)
    assert checkpoints(tmp_path / 'new') == ['best_acc_epoch_3.pth', 'epoch_3.pth']
    assert checkpoints(tmp_path / 'old') == ['best_acc_epoch_2.pth', 'epoch_2.pth']


@pytest.mark.parametrize(
    'key, value, message',
    [
        ('best_ckpt', 'PRECIOUS', "names '.*precious' as the best one"),
        ('best_ckpt', 'PRECIOUS/..', "names '.*' as the best one"),
        ('keep_ckpt_ids', ['PRECIOUS'], 'as the numbers of those to keep'),
        ('keep_ckpt_ids', 'PRECIOUS', 'as the numbers of those to keep'),
    ],
)
def test_a_checkpoint_cannot_have_other_files_removed(tmp_path, key, value, message):
    precious = tmp_path / 'precious'
    precious.mkdir()
    options = dict(scores=[1, 2], save_best='acc', rule='greater', max_keep_ckpts=1)
    train(tmp_path / 'run', epochs=1, **options)
    path = str(tmp_path / 'run/epoch_1.pth')
    checkpoint = load_checkpoint(path)
    text = str(precious)
    value = [text] if isinstance(value, list) else value.replace('PRECIOUS', text)
    checkpoint['message_hub']['runtime_info'][key] = value
    torch.save(checkpoint, path)
    with pytest.raises(ValueError, match=message):
        train(tmp_path / 'run', resume=path, filename_tmpl='{}', **options)
    assert precious.is_dir()


def test_not_enough_disk_space(tmp_path, monkeypatch):
    free = SimpleNamespace(total=10**9, free=4 * WEIGHTS - 1)
    monkeypatch.setattr(shutil, 'disk_usage', lambda folder: free)
    with pytest.raises(OSError) as error:
        train(tmp_path)
    assert str(error.value) == (
        f'not enough disk space for a checkpoint in {tmp_path}: 200,000 bytes needed, 199,999 '
        'free; there is no checkpoint to resume from'
    )
    assert checkpoints(tmp_path) == []


def test_the_disk_gets_full_between_checkpoints(tmp_path, monkeypatch):
    """The second checkpoint needs twice the space, because it contains the momentum."""
    train(tmp_path, epochs=1, max_keep_ckpts=1)
    first = str(tmp_path / 'epoch_1.pth')
    free = SimpleNamespace(total=10**9, free=8 * WEIGHTS - 1)
    monkeypatch.setattr(shutil, 'disk_usage', lambda folder: free)
    with pytest.raises(OSError, match='400,000 bytes needed, 399,999 free; .*epoch_1.pth stays$'):
        train(tmp_path, epochs=2, max_keep_ckpts=1, resume=first)
    assert checkpoints(tmp_path) == ['epoch_1.pth'] and is_intact(first)


def test_the_disk_gets_full_during_the_write(tmp_path):
    train(tmp_path, epochs=1, max_keep_ckpts=1)
    message = 'epoch_2.pth in .* needed, .* free; .*_1.pth stays$'
    with file_limit(4 * WEIGHTS), pytest.raises(OSError, match=message):
        train(tmp_path, max_keep_ckpts=1, resume=str(tmp_path / 'epoch_1.pth'))
    assert checkpoints(tmp_path) == ['epoch_1.pth'] and is_intact(tmp_path / 'epoch_1.pth')


def test_the_disk_gets_full_at_a_new_best(tmp_path, monkeypatch):
    replace = os.replace

    def full(source, target):
        if target.endswith('best_acc_epoch_2.pth'):
            raise OSError(errno.ENOSPC, 'No space left on device')
        replace(source, target)

    monkeypatch.setattr(os, 'replace', full)
    with pytest.raises(
        OSError, match='not enough disk space for best_acc_epoch_2.pth in .*; .*_2.pth stays$'
    ):
        train(tmp_path, scores=[1, 2], save_best='acc', rule='greater', max_keep_ckpts=1)
    assert checkpoints(tmp_path) == ['best_acc_epoch_1.pth', 'epoch_2.pth']
    assert all(is_intact(tmp_path / name) for name in checkpoints(tmp_path))


def resume_run(work_dir):
    torch.set_num_threads(1)
    settings = dict(epochs=10_000, scores=range(10_000), save_best='acc', rule='greater')
    with loading_safely():
        train(work_dir, max_keep_ckpts=1, resume=find_resume_point(work_dir), **settings)


def test_killed_at_any_time(tmp_path):
    """After each kill there is an intact checkpoint, and none is lost."""
    random.seed(0)
    epochs = [0]
    # Not forked: torch cannot compute gradients in a fork of a process that has computed some.
    context = multiprocessing.get_context('forkserver')
    for _ in range(15):
        run = context.Process(target=resume_run, args=(str(tmp_path),))
        run.start()
        begun = epochs[-1]
        while newest(tmp_path) < begun + 2:
            assert run.is_alive()
            time.sleep(0.001)
        time.sleep(random.uniform(0, 0.05))
        run.kill()
        run.join()
        found = find_resume_point(tmp_path)
        epochs.append(load_checkpoint(found)['meta']['epoch'])
        assert is_intact(tmp_path / (tmp_path / 'last_checkpoint').read_text())
        assert len([n for n in checkpoints(tmp_path) if n.startswith('epoch_')]) <= 2
    assert sorted(set(epochs)) == epochs


def newest(work_dir):
    numbers = [n[len('epoch_') : -len('.pth')] for n in checkpoints(work_dir) if n[:2] == 'ep']
    return max(map(int, numbers), default=0)
