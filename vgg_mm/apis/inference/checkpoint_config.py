"""The config inside a checkpoint, read without running any of it.

mmengine writes the whole config as Python text into ``meta['cfg']`` and reads it back by running
it. A checkpoint can come from anywhere, so here the text may contain only plain values and
``dict(...)``, and only parts of nets and pipelines are built, by their registered names:
mmengine would import and call any ``type='module.function'``. What prediction does not need, such
as hooks and optimizers, is not read at all. Of detectors and segmentors, whose packages load files
and run code by other settings too, only those are read that are made of :data:`DOWNSTREAM_PARTS`.
"""

from collections.abc import Callable
from typing import Any

from mmengine.config import Config
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import Registry
from mmpretrain.registry import MODELS as MMPRETRAIN_MODELS
from mmpretrain.registry import TRANSFORMS as MMPRETRAIN_TRANSFORMS

from vgg_mm.checkpoints import parse_config_text
from vgg_mm.registry import MODELS, TRANSFORMS
from vgg_mm.stack import DOWNSTREAM_RANGES

from ..downstream import datasets_of

#: Keys of the config that prediction reads.
KEYS = (
    'model', 'tta_model', 'tta_pipeline', 'train_dataloader', 'test_dataloader', 'default_scope',
)  # fmt: skip

#: Registries by scope, and the modules whose classes a checkpoint may name.
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

#: What is for training only, and may name files and addresses: of weights, and of losses' weights.
TRAINING_KEYS = ('init_cfg', 'pretrained', 'train_cfg', 'class_weight', 'custom_class_weights')

#: Permitted values of ``type`` in a detector's or segmentor's net and test pipeline.
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
        # losses, which define the meaning of scores
        'CrossEntropyLoss', 'FocalLoss', 'SmoothL1Loss', 'L1Loss', 'DiceLoss',
        # layers
        'BN', 'SyncBN', 'GN', 'ReLU', 'Conv', 'Conv2d',
        # test pipelines
        'LoadImageFromFile', 'vgg_mm.LoadImage', 'LoadAnnotations', 'Resize', 'Pad', 'RandomFlip',
        'Normalize', 'PackDetInputs', 'PackSegInputs',
    )
)  # fmt: skip

#: What draws their results.
VISUALIZERS = {'mmdet': 'DetLocalVisualizer', 'mmseg': 'SegLocalVisualizer'}

#: A data set with nothing but the classes and their colours.
DATASETS = {'mmdet': 'CocoDataset', 'mmseg': 'BaseSegDataset'}


def checkpoint_config(text: Any) -> Config:
    """The parts of a config in :data:`KEYS` from ``checkpoint['meta']['cfg']``.

    Raises:
        ValueError: in one line, if it is no text, contains anything but plain values and
            ``dict(...)`` there, or names anything but parts of nets and image transforms.
    """
    found = parse_config_text(text, KEYS)
    if not isinstance(found.get('model'), dict):
        raise ValueError('it has no model')
    if found.get('default_scope') in DOWNSTREAM_RANGES:
        return Config(_of_downstream(found))
    for key in ('model', 'tta_model'):
        if key in found:
            found[key] = _checked(found[key], lambda name: _registered_name(name, *MODEL_PARTS))
    if 'tta_pipeline' in found:
        found['tta_pipeline'] = _checked(
            found['tta_pipeline'], lambda name: _registered_name(name, *TRANSFORM_PARTS)
        )
    return Config(found)


def _of_downstream(found: dict[str, Any]) -> dict[str, Any]:
    """What an inferencer of MMDetection or MMSegmentation needs of a config."""
    scope = found['default_scope']

    def known(name: Any) -> str:
        if not isinstance(name, str) or name.removeprefix(f'{scope}.') not in DOWNSTREAM_PARTS:
            raise _not_built(name)
        return name

    dataset = (found.get('test_dataloader') or {}).get('dataset') or {}
    parts = [one for one in datasets_of(dataset) if isinstance(one, dict) and one.get('pipeline')]
    if not parts:
        raise ValueError('it has no test pipeline')
    pipeline = _checked(parts[0]['pipeline'], known)
    for step in pipeline:
        if step['type'] == 'vgg_mm.LoadImage':
            step['type'] = 'LoadImageFromFile'  # which inferencers require
    dataset = dict(type=DATASETS[scope], pipeline=pipeline)
    if isinstance(metainfo := parts[0].get('metainfo'), dict):
        dataset['metainfo'] = metainfo
    model = _checked(found['model'], known)
    return dict(
        default_scope=scope,
        model=dict(model, train_cfg=None),  # which FasterRCNN requires
        test_dataloader=dict(dataset=dataset),
        visualizer=dict(type=VISUALIZERS[scope], vis_backends=[], name='visualizer'),
    )


def _checked(node: Any, name_of: Callable[[Any], str]) -> Any:
    """The same without :data:`TRAINING_KEYS`, and with ``name_of(type)`` for every ``type``;
    ValueError if a part changes registries."""
    if isinstance(node, dict):
        if '_scope_' in node:
            raise ValueError("it changes registries by '_scope_'")
        kept = {k: _checked(v, name_of) for k, v in node.items() if k not in TRAINING_KEYS}
        return dict(kept, type=name_of(node['type'])) if 'type' in node else kept
    if isinstance(node, (list, tuple)):
        return type(node)(_checked(item, name_of) for item in node)
    return node


def _registered_name(name: Any, registries: dict[str, Registry], modules: tuple[str, ...]) -> str:
    """The registered name of a class of these modules; ValueError if there is none."""
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
    raise _not_built(name)


def _not_built(name: Any) -> ValueError:
    return ValueError(f'it refers to {name!r}, which is built from config files only')
