"""Detects failed trainings, and learning rates that are for another batch size."""

import math
from collections import deque
from functools import partial
from typing import Any, Optional

import torch
import torch.nn as nn
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from mmpretrain.models import CrossEntropyLoss, LabelSmoothLoss
from torch.distributed.fsdp import FullyShardedDataParallel

from vgg_mm.registry import HOOKS

from ..layer_statistics import layer_statistics, suspects
from ..unwrap import unwrap
from .init_hooks import ClassifierInitHook

ACTIONS = ('stop', 'warn', 'off')

#: Relative distance from ln(num_classes) of the losses of a net that has learnt nothing.
AT_CHANCE = 0.01

#: Iterations after which a net that learns has left ln(num_classes), on any data set.
MAX_PATIENCE = 2000


@HOOKS.register_module()
class LossGuardHook(Hook):
    """Watch the training loss.

    - A loss that is not finite stops the run, before a step spoils the weights; the last checkpoint
      is from before.
    - A loss that stays at ln(num_classes), that of guessing, is where a deep VGG from random
      weights gets stuck (Section 3.1): after ``patience`` iterations the mean of the last
      ``window`` losses is compared with it, once.

    Either names the layers in which activations or gradients vanish or explode, computed with the
    run's settings (autocast, scaled losses). A net that no process can run by itself (FSDP,
    SyncBatchNorm) is not examined.

    Args:
        not_finite: 'stop', 'warn' or 'off'.
        at_chance: 'stop', 'warn' or 'off'.
        patience: Iterations that the loss has to leave ln(num_classes); by default a quarter of
            the run, at most 2000.
        window: Number of losses in the mean, at most ``patience``.

    Raises:
        ValueError: if an argument is invalid.
        RuntimeError: in one line, to stop the run.
    """

    def __init__(
        self,
        not_finite: str = 'stop',
        at_chance: str = 'warn',
        patience: Optional[int] = None,
        window: int = 50,
    ):
        for name, action in (('not_finite', not_finite), ('at_chance', at_chance)):
            if action not in ACTIONS:
                raise ValueError(
                    f'LossGuardHook: {name} must be one of {", ".join(ACTIONS)}, got {action!r}'
                )
        if window < 1 or (patience is not None and window > patience):
            raise ValueError(
                f'LossGuardHook: window must be 1 to patience={patience}, got {window}'
            )
        self.not_finite = not_finite
        self.at_chance = at_chance
        self.patience = patience
        self._losses: deque[float] = deque(maxlen=window)
        self._broken = self._checked = self._examining = False
        self._loss: Optional[float] = None
        self._batch: Any = None
        self._handle: Any = None

    def before_train(self, runner: Runner) -> None:
        if self.patience is None:
            self.patience = min(MAX_PATIENCE, runner.max_iters // 4)
        model = unwrap(runner.model)
        self._chance = _loss_of_guessing(model)
        if self.not_finite != 'off' and isinstance(model, nn.Module):
            # The first place with the loss: the weights are still those that it was computed with.
            self._handle = model.register_forward_hook(_Observer(self, runner), with_kwargs=True)

    def after_train(self, runner: Runner) -> None:
        if self._handle is not None:
            self._handle.remove()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        self._batch, self._loss = data_batch, None

    def observe(self, runner: Runner, model: Any, args: tuple, kwargs: dict, losses: Any) -> None:
        if kwargs.get('mode') != 'loss' or self._examining or not model.training:
            return
        self._loss = model.parse_losses(losses)[0].item()
        if not math.isfinite(self._loss):
            self._report_not_finite(runner, self._loss, self._batch)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Optional[dict] = None
    ) -> None:
        loss = (outputs or {})['loss'].item() if self._loss is None else self._loss
        if not math.isfinite(loss) and self.not_finite != 'off':
            self._report_not_finite(runner, loss, data_batch)
            return
        self._losses.append(loss)
        enough = runner.iter + 1 >= self.patience and len(self._losses) == self._losses.maxlen
        if enough and not self._checked:
            self._checked = True
            if self.at_chance != 'off' and self._is_at_chance():
                self._report_at_chance(runner, data_batch)

    def _is_at_chance(self) -> bool:
        mean = sum(self._losses) / len(self._losses)
        return self._chance is not None and abs(mean - self._chance) < AT_CHANCE * self._chance

    def _report_not_finite(self, runner: Runner, loss: float, batch: Any) -> None:
        if self._broken:
            return
        self._broken = True
        before = ', '.join(f'{value:.4g}' for value in list(self._losses)[-3:])
        self._act(
            'not_finite',
            runner,
            f'the loss is {loss} at iteration {runner.iter + 1}'
            + (f' (before: {before})' if before else '')
            + f'; {self._where(runner, batch, backward=False)}; {_gentler(runner)}, or start from '
            f'init_cfg glorot or {_source(runner)}',
        )

    def _report_at_chance(self, runner: Runner, batch: Any) -> None:
        self._act(
            'at_chance',
            runner,
            f'after {runner.iter + 1} iterations the loss is still ln(num_classes) = '
            f'{self._chance:.3f}, that of guessing; {self._where(runner, batch)}; start from a '
            'shallower net (default_hooks.staged_init.checkpoint), with init_cfg glorot or '
            'kaiming, or with another learning rate',
        )

    def _where(self, runner: Runner, batch: Any, backward: bool = True) -> str:
        if isinstance(runner.model, FullyShardedDataParallel):
            return 'its layers are not examined, since the net is sharded'
        model = unwrap(runner.model)
        if get_world_size() > 1 and any(isinstance(m, nn.SyncBatchNorm) for m in model.modules()):
            return 'its layers are not examined, since SyncBatchNorm waits for all processes'
        wrapper = getattr(runner, 'optim_wrapper', None)
        wrapper = wrapper if isinstance(wrapper, OptimWrapper) else None
        self._examining = True
        try:
            found = suspects(*layer_statistics(model, batch, wrapper, backward))
        except torch.OutOfMemoryError:
            return 'its layers are not examined, for lack of memory'
        finally:
            self._examining = False
        sizes = 'activations and gradients' if backward else 'activations'
        return ', '.join(found) or f'{sizes} have normal magnitudes in all layers'

    def _act(self, option: str, runner: Runner, message: str) -> None:
        if getattr(self, option) == 'stop':
            raise RuntimeError(
                f'{message}; to continue anyway: '
                f'--cfg-options default_hooks.loss_guard.{option}=warn'
            )
        runner.logger.warning(message)


