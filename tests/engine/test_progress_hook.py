"""When progress lines are logged, with a simulated clock."""

import re
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import LoggerHook
from torch.utils.data import DataLoader

from tests.models.test_vgg import classifier
from vgg_mm.engine import ProgressHook
from vgg_mm.engine.hooks import progress_hook
from vgg_mm.models import PaperTTA


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(time=0.0)
    monkeypatch.setattr(progress_hook.time, 'monotonic', lambda: now.time)
    return now


class Log(list):
    info = list.append


class Loader:
    dataset = range(126)

    def __len__(self):
        return 32


def runner(interval):
    return SimpleNamespace(
        iter=0, max_iters=1000, logger=Log(), hooks=[LoggerHook(interval=interval)],
        val_dataloader=Loader(), test_dataloader=Loader(), cfg={}, model=torch.nn.Module(),
    )  # fmt: skip


def said(clock, seconds_each, iterations, interval=1000):
    one, hook = runner(interval), ProgressHook()
    hook.before_train(one)
    found = []
    for one.iter in range(iterations):
        clock.time += seconds_each
        hook.after_train_iter(one, one.iter, outputs=dict(loss=torch.tensor(2.5)))
        found += [one.iter + 1] * (len(one.logger) - len(found))
    return found, one.logger


def test_the_first_loss_comes_early(clock):
    found, lines = said(clock, 0.1, 50)
    assert found == [10]
    assert lines == ['iteration 10 of 1000, loss 2.5000, about 2 minutes left']
    assert said(clock, 12, 9)[0] == [3, 8]  # after 30 seconds, then after a minute of silence
    assert said(clock, 0.1, 50, interval=5)[0] == []  # LoggerHook logs first
    assert said(clock, 1, 100, interval=20)[0] == [10]  # then LoggerHook logs


def slow_net(clock, seconds):
    """A net in which each block takes so many seconds."""
    net = classifier(3, arch='A', base_channels=2, head=dict(in_channels=16, fc_channels=4))

    def wait(*args):
        clock.time += seconds

    for block in range(1, 6):
        net.backbone.get_submodule(f'pool{block}').register_forward_hook(wait)
    return net


def test_progress_within_the_first_batch_of_a_test(clock):
    """One batch of three photos, at two Q and with flips; each block takes 20 seconds."""
    one, hook = runner(1000), ProgressHook()
    one.model = PaperTTA(slow_net(clock, 20), protocol='dense').eval()
    one.test_dataloader = DataLoader(range(3), batch_size=3)
    images = [torch.zeros(3, 3, side, side + 16, dtype=torch.uint8) for side in (224, 256)]
    data = dict(inputs=[list(scale) for scale in images])
    hook.before_test_epoch(one)
    hook.before_test_iter(one, 0, data)
    with torch.no_grad():
        one.model.test_step(dict(data))
    hook.after_test_iter(one, 0, data)
    assert one.logger[0].startswith('0 of 3 images, about ')
    done = [int(line.split(' of 3 images')[0]) for line in one.logger]
    assert done == sorted(done) and done[-1] == 2
    # The first line comes after the second block, then one every minute.
    assert len(one.logger) == 1 + (clock.time - 40) // 60
    lines = len(one.logger)
    one.model.test_step(data)  # progress is no longer logged
    assert len(one.logger) == lines


def test_progress_within_the_first_iteration(clock):
    one, hook = runner(1000), ProgressHook()
    one.model = slow_net(clock, 20)
    data = dict(inputs=torch.zeros(2, 3, 224, 224, dtype=torch.uint8))
    hook.before_train(one)
    hook.before_train_iter(one, 0, data)
    one.model.extract_feat(data['inputs'].float())
    assert len(one.logger) == 1
    assert re.fullmatch(
        r'iteration 1 of 1000: \d+% of its forward pass done, its loss in about \d+ minutes',
        one.logger[0],
    )
    clock.time += 20
    hook.after_train_iter(one, 0, outputs=dict(loss=torch.tensor(2.5)))
    assert one.logger[1] == 'iteration 1 of 1000, loss 2.5000, about 33.3 hours left'


def test_an_interrupted_iteration_leaves_no_hooks_in_the_net(clock):
    """An iteration may be interrupted by Ctrl-C in a notebook before training continues."""
    one, hook = runner(1000), ProgressHook()
    one.model = slow_net(clock, 20)
    before = [len(layer._forward_hooks) for layer in one.model.modules()]
    data = dict(inputs=torch.zeros(2, 3, 64, 64, dtype=torch.uint8))
    hook.before_train(one)
    hook.before_train_iter(one, 0, data)
    hook.before_train_iter(one, 0, data)
    hook.after_train_iter(one, 0, outputs=dict(loss=torch.tensor(2.5)))
    assert [len(layer._forward_hooks) for layer in one.model.modules()] == before


@pytest.mark.parametrize('phase', ['val', 'test'])
def test_number_of_images_done_in_evaluations(clock, phase):
    one, hook = runner(1000), ProgressHook()
    getattr(hook, f'before_{phase}_epoch')(one)
    for index in range(32):
        clock.time += 20
        getattr(hook, f'after_{phase}_iter')(one, index)
    assert one.logger[:2] == [
        '7 of 126 images, about 10 minutes left',
        '19 of 126 images, about 9 minutes left',
    ]
