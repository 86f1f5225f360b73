"""The stages of a chain as its config file gives them, and the settings that a stage runs with."""

import hashlib
import inspect
import json
import os
import os.path as osp
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, Optional

from mmengine.config import Config
from mmengine.runner import Runner

from vgg_mm.installation import argument
from vgg_mm.text import first_few, suggest

from ..cfg_options import OTHER_KEYS, parse_cfg_options
from ..config import find_config, load_config, read_config
from ..errors import named
from ..tta import use_test_time_augmentation

#: Keys of a stage in a chain's config.
KEYS = ('name', 'config', 'staged_from', 'start_from', 'options', 'use', 'test')

#: Which of a stage's checkpoints later stages and tests take.
LAST, BEST = 'last', 'best'

#: The chain decides which checkpoint a stage starts from.
STARTS = ('load_from', 'resume', 'default_hooks.staged_init.checkpoint')

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

#: What the result of a test depends on, in addition to the checkpoint.
TEST_PARTS = ('model.*', 'test_dataloader.dataset.*', 'test_evaluator*')

#: Maximum number of changed settings that an error names.
MAX_CHANGES_NAMED = 3


class Stage(NamedTuple):
    """One training of a chain.

    Args:
        name: Of the stage and of its folder; by default the config's.
        config: Path of its config.
        source: Name of the stage it starts from; None: from ``weights``.
        all_layers: Whether it takes all layers of ``source``, or the paper's first four
            convolutional and the fully-connected ones (Section 3.1).
        options: Settings that override the config.
        use: Which checkpoint later stages start from, 'last' (the paper's) or 'best' on validation.
        test: Protocols of its tests (``tools/test.py --tta-cfg``).
        weights: What its config has as ``load_from``; None: random initialisation.
    """

    name: str
    config: str
    source: Optional[str] = None
    all_layers: bool = False
    options: dict[str, Any] = {}
    use: str = LAST
    test: tuple[str, ...] = ()
    weights: Optional[str] = None

    @property
    def start(self) -> str:
        """What it starts from, as text."""
        if self.source is None:
            return self.weights or 'random initialisation'
        return self.source if self.all_layers else f'{self.source}, staged'


def load_chain(path: str) -> list[Stage]:
    """Read a chain, a file or the name of one that comes with the package (``vgg16_paper``).

    It is a config with ``stages``, a list of dicts, each after those it starts from.

    A stage has ``config``, a path relative to the chain's file, and may have ``name``;
    ``staged_from=NAME`` (staged initialisation) or ``start_from=NAME`` (all layers);
    ``options={'a.b': value}`` in place of the config's; ``use='best'`` to pass on the best
    checkpoint rather than the last; ``test``, a protocol or a list of them.

    Raises:
        FileNotFoundError: if it or a config is missing.
        ValueError: in one line, if it is no chain.
    """
    path = find_config(path, 'chain')
    entries = read_config(path).to_dict().get('stages')
    if not isinstance(entries, list) or not entries:
        raise ValueError(f'{path}: a chain needs stages = [dict(config=FILE), ...]')
    stages: dict[str, Stage] = {}
    for entry in entries:
        stage = _stage(path, entry)
        if stage.name in stages:
            raise ValueError(f'{path}: two stages are named {stage.name!r}: set name=... for one')
        if stage.source is not None and stage.source not in stages:
            before = ', '.join(stages) or 'none'
            raise ValueError(
                f'{path}: stage {stage.name} starts from {stage.source!r}, which is not an '
                f'earlier stage; available: {before}'
            )
        stages[stage.name] = stage
    return list(stages.values())


def default_name(config: str) -> str:
    """Name of a stage that is given none."""
    return osp.splitext(osp.basename(config))[0]


