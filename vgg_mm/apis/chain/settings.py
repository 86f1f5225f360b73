"""The settings that make a training what it is, flat, so that a change can be named."""

import hashlib
import inspect
import json
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, Optional

from mmengine.config import Config
from mmengine.runner import Runner

from vgg_mm.text import first_few

from ..cfg_options import OTHER_KEYS
from ..config import load_config
from ..errors import named
from ..tta import use_test_time_augmentation
from .stages import Stage, option_texts

#: What does not change the trained net: where it is written and logged, how fast images are read,
#: how it is tested. What a stage starts from is compared by the stage's name.
NO_TRAINING = (
    'custom_imports*', 'default_hooks.checkpoint*', 'default_hooks.logger.*',
    'default_hooks.staged_init.checkpoint', 'default_hooks.timer.*',
    'default_hooks.visualization.*', 'env_cfg.*', 'experiment_name', 'launcher', 'load_from',
    'log_*', 'resume', 'test_*', 'tta_*', 'visualizer.*', 'work_dir', 'train_dataloader.batch_size',
    'val_dataloader.batch_size', '*.num_workers', '*.persistent_workers', '*.pin_memory',
    '*.prefetch_factor',
)  # fmt: skip

#: What the result of a test depends on, besides the checkpoint.
TEST_PARTS = ('model.*', 'test_dataloader.dataset.*', 'test_evaluator*')

#: Named in an error.
NAMED = 3


class RunOptions(NamedTuple):
    """What the command line says of all stages.

    Args:
        work_dir: Folder of the stages' work directories.
        cfg_options: ``KEY=VALUE`` settings for every stage.
        amp: Mixed precision.
        auto_scale_lr: Scale the learning rates with the batch.
        processes: How many torch's launcher starts; None: one, without it.
        kernels: 'auto' or 'plain', as of ``tools/train.py``.
    """

    work_dir: str = 'work_dirs'
    cfg_options: tuple[str, ...] = ()
    amp: bool = False
    auto_scale_lr: bool = False
    processes: Optional[int] = None
    kernels: str = 'auto'


def stage_config(stage: Stage, run: RunOptions) -> Config:
    """The stage's config with its own options and those of the command line.

    Raises:
        ValueError: in one line that names the stage, if they do not fit.
    """
    options = [*option_texts(stage.options), *run.cfg_options]
    with named(f'stage {stage.name}'):
        return load_config(stage.config, cfg_options=options)


def total_batch(cfg: Config, run: RunOptions) -> int:
    """Images of a step of the optimizer: of all processes, with accumulated gradients."""
    accumulated = cfg.optim_wrapper.get('accumulative_counts', 1)
    return cfg.train_dataloader.batch_size * (run.processes or 1) * accumulated


def training_settings(cfg: Config, stage: Stage, run: RunOptions, use: str) -> dict[str, Any]:
    """Everything that a stage's result depends on.

    Args:
        cfg: Its config.
        stage: It.
        run: What the command line says of all stages.
        use: Which of its source's checkpoints it starts from.
    """
    known = set(inspect.signature(Runner.__init__).parameters) | OTHER_KEYS
    settings = {
        key: value
        for key, value in flatten(cfg.to_dict())
        if key.split('.')[0] in known
        and not any(fnmatchcase(key, pattern) for pattern in NO_TRAINING)
    }
    settings['images per step'] = total_batch(cfg, run)
    settings['--amp'], settings['--auto-scale-lr'] = run.amp, run.auto_scale_lr
    settings['start'] = stage.start if stage.source is None else f'{stage.start} ({use})'
    return json.loads(json.dumps(settings, default=str))


def test_fingerprint(cfg: Config, stage: Stage, tta_cfg: str, amp: bool) -> str:
    """A number that changes with anything that a test's result depends on, checkpoint aside.

    Raises:
        ValueError: in one line that names the stage, if it cannot be tested so.
    """
    cfg = Config(cfg.to_dict())
    with named(f'stage {stage.name}'):
        use_test_time_augmentation(cfg, tta_cfg)
    settings = [
        item
        for item in flatten(cfg.to_dict())
        if any(fnmatchcase(item[0], part) for part in TEST_PARTS)
    ]
    text = json.dumps([*sorted(settings), amp], default=str)
    return hashlib.sha256(text.encode()).hexdigest()


test_fingerprint.__test__ = False  # type: ignore[attr-defined]  # not a test case, whatever its name looks like to pytest


def flatten(node: Any, prefix: str = '') -> Iterator[tuple[str, Any]]:
    """('a.b.0.c', value) of everything in nested dicts and lists; a list of values is a value."""
    if isinstance(node, dict) and node:
        items = list(node.items())
    elif isinstance(node, (list, tuple)) and any(isinstance(child, dict) for child in node):
        items = list(enumerate(node))
    else:
        yield prefix, node
        return
    for key, child in items:
        yield from flatten(child, f'{prefix}.{key}' if prefix else str(key))


def changes(before: dict[str, Any], now: dict[str, Any]) -> str:
    """'lr=0.01, now 0.001' for every setting that differs, in a line; empty if none does."""
    texts = [
        f'{key}={_shown(before, key)}, now {_shown(now, key)}'
        for key in sorted(before.keys() | now.keys())
        if _shown(before, key) != _shown(now, key)
    ]
    return first_few(texts, NAMED, '; ')


def _shown(settings: dict[str, Any], key: str) -> str:
    return str(settings[key]) if key in settings else 'nothing'


def config_options(stage: Stage, run: RunOptions, start: Sequence[str] = ()) -> list[str]:
    """The ``--cfg-options`` of the tools for a stage; later ones win."""
    options = [*option_texts(stage.options), *run.cfg_options, *start]
    return ['--cfg-options', *options] if options else []
