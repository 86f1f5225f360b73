"""The config inside a checkpoint, read without running any of it.

mmengine writes the whole config as Python text into ``meta['cfg']`` and reads it back by running
it. A checkpoint can come from anywhere, so here the text may hold plain values and ``dict(...)``
only, and what it asks to be built are parts of nets and pipelines, by their registered names:
mmengine would import and call any ``type='module.function'``. What prediction has no use for, as
hooks and optimizers, is not read at all. Of detectors and segmentors, whose packages load files and
run code by other settings too, only those are read that are made of :data:`DOWNSTREAM_PARTS`.
"""

import ast
from collections.abc import Container
from typing import Any, Optional, Union

from mmengine.config import Config
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import Registry
from mmpretrain.registry import MODELS as MMPRETRAIN_MODELS
from mmpretrain.registry import TRANSFORMS as MMPRETRAIN_TRANSFORMS

from vgg_mm.checkpoints import Preprocessing, noted_preprocessing
from vgg_mm.registry import MODELS, TRANSFORMS
from vgg_mm.stack import DOWNSTREAM_RANGES

from ..downstream import datasets_of

#: Keys of the config that prediction reads.
KEYS = (
    'model', 'tta_model', 'tta_pipeline', 'train_dataloader', 'test_dataloader', 'default_scope',
)  # fmt: skip

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

#: What may stand for a ``type`` in a detector's or segmentor's net and test pipeline.
DOWNSTREAM_PARTS = frozenset(
    (
        # nets
        'FasterRCNN', 'FastRCNN', 'SingleStageDetector', 'EncoderDecoder', 'vgg_mm.VGG',
        'vgg_mm.SSDVGG', 'DetDataPreprocessor', 'SegDataPreProcessor', 'FPN', 'SSDNeck',
        # heads
        'RPNHead', 'AnchorGenerator', 'SSDAnchorGenerator', 'DeltaXYWHBBoxCoder', 'StandardRoIHead',
        'SingleRoIExtractor', 'RoIAlign', 'RoIPool', 'Shared2FCBBoxHead', 'SSDHead', 'FCNHead',
        'ASPPHead', 'PSPHead', 'vgg_mm.VGGBBoxHead', 'vgg_mm.SSDHead', 'vgg_mm.FCNHead',
        'vgg_mm.LargeFOVHead', 'nms', 'soft_nms',
        # losses, which say how scores are meant
        'CrossEntropyLoss', 'FocalLoss', 'SmoothL1Loss', 'L1Loss', 'DiceLoss',
        # layers
        'BN', 'SyncBN', 'GN', 'ReLU', 'Conv', 'Conv2d',
        # test pipelines
        'LoadImageFromFile', 'vgg_mm.LoadImage', 'LoadAnnotations', 'Resize', 'Pad', 'RandomFlip',
        'Normalize', 'PackDetInputs', 'PackSegInputs',
    )
)  # fmt: skip

#: Settings of losses that are for training, and may be files.
LOSS_WEIGHTS = ('class_weight', 'custom_class_weights')

#: What draws their results.
VISUALIZERS = {'mmdet': 'DetLocalVisualizer', 'mmseg': 'SegLocalVisualizer'}

#: A data set that says nothing but the classes and their colours.
DATASETS = {'mmdet': 'CocoDataset', 'mmseg': 'BaseSegDataset'}

#: Longest text: that of a config which names 20,000 classes in each of three data sets.
MAX_LENGTH = 5_000_000

#: Numbers that are written as names.
NUMBER_NAMES = {'inf': float('inf'), 'nan': float('nan')}


def checkpoint_config(text: Any) -> Config:
    """The parts of a config in :data:`KEYS` from ``checkpoint['meta']['cfg']``.

    Raises:
        ValueError: in one line, if it is no text, holds anything but plain values and
            ``dict(...)`` there, or asks for anything but parts of nets and image transforms.
    """
    found = parse_config_text(text, KEYS)
    if not isinstance(found.get('model'), dict):
        raise ValueError('it has no model')
    if found.get('default_scope') in DOWNSTREAM_RANGES:
        return Config(_of_downstream(found))
    for key in ('model', 'tta_model'):
        if key in found:
            found[key] = _by_registered_names(_without_training(found[key]), *MODEL_PARTS)
    if 'tta_pipeline' in found:
        found['tta_pipeline'] = _by_registered_names(found['tta_pipeline'], *TRANSFORM_PARTS)
    return Config(found)


def _of_downstream(found: dict[str, Any]) -> dict[str, Any]:
    """What an inferencer of MMDetection or MMSegmentation needs of a config."""
    scope = found['default_scope']
    dataset = (found.get('test_dataloader') or {}).get('dataset') or {}
    parts = [one for one in datasets_of(dataset) if isinstance(one, dict) and one.get('pipeline')]
    if not parts:
        raise ValueError('it has no test pipeline')
    pipeline = _of_known_parts(parts[0]['pipeline'], scope)
    for step in pipeline:
        if step['type'] == 'vgg_mm.LoadImage':
            step['type'] = 'LoadImageFromFile'  # which inferencers look for
    dataset = dict(type=DATASETS[scope], pipeline=pipeline)
    if isinstance(metainfo := parts[0].get('metainfo'), dict):
        dataset['metainfo'] = metainfo
    model = _of_known_parts(_without_training(found['model']), scope)
    return dict(
        default_scope=scope,
        model=dict(model, train_cfg=None),  # which FasterRCNN asks for
        test_dataloader=dict(dataset=dataset),
        visualizer=dict(type=VISUALIZERS[scope], vis_backends=[], name='visualizer'),
    )