def _stage(path: str, entry: Any) -> Stage:
    if not isinstance(entry, dict) or not isinstance(entry.get('config'), str):
        raise ValueError(f'{path}: a stage is dict(config=FILE, ...), got {entry!r}')
    for key in entry.keys() - set(KEYS):
        raise ValueError(f'{path}: a stage has no {key!r}; {suggest(key, KEYS)}')
    config = osp.normpath(osp.join(osp.dirname(path), entry['config']))
    name = entry.get('name') or default_name(config)
    if not osp.isfile(config):
        raise FileNotFoundError(f'{path}: config of stage {name} not found: {config}')
    if os.sep in name:
        raise ValueError(f'{path}: the name of a stage is that of its folder, got {name!r}')
    staged, whole = entry.get('staged_from'), entry.get('start_from')
    if staged and whole:
        raise ValueError(
            f'{path}: stage {name} has staged_from (some layers) and start_from (all): give one'
        )
    use = entry.get('use', LAST)
    if use not in (LAST, BEST):
        raise ValueError(f"{path}: stage {name}: use is 'last' or 'best', got {use!r}")
    options = entry.get('options') or {}
    if not isinstance(options, dict):
        raise ValueError(
            f"{path}: stage {name}: options are {{'a.b': value, ...}}, got {options!r}"
        )
    for key in options:
        if key in STARTS:
            raise ValueError(
                f'{path}: stage {name}: {key} in its options: a stage starts from another one by '
                'staged_from=NAME or start_from=NAME'
            )
    option_texts(options)
    test = entry.get('test') or ()
    return Stage(
        name=name,
        config=config,
        source=staged or whole,
        all_layers=bool(whole),
        options=options,
        use=use,
        test=(test,) if isinstance(test, str) else tuple(test),
        weights=read_config(config).get('load_from'),
    )


def option_texts(options: Mapping[str, Any]) -> list[str]:
    """``{'a.b': 1}`` -> ``['a.b=1']``, as ``cfg_options`` expects it.

    Raises:
        ValueError: if mmengine would read another value from it.
    """
    texts = []
    for key, value in options.items():
        # A path with brackets is text in quotes.
        possible = (f'{key}={value}', f'{key}="{value}"', f"{key}='{value}'")
        right = [text for text in possible if parse_cfg_options([text]) == {key: value}]
        if not right:
            raise ValueError(
                f'{key}={value!r} cannot be passed by {argument("cfg_options")}, which supports '
                'numbers, True, None, words, paths, lists of these, and dicts'
            )
        texts.append(right[0])
    return texts


class RunOptions(NamedTuple):
    """Options of the command line for all stages, as of :func:`train_chain`.

    ``cfg_options`` are ``KEY=VALUE``; ``processes`` is how many torch's launcher starts, None: one,
    without it.
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
        ValueError: in one line that names the stage, if they are invalid.
    """
    with named(f'stage {stage.name}'):
        return load_config(stage.config, cfg_options=given_options(stage, run))


def given_options(stage: Stage, run: RunOptions) -> list[str]:
    """The stage's own options, then those of the command line, which override them."""
    return [*option_texts(stage.options), *run.cfg_options]


def total_batch(cfg: Config, run: RunOptions) -> int:
    """Images of a step of the optimizer: of all processes, with accumulated gradients."""
    accumulated = cfg.optim_wrapper.get('accumulative_counts', 1)
    return cfg.train_dataloader.batch_size * (run.processes or 1) * accumulated


def training_settings(cfg: Config, stage: Stage, run: RunOptions, use: str) -> dict[str, Any]:
    """Everything that a stage's result depends on; ``use``: which checkpoint of its source."""
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


def test_fingerprint(cfg: Config, stage: Stage, tta_cfg: str, run: RunOptions) -> str:
    """A number that changes with anything that a test's result depends on, except the checkpoint.

    Raises:
        ValueError: in one line that names the stage, if it cannot be tested with them.
    """
    cfg = Config(cfg.to_dict())
    with named(f'stage {stage.name}'):
        use_test_time_augmentation(cfg, tta_cfg, given_options(stage, run))
    settings = [
        item
        for item in flatten(cfg.to_dict())
        if any(fnmatchcase(item[0], part) for part in TEST_PARTS)
    ]
    text = json.dumps([*sorted(settings), run.amp], default=str)
    return hashlib.sha256(text.encode()).hexdigest()


test_fingerprint.__test__ = False  # type: ignore[attr-defined]  # not a test case


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
    """'lr=0.01, now 0.001' for the settings that differ, in a line; empty if none does."""
    texts = []
    for key in sorted(before.keys() | now.keys()):
        old, new = (str(settings.get(key, 'nothing')) for settings in (before, now))
        if old != new:
            # Of the settings that records keep, two are arguments: --amp and --auto-scale-lr.
            argued = argument(key[2:].replace('-', '_')) if key.startswith('--') else key
            texts.append(f'{argued}={old}, now {new}')
    return first_few(texts, MAX_CHANGES_NAMED, '; ')
