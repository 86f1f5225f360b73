"""First words early, and words again before anyone wonders."""

import time
from typing import Any, Optional

from mmengine.hooks import Hook, LoggerHook
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from vgg_mm.registry import HOOKS

#: A first line after so many iterations or seconds, whichever comes first.
FIRST_ITERATIONS, FIRST_SECONDS = 10, 30

#: Seconds of silence after which a line is due again.
SILENCE = 60

#: Of an evaluation that is over in so many seconds, nothing is said before its result.
SOON = 5


@HOOKS.register_module()
class ProgressHook(Hook):
    """Say what is done and how long the rest will take, where mmengine's log is silent.

    Its ``LoggerHook`` writes every ``interval`` iterations, which on a processor may be hours. The
    first line comes after ten iterations or 30 seconds, whichever is first, the next ones after a
    minute of silence: in training with the loss, in validation and testing with the images done.
    """

    priority = 'VERY_LOW'

    def __init__(self) -> None:
        self._interval = 0
        self._begin(0)

    def _begin(self, place: int) -> None:
        self._started = self._said_at = time.monotonic()
        self._place, self._said = place, False

    def before_train(self, runner: Runner) -> None:
        loggers = [hook for hook in runner.hooks if isinstance(hook, LoggerHook)]
        self._interval = min((hook.interval for hook in loggers), default=0)
        self._begin(runner.iter)

    def before_train_epoch(self, runner: Runner) -> None:
        if runner.iter == self._place:  # what came before (CachedMapsTrainLoop) is no training
            self._begin(runner.iter)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Optional[dict] = None,
    ) -> None:
        done = runner.iter + 1
        if self._interval and done % self._interval == 0:
            self._said, self._said_at = True, time.monotonic()  # by LoggerHook
        elif self._is_due(done):
            left = self._left(done, runner.max_iters)
            loss = (outputs or {}).get('loss')
            value = f', loss {loss.item():.4f}' if loss is not None else ''
            runner.logger.info(f'iteration {done} of {runner.max_iters}{value}, {left}')

    def before_val_epoch(self, runner: Runner) -> None:
        self._begin(0)

    before_test_epoch = before_val_epoch

    def after_val_epoch(self, runner: Runner, metrics: Optional[dict] = None) -> None:
        self._begin(runner.iter)
        self._said = True  # training has had its first words

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        self._say_images(runner, batch_idx + 1, runner.val_dataloader)

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        self._say_images(runner, batch_idx + 1, runner.test_dataloader)

    def _say_images(self, runner: Runner, done: int, loader: DataLoader) -> None:
        total = len(loader)
        if self._seconds_left(done, total) < SOON or not self._is_due(done):
            return
        images = len(loader.dataset)  # type: ignore[arg-type]
        ready = min(images, done * images // total)
        runner.logger.info(f'{ready} of {images} images, {self._left(done, total)}')

    def _is_due(self, done: int) -> bool:
        now = time.monotonic()
        if self._said:
            due = now - self._said_at >= SILENCE
        else:
            due = done - self._place >= FIRST_ITERATIONS or now - self._started >= FIRST_SECONDS
        if due:
            self._said, self._said_at = True, now
        return due

    def _seconds_left(self, done: int, total: int) -> float:
        each = (time.monotonic() - self._started) / max(1, done - self._place)
        return each * (total - done)

    def _left(self, done: int, total: int) -> str:
        seconds = self._seconds_left(done, total)
        if seconds < 90:
            return f'about {seconds:.0f} seconds left'
        if seconds < 5400:
            return f'about {seconds / 60:.0f} minutes left'
        return f'about {seconds / 3600:.1f} hours left'
