"""A resumed run ends in the same weights as one that was never interrupted."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Optional

import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.utils.data import DataLoader

from vgg_mm.registry import HOOKS, LOOPS
from vgg_mm.seeding import FOR_ITERATION, seed_draws

from ..unwrap import unwrap

#: Keys of a :class:`ResumeState` in a checkpoint's ``meta``, and of gradients in a checkpoint.
STATE_KEY, GRADIENTS_KEY = 'vgg_mm_resume', 'accumulated_gradients'

#: Entries of a scheduler's state that are its place in the schedule, not a setting.
PLACE = {'last_step', 'base_values', 'best', 'num_bad_epochs', 'cooldown_counter', 'verbose'}


class ResumeState(NamedTuple):
    """The part of the state that mmengine's checkpoints lack."""

    seed: int  # of the order of images and of all draws
    iterations_per_epoch: int
    images_per_iteration: int  # of all processes together
    validated_epoch: int  # the last epoch whose validation the checkpoint includes


@LOOPS.register_module()
class ResumableTrainLoop(EpochBasedTrainLoop):
    """mmengine's ``EpochBasedTrainLoop`` that continues the count within a resumed epoch.

    :class:`ExactResumeHook` makes the data loader begin there.
    """

    def run_iter(self, idx: int, data_batch: Sequence[dict]) -> None:
        super().run_iter(self._iter - self._epoch * len(self.dataloader), data_batch)


