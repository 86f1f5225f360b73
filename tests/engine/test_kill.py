"""A run that is killed repeatedly ends with the same weights as an uninterrupted run."""

import contextlib
import os
import random
import re
import signal
import time

from tests.conftest import A_DIGITS, short_run
from tests.engine.test_exact_resume import TINY, assert_equal
from tests.preloaded import start

KILLS = 20
EPOCHS = 24  # of 5 iterations

#: A checkpoint after every iteration, so that many kills happen while one is written.
OPTIONS = (
    *TINY,
    'default_hooks.checkpoint.by_epoch=False',
    'default_hooks.checkpoint.interval=1',
    'default_hooks.checkpoint.max_keep_ckpts=2',
    'param_scheduler.milestones=[8,16]',
    'train_dataloader.num_workers=0',
    'train_dataloader.persistent_workers=False',
)


def train_here(data, work_dir):
    """Do the same as tools/train.py --resume, in a process with all modules imported."""
    from vgg_mm.apis.training import train

    options = [str(option) for option in short_run(data, work_dir, EPOCHS, *OPTIONS)]
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(open(f'{work_dir}.log', 'a', encoding='utf-8'))
        stack.enter_context(contextlib.redirect_stdout(log))
        stack.enter_context(contextlib.redirect_stderr(log))
        train(A_DIGITS, work_dir=options[1], cfg_options=options[3:], resume=True)


def iteration(work_dir):
    found = [re.fullmatch(r'iter_(\d+)\.pth', name) for name in os.listdir(work_dir)]
    return max((int(match[1]) for match in found if match), default=0)


def test_kills_change_nothing(few_digits, tmp_path):
    whole, killed = tmp_path / 'whole', tmp_path / 'killed'
    left_alone = start(train_here, few_digits, whole)
    left_alone.join()
    assert left_alone.exitcode == 0, (tmp_path / 'whole.log').read_text()[-2000:]

    draw = random.Random(0)
    killed.mkdir()
    for number in range(KILLS):
        run = start(train_here, few_digits, killed)
        target = iteration(killed) + draw.randint(0, 5)
        while run.is_alive() and iteration(killed) < target:
            time.sleep(0.005)
        time.sleep(draw.uniform(0, 0.15))
        assert run.is_alive(), (
            f'ended by itself before kill {number + 1}: '
            + ((tmp_path / 'killed.log').read_text()[-2000:])
        )
        os.kill(run.pid, signal.SIGKILL)
        run.join()
    assert 0 < iteration(killed) < 5 * EPOCHS
    last = start(train_here, few_digits, killed)
    last.join()
    assert last.exitcode == 0, (tmp_path / 'killed.log').read_text()[-2000:]
    assert_equal(killed / f'iter_{5 * EPOCHS}.pth', whole / f'iter_{5 * EPOCHS}.pth')