def _of_known_parts(node: Any, scope: str) -> Any:
    """The same, every ``type`` one of :data:`DOWNSTREAM_PARTS`.

    Raises:
        ValueError: if there is another.
    """
    if isinstance(node, dict):
        if '_scope_' in node:
            raise ValueError("it changes registries by '_scope_'")
        kind = node.get('type', 'nms')
        if not isinstance(kind, str) or kind.removeprefix(f'{scope}.') not in DOWNSTREAM_PARTS:
            raise ValueError(f'it asks for {kind!r}, which is built from config files only')
        return {k: _of_known_parts(v, scope) for k, v in node.items() if k not in LOSS_WEIGHTS}
    if isinstance(node, (list, tuple)):
        return type(node)(_of_known_parts(item, scope) for item in node)
    return node


def config_preprocessing(config: Any) -> Optional[Preprocessing]:
    """What a config says of pre-processing, whatever model it is of; None: nothing.

    Args:
        config: A config, or its text in a checkpoint.

    Raises:
        ValueError: in one line, as :func:`parse_config_text`.
    """
    if not isinstance(config, Config):
        config = parse_config_text(config, ('model', 'data_preprocessor'))
    settings = (config.get('model') or {}).get('data_preprocessor')
    settings = settings or config.get('data_preprocessor')  # where MMPretrain's configs have it
    if not isinstance(settings, dict):
        return None
    plain = dict(mean=(0.0,) * 3, std=(1.0,) * 3, to_rgb=False)
    wanted = {key: settings.get(key) or default for key, default in plain.items()}
    return noted_preprocessing(dict(meta=dict(preprocessing=wanted)))


def parse_config_text(text: Any, keys: Optional[Container[str]] = None) -> dict[str, Any]:
    """What the assignments in a config's text mean, as mmengine's ``Config.pretty_text`` has it.

    Values are literals, ``dict(a=...)``, ``dict({'a.b': ...})``, ``inf`` and ``nan``; the name of a
    class, ``torch.nn.ReLU``, is given as text.

    Args:
        text: The text.
        keys: The names whose values are read; None: all.

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
            if keys is None or target.id in keys:
                found[target.id] = _value(statement.value)
    except SyntaxError as error:
        raise ValueError(f'its line {error.lineno} is not Python: {error.msg}') from error
    except (RecursionError, MemoryError) as error:
        raise ValueError('it is nested too deeply') from error
    return found


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Call):
        return _dict_of(node)
    if isinstance(node, ast.Dict):
        keys = [key for key in node.keys if key is not None]  # {**x} has None for a key
        if len(keys) == len(node.keys):
            return {_literal(key): _value(value) for key, value in zip(keys, node.values)}
    if isinstance(node, ast.List):
        return [_value(item) for item in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_value(item) for item in node.elts)
    if isinstance(node, (ast.Name, ast.Attribute)):
        name = _dotted_name(node)
        return NUMBER_NAMES.get(name, name)
    if isinstance(node, ast.UnaryOp) and ast.unparse(node) == '-inf':
        return -NUMBER_NAMES['inf']
    return _literal(node)


def _dict_of(node: ast.Call) -> dict:
    """``dict(a=1)``, and ``dict({'a.b': 1})``, which mmengine writes where keys are no names."""
    named = all(keyword.arg is not None for keyword in node.keywords)
    if isinstance(node.func, ast.Name) and node.func.id == 'dict' and named:
        if not node.args:
            return {keyword.arg: _value(keyword.value) for keyword in node.keywords}
        if len(node.args) == 1 and isinstance(node.args[0], ast.Dict) and not node.keywords:
            return _value(node.args[0])
    raise _refused(node)


def _dotted_name(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f'{_dotted_name(node.value)}.{node.attr}'
    raise _refused(node)


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):  # TypeError: a set or a key that cannot be hashed
        raise _refused(node) from None


def _refused(node: Union[ast.expr, ast.stmt]) -> ValueError:
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


def _by_registered_names(
    node: Any, registries: dict[str, Registry], modules: tuple[str, ...]
) -> Any:
    """The same with every ``type`` as the registered name of a class of these modules.

    Raises:
        ValueError: if there is none.
    """
    if isinstance(node, dict):
        if '_scope_' in node:
            raise ValueError("it changes registries by '_scope_'")
        found = {k: _by_registered_names(v, registries, modules) for k, v in node.items()}
        if 'type' in node:
            found['type'] = _registered_name(node['type'], registries, modules)
        return found
    if isinstance(node, (list, tuple)):
        return type(node)(_by_registered_names(item, registries, modules) for item in node)
    return node


def _registered_name(name: Any, registries: dict[str, Registry], modules: tuple[str, ...]) -> str:
    where, _, short = name.rpartition('.') if isinstance(name, str) else ('', '', '')
    if where in registries:
        scopes = [where]
    else:  # without a scope a name is looked up in MMPretrain's registry, then in its parent
        scopes = list(registries) if where else ['mmpretrain', 'mmengine']
    for scope in scopes:
        home = getattr(registries[scope].module_dict.get(short), '__module__', '')
        # Configs in pure Python name a class by a module that has it: 'vgg_mm.models.VGG'.
        if home and (where in ('', scope) or f'{home}.'.startswith(f'{where}.')):
            if home.startswith(modules):
                return f'{scope}.{short}' if where else short
            break
    raise ValueError(f'it asks for {name!r}, which is built from config files only')
