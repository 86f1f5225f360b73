"""Progress lines early and at regular intervals."""

import time
from collections.abc import Callable
from typing import Any, Optional

from mmengine.hooks import Hook, LoggerHook
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from vgg_mm.models.batch_work import BatchWork, pixels_of, training_cost
from vgg_mm.progress import FIRST_SECONDS, Progress, duration
from vgg_mm.registry import HOOKS

from ..unwrap import unwrap

#: Iterations before the first line, or FIRST_SECONDS if that is earlier.
FIRST_ITERATIONS = 10


@HOOKS.register_module()
class ProgressHook(Hook):
    """Log the progress and the remaining time where mmengine's log is silent.

    Its ``LoggerHook`` writes every ``interval`` iterations, which on a processor may be hours. The
    first line comes after ten iterations or 30 seconds, whichever is first, the next ones after a
    minute of silence: in training with the loss, in validation and testing with the images done.
    On a processor, where a single batch can take minutes, lines are logged within it, too: there a
    :class:`VGG` reports its progress after each block.
    """

    priority = 'VERY_LOW'

    def __init__(self) -> None:
        self._interval = 0
        self._training = self._images = Progress(0)
        self._place, self._started, self._said_a_loss = 0, 0.0, False
        self._batches = 0
        self._work: Optional[BatchWork] = None

    def before_train(self, runner: Runner) -> None:
        loggers = [hook for hook in runner.hooks if isinstance(hook, LoggerHook)]
        self._interval = min((hook.interval for hook in loggers), default=0)
        self._said_a_loss = False
        self._begin_training(runner)

    def before_train_epoch(self, runner: Runner) -> None:
        if runner.iter == self._place:  # the work before it (CachedMapsTrainLoop) is no training
            self._begin_training(runner)

    def _begin_training(self, runner: Runner) -> None:
        self._training = Progress(runner.max_iters, runner.logger.info)
        self._training.done = self._place = runner.iter
        self._training.begin()
        self._started = time.monotonic()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        begun = time.monotonic()

        def tell(share: float) -> None:
            if self._training.is_due():
                cost = training_cost(unwrap(runner.model))
                left = (time.monotonic() - begun) * (cost / share - 1)
                runner.logger.info(
                    f'iteration {runner.iter + 1} of {runner.max_iters}: {share:.0%} of its '
                    f'forward pass done, its loss in about {duration(left)}'
                )

        self._watch(runner, data_batch, tell)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Optional[dict] = None
    ) -> None:
        self._stop_watching()
        done = self._training.done = runner.iter + 1
        if self._interval and done % self._interval == 0:
            self._said_a_loss = True  # by LoggerHook
            self._training.noted()
        elif self._training.is_due(early=not self._said_a_loss and self._is_late(done)):
            self._said_a_loss = True
            loss = (outputs or {}).get('loss')
            value = f', loss {loss.item():.4f}' if loss is not None else ''
            left = self._training.left()
            runner.logger.info(f'iteration {done} of {runner.max_iters}{value}, {left}')

    def _is_late(self, done: int) -> bool:
        many = done - self._place >= FIRST_ITERATIONS
        return many or time.monotonic() - self._started >= FIRST_SECONDS

    def after_val_epoch(self, runner: Runner, metrics: Optional[dict] = None) -> None:
        self._training.begin()  # at the pace of the training only
        self._training.noted()  # which has had its first line

    def before_val_epoch(self, runner: Runner) -> None:
        self._begin_images(runner, runner.val_dataloader)

    def before_test_epoch(self, runner: Runner) -> None:
        self._begin_images(runner, runner.test_dataloader)

    def before_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        self._watch(runner, data_batch, lambda share: self._say_images(batch_idx + share))

    before_test_iter = before_val_iter

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        self._stop_watching()
        self._say_images(batch_idx + 1)

    after_test_iter = after_val_iter

    def _begin_images(self, runner: Runner, loader: DataLoader) -> None:
        images = len(loader.dataset)  # type: ignore[arg-type]
        self._images = Progress(images, runner.logger.info)
        self._batches = len(loader)

    def _say_images(self, batches: float) -> None:
        done = batches * self._images.total / self._batches
        self._images.set(done, early=batches >= FIRST_ITERATIONS)

    def _watch(self, runner: Runner, batch: Any, tell: Callable[[float], None]) -> None:
        """Receive the progress of a batch in the model."""
        if runner.cfg.get('compile'):
            return  # hooks would be compiled as well
        self._stop_watching()  # of an interrupted batch
        self._work = BatchWork(runner.model, tell)
        self._work.begin(pixels_of(runner.model, batch))

    def _stop_watching(self) -> None:
        if self._work is not None:
            self._work.end()
            self._work = None
