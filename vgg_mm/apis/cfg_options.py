"""``--cfg-options``: OpenMMLab's syntax, with a one-line error for keys that no config accepts."""

import ast
import inspect
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any, Optional, Union

import mmengine.registry
from mmengine.config import Config, ConfigDict, DictAction
from mmengine.registry import Registry
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner, TestLoop, ValLoop
from torch.utils.data import DataLoader

from vgg_mm.checkpoints.config_text import plain_value
from vgg_mm.installation import argument
from vgg_mm.text import nearest, suggest

#: Settings that replace those of a config: ``{'a.b': 1}``, or ``['a.b=1']`` as on a command line.
CfgOptions = Union[Mapping[str, Any], Iterable[str]]

#: Keys of a config that are no arguments of mmengine's Runner.
OTHER_KEYS = {
    'DATA_ROOT',
    'activation_checkpointing',
    'auto_scale_lr',
    'compile',
    'custom_imports',
    'default_scope',
    'find_unused_parameters',
    'model_wrapper_cfg',
    'runner_type',
    'sync_bn',
    'tta_model',
    'tta_pipeline',
}

#: Keys whose values are paths.
PATHS = ('DATA_ROOT', 'work_dir')

#: What mmengine builds of sections that name no type, and the keys that it takes out before.
UNTYPED: dict[str, tuple] = {
    'train_dataloader': (DataLoader,),
    'val_dataloader': (DataLoader,),
    'test_dataloader': (DataLoader,),
    'train_cfg': (EpochBasedTrainLoop, IterBasedTrainLoop),
    'val_cfg': (ValLoop,),
    'test_cfg': (TestLoop,),
}
TAKEN_OUT = {
    'optim_wrapper': {'constructor', 'optimizer', 'paramwise_cfg'},
    'dataloader': {'num_batch_per_epoch'},
    'train_cfg': {'by_epoch'},
}

#: Keys of any dict in a config.
ALWAYS = {'type', '_delete_', '_scope_'}


def parse_cfg_options(options: CfgOptions) -> dict[str, Any]:
    """A dict as it is; of texts:

    ``['a.b=1', 'c=[1,2]', "d=dict(type='BN')"]`` -> ``{'a.b': 1, 'c': [1, 2], 'd': {...}}``.

    Dicts, and lists with dicts or quoted strings in them, are read as Python writes them; what is
    in quotes is text, brackets and commas in it as well; all else by mmengine's rules.
    """
    if isinstance(options, Mapping):
        return {k: os.fspath(v) if isinstance(v, os.PathLike) else v for k, v in options.items()}
    parsed: dict[str, Any] = {}
    for option in options or ():
        key, equals, value = option.partition('=')
        if not equals:
            raise ValueError(f'{argument("cfg_options")} expects key=value, got {option!r}')
        if re.fullmatch(r"""\s*('[^']*'|"[^"]*")\s*""", value):
            parsed[key] = value.strip()[1:-1]
        elif key in PATHS and value.strip() != 'None':
            parsed[key] = value.strip()  # also where a folder is called 2024
        elif re.match(r'\s*(dict\(|[\[({])', value) and re.search(r'dict\(|[{\'"]', value):
            parsed[key] = _literal(key, value)
        elif ' ' in value.strip() and not re.search(r'[,()\[\]]', value):
            parsed[key] = value.strip()  # a path, say; mmengine takes blanks out
        else:
            parsed[key] = DictAction._parse_iterable(value)
    return parsed


def _literal(key: str, text: str) -> Any:
    try:
        return plain_value(ast.parse(text.strip(), mode='eval').body)
    except (SyntaxError, ValueError) as error:
        raise ValueError(
            f'{argument("cfg_options")} {key}: {text} is not a Python value like '
            "\"dict(type='BN')\" or \"['a', 'b']\" (the quotes around it are for the shell)"
        ) from error


def merge_options(cfg: Config, options: dict[str, Any]) -> None:
    """Put the options into the config; keys that its modules' constructors take may be new.

    Raises:
        ValueError: in one line with the nearest name, if nothing in the config accepts a key.
    """
    runner_keys = set(inspect.signature(Runner.__init__).parameters) | OTHER_KEYS
    new = {}
    # One after the other: a=None may be followed by a.b=1.
    for key, value in options.items():
        first, *rest = key.split('.')
        if first not in cfg and (rest or first not in runner_keys):
            raise _unknown(key, first, [*cfg, *runner_keys], cfg)
        depth = _prepare_parents(cfg, key)
        if depth is not None:
            new[key] = depth
        cfg.merge_from_dict({key: value})
    for key, depth in new.items():
        _check_new(cfg, key, depth)


