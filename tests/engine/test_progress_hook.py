"""When a line is due, by a clock of the test's own."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import LoggerHook

from vgg_mm.engine import ProgressHook
from vgg_mm.engine.hooks import progress_hook


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
        val_dataloader=Loader(), test_dataloader=Loader(),
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
    assert said(clock, 12, 9)[0] == [3, 8]  # after 30 seconds, then a minute of silence
    assert said(clock, 0.1, 50, interval=5)[0] == []  # LoggerHook is earlier
    assert said(clock, 1, 100, interval=20)[0] == [10]  # and goes on


@pytest.mark.parametrize('phase', ['val', 'test'])
def test_images_done_in_evaluations(clock, phase):
    one, hook = runner(1000), ProgressHook()
    getattr(hook, f'before_{phase}_epoch')(one)
    for index in range(32):
        clock.time += 20
        getattr(hook, f'after_{phase}_iter')(one, index)
    assert one.logger[:2] == [
        '7 of 126 images, about 10 minutes left',
        '19 of 126 images, about 9 minutes left',
    ]