class _Observer:
    """Shows a model's losses to the hook; copies of the model, also on disk, show nothing."""

    def __init__(self, hook: LossGuardHook, runner: Runner):
        self.hook, self.runner = hook, runner

    def __call__(self, model: Any, args: tuple, kwargs: dict, losses: Any) -> None:
        self.hook.observe(self.runner, model, args, kwargs, losses)

    def __reduce__(self) -> tuple:
        return partial, (_ignore,)


def _ignore(*args: Any) -> None:
    pass


def _source(runner: Runner) -> str:
    """Trained weights that the run could start from."""
    if any(isinstance(hook, ClassifierInitHook) for hook in runner.hooks):
        return 'a classifier (default_hooks.classifier_init.checkpoint)'
    return 'a shallower net (default_hooks.staged_init.checkpoint)'


def _gentler(runner: Runner) -> str:
    """What makes steps smaller, as the command line takes it."""
    wrapper = getattr(runner, 'optim_wrapper', None)
    if not isinstance(wrapper, OptimWrapper):
        return 'lower the learning rate'
    # Not a group's, which may be a multiple.
    rate = f'optim_wrapper.optimizer.lr={wrapper.optimizer.defaults["lr"] / 10:g}'
    if wrapper.clip_grad_kwargs or isinstance(runner.model, FullyShardedDataParallel):
        return f'lower the learning rate (--cfg-options {rate})'
    clip = 'optim_wrapper.clip_grad.max_norm=5'
    return f'lower the learning rate (--cfg-options {rate}) or limit gradients ({clip})'


def _loss_of_guessing(model: nn.Module) -> Optional[float]:
    """ln(num_classes) for a classifier with a cross-entropy loss, else None."""
    head: Any = getattr(model, 'head', None)
    loss = getattr(head, 'loss_module', None)
    # MMPretrain's ClsHead has no number: there the classifier is the end of the backbone.
    ends = head, getattr(getattr(model, 'backbone', None), 'classifier', None)
    counts = [end.num_classes for end in ends if hasattr(end, 'num_classes')]
    if not isinstance(loss, (CrossEntropyLoss, LabelSmoothLoss)) or not counts:
        return None
    return math.log(counts[0]) * getattr(loss, 'loss_weight', 1.0)


@HOOKS.register_module()
class BatchSizeNoticeHook(Hook):
    """Compare the images of a step with ``auto_scale_lr.base_batch_size``, once.

    A config's learning rate is for that many; e.g. on one GPU a run has an eighth of them.
    """

    def before_train(self, runner: Runner) -> None:
        rule = runner.cfg.get('auto_scale_lr') or {}
        base = rule.get('base_batch_size')
        loader = runner.train_dataloader
        size = loader.batch_size or getattr(loader.batch_sampler, 'batch_size', None)
        if not base or not size or rule.get('enable'):
            return
        processes = get_world_size()
        counts = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
        found = size * processes * counts
        if found != base:
            runner.logger.warning(
                f'the learning rate of this config is for {base} images a step, and this run has '
                f'{found} (batch size {size}, {processes} processes, {counts} batches a step): '
                f'--auto-scale-lr multiplies it by {found / base:.3g}'
            )
