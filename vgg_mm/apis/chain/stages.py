"""A chain of trainings as its config file gives it."""

import os
import os.path as osp
from collections.abc import Mapping
from typing import Any, NamedTuple, Optional

from ..cfg_options import parse_cfg_options
from ..config import find_config, read_config
from ..suggest import suggest

#: What a stage in a chain's config can hold.
KEYS = ('name', 'config', 'staged_from', 'start_from', 'options', 'use', 'test')

#: Which of a stage's checkpoints later stages and tests take.
LAST, BEST = 'last', 'best'

#: Where a stage's checkpoint comes from is the chain's business.
STARTS = ('load_from', 'resume', 'default_hooks.staged_init.checkpoint')


class Stage(NamedTuple):
    """One training of a chain.

    Args:
        name: Of the stage and of its folder; by default the config's.
        config: Path of its config.
        source: Name of the stage it starts from; None: from ``weights``.
        all_layers: Whether it takes all layers of ``source``, or the paper's first four
            convolutional and the fully-connected ones (Section 3.1).
        options: Settings that replace those of the config.
        use: Which checkpoint it hands on, 'last' (the paper's) or 'best' on validation.
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
        """What it starts from, in words."""
        if self.source is None:
            return self.weights or 'random initialisation'
        return self.source if self.all_layers else f'{self.source}, staged'


def load_chain(path: str) -> list[Stage]:
    """Read a chain, a file or the name of one that comes with the package (``vgg16_paper``).

    It is a config with ``stages``, a list of dicts, each after those it starts from.

    A stage has ``config``, a path relative to the chain's file, and may have ``name``;
    ``staged_from=NAME`` (staged initialisation) or ``start_from=NAME`` (all layers);
    ``options={'a.b': value}`` in place of the config's; ``use='best'`` to hand on the best
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
            raise ValueError(f'{path}: two stages are named {stage.name!r}: give one a name')
        if stage.source is not None and stage.source not in stages:
            before = ', '.join(stages) or 'none'
            raise ValueError(
                f'{path}: stage {stage.name} starts from {stage.source!r}, which is no stage '
                f'before it; there are {before}'
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
    test = entry.get('test') or ()
    return Stage(
        name=name,
        config=config,
        source=staged or whole,
        all_layers=bool(whole),
        options=_options(path, name, entry.get('options') or {}),
        use=use,
        test=(test,) if isinstance(test, str) else tuple(test),
        weights=read_config(config).get('load_from'),
    )


def _options(path: str, name: str, options: Any) -> dict[str, Any]:
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
    return options


def option_texts(options: Mapping[str, Any]) -> list[str]:
    """``{'a.b': 1}`` -> ``['a.b=1']``, the way ``--cfg-options`` takes it.

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
                f'{key}={value!r} cannot be given by --cfg-options, which knows numbers, True, '
                'None, words and paths, lists of these, and dicts'
            )
        texts.append(right[0])
    return texts
