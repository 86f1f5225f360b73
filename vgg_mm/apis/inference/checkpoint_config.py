"""The config inside a checkpoint, read without running any of it.

mmengine writes the whole config as Python text into ``meta['cfg']`` and reads it back by running
it. A checkpoint can come from anywhere, so here the text may hold literals and ``dict(...)`` only,
and what it asks to be built are parts of nets and pipelines, by their registered names: mmengine
would import and call any ``type='module.function'``.
"""

import ast
from typing import Any

from mmengine.config import Config
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import Registry
from mmpretrain.registry import MODELS as MMPRETRAIN_MODELS
from mmpretrain.registry import TRANSFORMS as MMPRETRAIN_TRANSFORMS

from vgg_mm.registry import MODELS, TRANSFORMS

#: Keys of the config that prediction reads.
KEYS = ('model', 'tta_model', 'tta_pipeline', 'train_dataloader', 'test_dataloader')

#: Registries by scope, and the modules whose classes a checkpoint may ask for by their names.
MODEL_PARTS = (
    dict(vgg_mm=MODELS, mmpretrain=MMPRETRAIN_MODELS, mmengine=MMENGINE_MODELS),
    (
        'vgg_mm.models.',
        'torch.nn.modules.',
        'mmcv.cnn.bricks.',
        'mmpretrain.models.classifiers.image',
        'mmpretrain.models.losses.',
        'mmpretrain.models.utils.data_preprocessor',
    ),
)
TRANSFORM_PARTS = (
    dict(vgg_mm=TRANSFORMS, mmpretrain=MMPRETRAIN_TRANSFORMS, mmengine=MMENGINE_TRANSFORMS),
    ('vgg_mm.datasets.transforms.', 'mmcv.transforms.', 'mmpretrain.datasets.transforms.'),
)

#: What is for training only, and may name files and addresses to load weights from.
TRAINING_KEYS = ('init_cfg', 'pretrained', 'train_cfg')

#: Longest text: a hundred times a usual config.
MAX_LENGTH = 500_000


def checkpoint_config(text: Any) -> Config:
    """The parts of a config in :data:`KEYS` from ``checkpoint['meta']['cfg']``.

    Raises:
        ValueError: in one line, if it is no text, holds anything but literals and ``dict(...)``,
            or asks for anything but parts of nets and image transforms.
    """
    found = parse_config_text(text)
    cfg = Config({key: found[key] for key in KEYS if key in found})
    if not isinstance(cfg.get('model'), dict):
        raise ValueError('it has no model')
    for key in ('model', 'tta_model'):
        if key in cfg:
            cfg[key] = _without_training(cfg[key])
            _check_types(cfg[key], *MODEL_PARTS)
    _check_types(cfg.get('tta_pipeline'), *TRANSFORM_PARTS)
    return cfg


def parse_config_text(text: Any) -> dict[str, Any]:
    """What assignments of literals and ``dict(...)`` in Python's notation mean.

    Raises:
        ValueError: in one line, on anything else, with its line number.
    """
    if not isinstance(text, str):
        raise ValueError(f'it is a {type(text).__name__}, not text')
    if len(text) > MAX_LENGTH:
        raise ValueError(f'it has {len(text):,} characters, more than {MAX_LENGTH:,}')
    try:
        statements = ast.parse(text).body
        found = {}
        for statement in statements:
            if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
                raise _refused(statement)
            (target,) = statement.targets
            if not isinstance(target, ast.Name):
                raise _refused(statement)
            found[target.id] = _value(statement.value)
    except SyntaxError as error:
        raise ValueError(f'its line {error.lineno} is not Python: {error.msg}') from error
    except (RecursionError, MemoryError) as error:
        raise ValueError('it is nested too deeply') from error
    return found


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Call):
        named = all(keyword.arg is not None for keyword in node.keywords)
        if not isinstance(node.func, ast.Name) or node.func.id != 'dict' or node.args or not named:
            raise _refused(node)
        return {keyword.arg: _value(keyword.value) for keyword in node.keywords}
    if isinstance(node, ast.Dict) and None not in node.keys:
        keys = [ast.literal_eval(key) for key in node.keys if isinstance(key, ast.Constant)]
        if len(keys) == len(node.keys):
            return {key: _value(value) for key, value in zip(keys, node.values)}
    for kind, make in ((ast.List, list), (ast.Tuple, tuple)):
        if isinstance(node, kind):
            return make(_value(item) for item in node.elts)
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise _refused(node) from None


def _refused(node: ast.AST) -> ValueError:
    found = ' '.join(ast.unparse(node).split())
    found = found if len(found) <= 60 else f'{found[:59]}…'
    return ValueError(f'its line {node.lineno} is more than a plain value: {found}')


def _without_training(node: Any) -> Any:
    if isinstance(node, dict):
        return type(node)(
            {k: _without_training(v) for k, v in node.items() if k not in TRAINING_KEYS}
        )
    if isinstance(node, (list, tuple)):
        return type(node)(_without_training(item) for item in node)
    return node


def _check_types(node: Any, registries: dict[str, Registry], modules: tuple[str, ...]) -> None:
    """Refuse every ``type`` that is not a registered name of a class of these modules."""
    if isinstance(node, dict):
        if '_scope_' in node:
            raise ValueError("it changes registries by '_scope_'")
        if 'type' in node and not _is_known(node['type'], registries, modules):
            raise ValueError(f'it asks for {node["type"]!r}, which is built from config files only')
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for item in node:
            _check_types(item, registries, modules)


def _is_known(name: Any, registries: dict[str, Registry], modules: tuple[str, ...]) -> bool:
    if not isinstance(name, str):
        return False
    scope, _, short = name.rpartition('.')
    # Without a scope a name is looked up in MMPretrain's registry, then in its parent.
    scopes = [scope] if scope else ['mmpretrain', 'mmengine']
    found = next(
        (registries[s].module_dict[short] for s in scopes if short in _names(registries, s)), None
    )
    return getattr(found, '__module__', '').startswith(modules)


def _names(registries: dict[str, Registry], scope: str) -> dict[str, Any]:
    return registries[scope].module_dict if scope in registries else {}