@HOOKS.register_module()
class ExactResumeHook(Hook):
    """Make resuming exact, bit for bit on a CPU, from checkpoints by epoch or by iteration.

    mmengine resumes weights, optimizer, schedulers and log buffers. This hook adds

    - the position within an epoch, with :class:`ResumableSampler` and :class:`ResumableTrainLoop`;
    - draws: dropout's depend on (seed, process, iteration) only, those of transforms on (seed,
      epoch, image) by :class:`SeededDataset`;
    - the validation after an epoch, if the run was interrupted between an epoch's checkpoint and
      its validation: it runs first, so that a plateau schedule misses none;
    - gradients that were accumulated, but not yet applied, when the checkpoint was written (in
      training with one process; several hold different ones).

    Settings of the config that the checkpoint overrides (rates, milestones, seed) are named in a
    warning. With another number of images an iteration, or of iterations an epoch, a run resumes
    from the end of an epoch only. With other samplers or loops the epoch is repeated, with a
    warning.

    Raises:
        ValueError: in one line, if the checkpoint was written in the middle of an epoch with
            another number of images an iteration, or with a batch sampler of another class than
            torch's (mmdet's ``AspectRatioBatchSampler``).
    """

    # Last: the missed validation needs all other hooks.
    priority = 'LOWEST'

    def __init__(self):
        self._resumed: Optional[ResumeState] = None
        self._gradients: Optional[dict[str, torch.Tensor]] = None
        self._validated_epoch = 0

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        stored = (checkpoint.get('meta') or {}).get(STATE_KEY)
        self._resumed = ResumeState(**stored) if stored else None
        self._gradients = checkpoint.get(GRADIENTS_KEY)
        # A test by the config of a resumed training has no optimizer, only its settings.
        if getattr(runner, '_resume', False) and isinstance(runner.optim_wrapper, OptimWrapper):
            self._warn_of_ignored_settings(runner, checkpoint)

    def _warn_of_ignored_settings(self, runner: Runner, checkpoint: dict) -> None:
        ignored: dict[str, str] = {}
        for name, given, resumed in _differing_settings(runner, checkpoint):
            ignored.setdefault(name, f'{name}={given} ({resumed} stays)')
        seed = (runner.cfg.get('randomness') or {}).get('seed')
        if self._resumed and seed not in (None, self._resumed.seed):
            ignored['seed'] = f'randomness.seed={seed} ({self._resumed.seed} stays)'
        if ignored:
            runner.logger.warning(
                "a resumed run keeps the checkpoint's optimizer, schedulers and seed; ignored: "
                f'{", ".join(ignored.values())}. To use them, start from its weights in another '
                'work directory: --cfg-options load_from=CHECKPOINT in place of --resume'
            )

    def before_train(self, runner: Runner) -> None:
        self._seed = getattr(_sampler_of(runner.train_dataloader), 'seed', runner.seed)
        if runner.iter > 0 and self._resumed:
            self._resume(runner, self._resumed)
        self._resumed = self._gradients = None

    def _resume(self, runner: Runner, stored: ResumeState) -> None:
        self._seed = stored.seed
        self._validated_epoch = stored.validated_epoch
        loop, loader = runner.train_loop, runner.train_dataloader
        sampler = _sampler_of(loader)
        sampler.seed = stored.seed
        done = runner.iter - runner.epoch * stored.iterations_per_epoch
        here = self._state(runner)
        # By iterations there are no epochs that would have to agree.
        same_epochs = hasattr(loop, 'dataloader_iterator') or (
            stored.iterations_per_epoch == here.iterations_per_epoch
        )
        if stored.images_per_iteration != here.images_per_iteration or not same_epochs:
            done = _resume_with_other_batches(runner, stored, here, done)
        for name, parameter in unwrap(runner.model).named_parameters():
            if self._gradients and name in self._gradients:
                parameter.grad = self._gradients[name].to(parameter, copy=True)
        if self._gradients:
            runner.logger.info(
                'the gradients accumulated before the checkpoint are restored: nothing is lost'
            )
        if hasattr(loop, 'dataloader_iterator'):  # by iterations
            # The one created with the loop has another seed.
            loop.dataloader_iterator = type(loop.dataloader_iterator)(loader)
            return
        if done and loader.batch_size is None:
            raise ValueError(
                f'the checkpoint was written at iteration {done} of {stored.iterations_per_epoch} '
                f'in an epoch, and the batches of {type(loader.batch_sampler).__name__} cannot be '
                'continued there: resume from a checkpoint of the end of an epoch'
            )
        if done and not (hasattr(sampler, 'start') and isinstance(loop, ResumableTrainLoop)):
            runner.logger.warning(
                f'the checkpoint was written at iteration {done} of {stored.iterations_per_epoch} '
                f'in an epoch, which is repeated from its start: {type(sampler).__name__} and '
                f'{type(loop).__name__} cannot continue there (vgg_mm.ResumableSampler with '
                'vgg_mm.SeededDataset, and vgg_mm.ResumableTrainLoop can)'
            )
        else:
            sampler.start = done * (loader.batch_size or 0)
        # For the next epoch, as the loop does before it validates.
        loop._decide_current_val_interval()
        if done == 0 and stored.validated_epoch < runner.epoch and _validates(runner):
            runner.logger.info(f'running the missed validation of epoch {runner.epoch} first')
            runner.val_loop.run()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        seed_draws(FOR_ITERATION, self._seed, runner.rank, runner.iter)

    def before_val_epoch(self, runner: Runner) -> None:
        # Not after it: the best checkpoint is written there, and includes the validation.
        self._validated_epoch = runner.epoch

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        checkpoint['meta'][STATE_KEY] = self._state(runner)._asdict()
        gradients = {
            name: parameter.grad.cpu()
            for name, parameter in unwrap(runner.model).named_parameters()
            if parameter.grad is not None
        }
        if gradients and runner.world_size == 1:
            checkpoint[GRADIENTS_KEY] = gradients

    def _state(self, runner: Runner) -> ResumeState:
        loader = runner.train_dataloader
        return ResumeState(
            seed=self._seed,
            iterations_per_epoch=len(loader),
            images_per_iteration=runner.world_size * _batch_size_of(loader),
            validated_epoch=self._validated_epoch,
        )


def _sampler_of(loader: DataLoader) -> Any:
    """The sampler of images, also below a batch sampler of a class of its own (mmdet's)."""
    return getattr(loader.batch_sampler, 'sampler', loader.sampler)