def _prepare_parents(cfg: Config, key: str) -> Optional[int]:
    """Check that indices in a key exist, and replace None by a dict; the number of the key's first
    part that is new in the config, None if none is."""
    node: Any = cfg
    new = None
    parts = key.split('.')
    for number, part in enumerate(parts):
        if isinstance(node, (list, tuple)):
            known = [str(i) for i in range(len(node))]
            if part not in known:
                raise ValueError(
                    f'{argument("cfg_options")} {key}: the config has no {part!r}; '
                    + suggest(part, known)
                )
            node = node[int(part)]
        elif isinstance(node, (dict, Config)):
            if new is None and part not in node:
                new = number
            if number < len(parts) - 1 and node.get(part) is None:
                node[part] = ConfigDict()
            node = node.get(part)
        else:
            above = '.'.join(parts[:number])
            raise ValueError(
                f'{argument("cfg_options")} {key}: {above} is {node!r}, which has no {part!r}'
            )
    return new


def _check_new(cfg: Config, key: str, depth: int) -> None:
    """Compare the first new part of a key with what the constructor above it takes."""
    *path, part = key.split('.')[: depth + 1]
    node: Any = cfg
    for one in path:
        node = node[int(one)] if isinstance(node, (list, tuple)) else node[one]
    accepted = _accepted_keys(cfg, path, node) if path else None
    if accepted is not None and part not in accepted:
        raise _unknown(key, part, accepted | set(node) - {part}, cfg)


def _accepted_keys(cfg: Config, path: list[str], node: Any) -> Optional[set[str]]:
    """Keys that a dict of the config may have; None: any."""
    kind = node.get('type')
    classes = UNTYPED.get('.'.join(path), ())
    if kind is not None:
        classes = (_class_of(kind, cfg.get('default_scope') or 'mmengine'),)
    names = set(ALWAYS)
    for one in classes:
        arguments = None if one is None else _arguments(one)
        if arguments is None:
            return None
        names |= arguments
    extra = [taken for name, taken in TAKEN_OUT.items() if path[-1].endswith(name)]
    return names.union(*extra) if classes else None


def _class_of(kind: Any, scope: str) -> Any:
    """The class that a ``type`` names, in any registry."""
    if not isinstance(kind, str):
        return kind if callable(kind) else None
    with suppress(ImportError):
        import_module(f'{scope}.registry')
    for registry in vars(mmengine.registry).values():
        if isinstance(registry, Registry):
            # Not every scope has a child of every registry.
            found = registry.children.get(scope, registry).get(kind)
            if found is not None:
                return found
    return None


def _arguments(kind: Any) -> Optional[set[str]]:
    """Parameters of a constructor, including those passed to its parents; None: unknown or any."""
    names: set[str] = set()
    for one in inspect.getmro(kind) if inspect.isclass(kind) else [kind]:
        init = vars(one).get('__init__') if inspect.isclass(one) else one
        if init is None:
            continue
        try:
            parameters = inspect.signature(init).parameters.values()
        except (TypeError, ValueError):
            return None
        names |= {p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
        if one is object or not any(p.kind is p.VAR_KEYWORD for p in parameters):
            return None if one is object else names - {'self'}
    return None


def _unknown(key: str, part: str, known: Iterable[str], cfg: Config) -> ValueError:
    where = key.rpartition(f'.{part}')[0] if key != part else ''
    what = (
        f'{where} has no parameter {part!r}'
        if where and '.' in key
        else f'the config has no {part!r}'
    )
    near = nearest(part, sorted(known))
    prefix = f'{where}.' if where else ''
    places = [place for place in _places_of(part, cfg) if place != key]
    meant = [f'{prefix}{near}'] if near else places
    hint = f'did you mean {meant[0]!r}?' if meant else suggest(part, sorted(set(known) - ALWAYS))
    return ValueError(f'{argument("cfg_options")} {key}: {what}; {hint}')


def _places_of(name: str, cfg: Config) -> list[str]:
    """Where a key of this name is in the config, the nearest to its root first."""

    def walk(node: Any, path: str) -> Iterator[str]:
        pairs = node.items() if isinstance(node, (dict, Config)) else ()
        for key, value in pairs:
            if key == name:
                yield f'{path}{key}'
            yield from walk(value, f'{path}{key}.')

    return sorted(walk(cfg, ''), key=lambda place: place.count('.'))
