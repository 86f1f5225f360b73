"""Settings of a config that a resumed run does not take, because the checkpoint's replace them."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner

#: What of a scheduler's state is its place in the schedule, not a setting.
PLACE = {'last_step', 'base_values', 'best', 'num_bad_epochs', 'cooldown_counter', 'verbose'}


def settings_not_taken(runner: Runner, checkpoint: dict) -> list[str]:
    """A phrase ``NAME=GIVEN (RESUMED stays)`` for each setting that differs.

    To be called before mmengine puts the checkpoint's optimizer and schedulers into the run's.

    Raises:
        ValueError: in one line, if the checkpoint's optimizer is of another kind.
    """
    wrapper = runner.optim_wrapper
    if isinstance(wrapper, OptimWrapperDict) or 'optimizer' not in checkpoint:
        return []
    found: dict[str, str] = {}
    for name, given, resumed in _differing(runner, checkpoint):
        found.setdefault(name, f'{name}={given} ({resumed} stays)')
    return list(found.values())


def _differing(runner: Runner, checkpoint: dict) -> Iterator[tuple[str, Any, Any]]:
    groups = runner.optim_wrapper.param_groups
    for here, there in zip(groups, checkpoint['optimizer']['param_groups']):
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
                yield f'{where}.{key}', _plain(here[key]), _plain(there[key])


def _plain(value: Any) -> Any:
    """mmengine counts milestones."""
    return sorted(value.elements()) if isinstance(value, Counter) else value