def _batch_size_of(loader: DataLoader) -> int:
    """Images of a batch; 1 where a batch sampler does not say it."""
    return loader.batch_size or getattr(loader.batch_sampler, 'batch_size', None) or 1


def _validates(runner: Runner) -> bool:
    """Whether a validation belongs to the end of the present epoch."""
    loop = runner.train_loop
    due = runner.epoch % loop.val_interval == 0 or runner.epoch == loop.max_epochs
    return runner.val_loop is not None and due and runner.epoch >= loop.val_begin


def _resume_with_other_batches(
    runner: Runner, stored: ResumeState, here: ResumeState, done: int
) -> int:
    """Continue from an epoch's end with the new batches; returns those done in this epoch."""
    loop = runner.train_loop
    by_iterations = hasattr(loop, 'dataloader_iterator')
    if by_iterations:
        raise ValueError(
            f'the run had {stored.images_per_iteration} images an iteration, now '
            f'{here.images_per_iteration}: by iterations it resumes with the same number alone '
            '(processes x batch size); or start from its weights, load_from=CHECKPOINT'
        )
    if done not in (0, stored.iterations_per_epoch):
        raise ValueError(
            f'the checkpoint was written at iteration {done} of {stored.iterations_per_epoch} in '
            f'an epoch with {stored.images_per_iteration} images an iteration, now there are '
            f'{here.images_per_iteration} in {here.iterations_per_epoch} iterations: resume with '
            'the same photos and the same number (processes x batch size), or from a checkpoint of '
            'the end of an epoch'
        )
    runner.logger.info(
        f'an epoch had {stored.iterations_per_epoch} iterations of {stored.images_per_iteration} '
        f'images before the interruption, now {here.iterations_per_epoch} of '
        f'{here.images_per_iteration}'
    )
    # A checkpoint of an epoch's last iteration still belongs to that epoch.
    done = here.iterations_per_epoch if done else 0
    loop._iter = runner.epoch * here.iterations_per_epoch + done
    runner.optim_wrapper.initialize_count_status(runner.model, loop.iter, loop.max_iters)
    return done


def _differing_settings(runner: Runner, checkpoint: dict) -> Iterator[tuple[str, Any, Any]]:
    """(name, the run's value, the checkpoint's), before mmengine overrides the run's.

    A ValueError if the checkpoint's optimizer is of another kind.
    """
    wrapper = runner.optim_wrapper
    if isinstance(wrapper, OptimWrapperDict) or 'optimizer' not in checkpoint:
        return
    for here, there in zip(wrapper.param_groups, checkpoint['optimizer']['param_groups']):
        if ('betas' in here) != ('betas' in there):
            raise ValueError(
                'the checkpoint to resume was written with an optimizer of another kind: keep '
                'optim_wrapper.optimizer.type, or start from its weights: load_from in place of '
                '--resume'
            )
        for key in here.keys() & there.keys() - {'params', 'param_names', 'initial_lr'}:
            # The rate that a schedule began with is the one that the config gives.
            first = 'initial_lr' if key == 'lr' and 'initial_lr' in there else key
            if here.get(first, here[key]) != there[first]:
                given = here.get(first, here[key])
                yield f'optim_wrapper.optimizer.{key}', given, there[first]
    schedulers, stored = runner.param_schedulers, checkpoint.get('param_schedulers')
    if not isinstance(schedulers, list) or not isinstance(stored, list):
        return
    if len(schedulers) != len(stored):
        yield 'param_scheduler', f'{len(schedulers)} schedulers', f'{len(stored)}'
    for index, (scheduler, there) in enumerate(zip(schedulers, stored)):
        here = scheduler.state_dict()
        where = 'param_scheduler' if len(schedulers) == 1 else f'param_scheduler.{index}'
        for key in sorted(here.keys() & there.keys() - PLACE):
            if not key.startswith('_') and here[key] != there[key]:
                # mmengine counts milestones.
                given, resumed = (
                    sorted(value.elements()) if isinstance(value, Counter) else value
                    for value in (here[key], there[key])
                )
                yield f'{where}.{key}', given, resumed
