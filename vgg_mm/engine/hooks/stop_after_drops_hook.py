"""The end of the paper's training: no progress at the last learning rate (Section 3.1)."""

import math
from typing import Optional

from mmengine.hooks import Hook
from mmengine.optim.scheduler import ReduceOnPlateauParamScheduler
from mmengine.runner import Runner

from vgg_mm.registry import HOOKS


@HOOKS.register_module()
class StopAfterDropsHook(Hook):
    """Stop when validation stops improving after the learning rate was dropped ``drops`` times.

    "In total, the learning rate was decreased 3 times, and the learning was stopped" (Section 3.1).
    For mmengine's ``ReduceOnPlateauLR``, whose state, stored in every checkpoint, is all it
    uses: ``patience`` validations in a row without improvement at the last rate end the run
    (a drop follows after one more).

    Args:
        drops: Number of drops, at least 0; None switches the hook off.

    Raises:
        ValueError: if there is no ``ReduceOnPlateauLR`` to follow.
    """

    # After the schedulers (LOW) have seen the validation, before the checkpoint is written.
    priority = 'VERY_LOW'

    def __init__(self, drops: Optional[int] = 3):
        if drops is not None and (not isinstance(drops, int) or drops < 0):
            raise ValueError(f'StopAfterDropsHook: drops must be 0 or more, got {drops!r}')
        self.drops = drops

    def before_train(self, runner: Runner) -> None:
        if self.drops is not None and _plateau(runner) is None:
            raise ValueError(
                "StopAfterDropsHook needs param_scheduler=dict(type='ReduceOnPlateauLR', ...), "
                'the schedule has none; without it: --cfg-options custom_hooks.0.drops=None'
            )

    def after_val_epoch(self, runner: Runner, metrics: Optional[dict] = None) -> None:
        scheduler = _plateau(runner)
        if self.drops is None or scheduler is None:
            return
        if _drops(scheduler) >= self.drops and scheduler.num_bad_epochs >= scheduler.patience:
            runner.logger.info(
                f'stopping after epoch {runner.epoch}: the learning rate was dropped {self.drops} '
                f'times, and {scheduler.num_bad_epochs} validations brought no improvement on '
                f'{scheduler.monitor} {scheduler.best:.4g}'
            )
            runner.train_loop.stop_training = True


def _drops(scheduler: ReduceOnPlateauParamScheduler) -> float:
    """How often the rate was dropped; infinity where it cannot drop any further."""
    for group, least in zip(scheduler.optimizer.param_groups, scheduler.min_values):
        if group['lr'] > least:  # of a frozen part it is 0
            return round(math.log(group['lr'] / group['initial_lr'], scheduler.factor))
    return math.inf


def _plateau(runner: Runner) -> Optional[ReduceOnPlateauParamScheduler]:
    schedulers = runner.param_schedulers or []
    if isinstance(schedulers, dict):
        # Of several optimizers; or, in a run without training, still a setting.
        lists = [several for several in schedulers.values() if isinstance(several, list)]
        schedulers = [one for several in lists for one in several]
    return next((s for s in schedulers if isinstance(s, ReduceOnPlateauParamScheduler)), None)
