"""What a run's net was given before its first iteration."""

import os
from typing import Union

import torch.nn as nn
from mmengine.runner import Runner

from .unwrap import unwrap


def is_resumed(runner: Runner) -> bool:
    """Whether a run goes on from a checkpoint, also from one of before the first iteration."""
    resumed = getattr(runner, '_resume', False) and getattr(runner, '_has_loaded', False)
    return runner.iter > 0 or resumed


def check_nothing_is_loaded(
    runner: Runner, hook: str, checkpoint: Union[str, os.PathLike], key: str
) -> None:
    """Refuse to let a hook replace weights that the run has loaded.

    Args:
        runner: Of the run.
        hook, checkpoint: Who would replace them, by what.
        key: Of the hook in ``default_hooks``.

    Raises:
        ValueError: in one line, if ``load_from`` or ``runner.load_checkpoint`` gave weights.
    """
    loaded_from = getattr(runner, '_load_from', None)
    if loaded_from is None and not getattr(runner, '_has_loaded', False):
        return
    source = 'runner.load_checkpoint' if loaded_from is None else f'load_from={loaded_from}'
    raise ValueError(
        f'{hook}: {checkpoint} would replace what {source} gave: leave out the one or the other '
        f'(--cfg-options default_hooks.{key}.checkpoint=None)'
    )


def pretrained_parts(model: nn.Module) -> dict[str, str]:
    """Parts of a net that ``init_cfg=dict(type='Pretrained', ...)`` initialised.

    Returns:
        Beginning of the names of their weights ('backbone.', '' for all) -> checkpoint.
    """
    found = {}
    for name, module in unwrap(model).named_modules():
        configs = getattr(module, 'init_cfg', None) or []
        for cfg in configs if isinstance(configs, list) else [configs]:
            kind = getattr(cfg.get('type'), '__name__', cfg.get('type'))
            if str(kind).split('.')[-1] in ('Pretrained', 'PretrainedInit'):
                found[f'{name}.' if name else ''] = str(cfg.get('checkpoint'))
    return found
