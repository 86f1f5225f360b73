"""From a checkpoint to its net."""

import os
from collections.abc import Sequence
from copy import deepcopy
from types import SimpleNamespace
from typing import Any, NamedTuple, Optional, Union

import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from mmpretrain.apis import ModelHub, list_models
from mmpretrain.models.classifiers import ImageClassifier
from mmpretrain.registry import DATASETS, MODELS

from vgg_mm.apis.config import (
    find_config,
    innermost,
    name_types,
    read_config,
    undo_seeded_dataset,
)
from vgg_mm.apis.convert_weights import identify_weights
from vgg_mm.apis.downstream import is_downstream
from vgg_mm.apis.runner import AUTO, use_kernels
from vgg_mm.checkpoints import (
    config_preprocessing,
    is_local,
    load_by_name,
    noted_preprocessing,
    preprocessing_of,
    recorded_classes,
    run_checkpoint,
    weights_of,
)
from vgg_mm.checkpoints.preprocessing import (
    CENTRED_RGB,
    RECORDED,
    Preprocessing,
    note_preprocessing,
)
from vgg_mm.datasets.class_names import imagenet_names, readable
from vgg_mm.datasets.transforms.rescale import SEVERAL
from vgg_mm.engine.hooks import CheckpointCheckHook
from vgg_mm.installation import argument, command
from vgg_mm.models import VGG
from vgg_mm.progress import to_stderr

from .checkpoint_config import checkpoint_config

#: Q of weights without a config, as a multiple of the crop: 256 for 224, at which published weights
#: are tested.
TEST_SCALE = 8 / 7

#: How the notice of a file's other weights begins.
LEFT_OUT = 'left out: '

#: What names a checkpoint.
Checkpoint = Union[str, os.PathLike]


class TrainedNet(NamedTuple):
    """A net with its weights, in evaluation mode.

    ``checkpoint`` names the file or URL of the weights; ``classes`` are the names of its classes,
    none without fc8; ``notices`` are for the user, one line each.
    """

    checkpoint: str
    model: ImageClassifier
    classes: list[str]
    cfg: Config
    notices: list[str]

    def print_notices(self) -> None:
        """Print them on standard error."""
        for notice in self.notices:
            to_stderr(f'notice: {notice}')


class NotAClassifier(ValueError):
    """A detector or segmentor instead of a classifier.

    ``cfg`` is its config, ``content`` that of its checkpoint, ``source`` whose file or URL.
    """

    def __init__(self, cfg: Config, content: dict, source: str):
        self.cfg, self.content, self.source = cfg, content, source
        kind = {'mmdet': 'a detector (MMDetection)', 'mmseg': 'a segmentor (MMSegmentation)'}
        super().__init__(
            f'{source} is {kind[cfg.default_scope]}, not a classifier: for these there are '
            + ', '.join(map(command, ('predict', 'test', 'export')))
        )


def load_net(
    checkpoint: Union[Checkpoint, bool, None],
    config: Union[str, os.PathLike, Config, None] = None,
    device: Union[str, torch.device, None] = None,
    classes: Optional[Sequence[str]] = None,
    kernels: str = AUTO,
) -> TrainedNet:
    """Build the net of a checkpoint, with its weights and class names.

    Args:
        checkpoint: File, folder of a run, URL, ``torchvision://vgg16``, or a model's name in
            MMPretrain's lists; no code in it is run. With the name of a model for ``config``, True
            or None: its published weights.
        config: File, config, or a model's name in MMPretrain's lists. By default the config in the
            checkpoint; where there is none, net and pre-processing are found from the weights.
        device, classes, kernels: As of :func:`vgg_mm.apis.predict`.

    Raises:
        FileNotFoundError, ValueError: in one line, if a file is missing, of another net, or lacks
            needed information.
        NotAClassifier: if it is a detector or segmentor.
    """
    checkpoint, config = resolve(checkpoint, config)
    content = load_by_name(checkpoint)
    cfg, notices = _config(config, content, checkpoint)
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmpretrain')):
        model = build_model(cfg)
    notices.append(load_weights(model, content, checkpoint))
    use_kernels(model.to(_device(device)), kernels)
    names: list[str] = []
    if model.head is not None:
        biases = [weight for name, weight in weights_of(content).items() if name.endswith('.bias')]
        count = getattr(model.head, 'num_classes', None) or len(biases[-1])
        if count > 1:
            names, notice = _classes(classes, content, cfg, count)
            notices.append(notice)
    return TrainedNet(checkpoint, model, names, cfg, [notice for notice in notices if notice])


def resolve(checkpoint: Any, config: Any) -> tuple[str, Any]:
    """The file or URL of the weights, and the config: also from models' names and folders.

    Raises:
        ValueError: in one line, if no weights are named.
    """
    given = not isinstance(checkpoint, bool) and checkpoint is not None
    checkpoint = os.fspath(checkpoint) if given else None
    if config is None and given and _is_model(checkpoint):
        checkpoint, config = None, checkpoint
    if isinstance(config, (str, os.PathLike)) and _is_model(os.fspath(config)):
        model = ModelHub.get(os.fspath(config))
        checkpoint, config = checkpoint or model.weights, model.config
        if checkpoint is None:
            raise ValueError(f'{model.name} has no published weights: give a checkpoint')
    if checkpoint is None:
        raise ValueError('give a checkpoint, or the name of a model with published weights')
    return run_checkpoint(checkpoint) if is_local(checkpoint) else checkpoint, config


def _is_model(name: str) -> bool:
    """Whether it is no file's name, but a model's of MMPretrain's lists."""
    if os.path.exists(name) or os.path.basename(name) != name or name.endswith(('.py', '.pth')):
        return False
    return name in list_models()


def _config(config: Any, content: dict, checkpoint: str) -> tuple[Config, list[str]]:
    """The config to use, and notices on it."""
    meta = content.get('meta') or {}
    cfg = None
    if isinstance(config, Config):
        cfg = name_types(deepcopy(config))
    elif config is not None:
        cfg = read_config(find_config(config))
    elif 'cfg' in meta and 'conversion' not in content:
        try:
            cfg = checkpoint_config(meta['cfg'])
        except ValueError as error:
            raise ValueError(
                f'the config in checkpoint {checkpoint} cannot be used: {error}; pass one with '
                + argument('config', 'FILE')
            ) from error
    if cfg is not None and is_downstream(cfg):
        raise NotAClassifier(cfg, content, checkpoint)
    # A config of MMPretrain's VGG does not match weights in this package's layout.
    if cfg is None or 'conversion' in content and not _is_own(cfg):
        return _config_of_weights(content, checkpoint, cfg)
    undo_seeded_dataset(cfg)
    return cfg, []


def _is_own(cfg: Config) -> bool:
    backbone = innermost(cfg).get('backbone') or {}
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmpretrain')):
        kind = MODELS.get(backbone.get('type', ''))
    return isinstance(kind, type) and issubclass(kind, VGG)


def _config_of_weights(
    content: dict, checkpoint: str, others: Optional[Config]
) -> tuple[Config, list[str]]:
    """A config for weights that have none, or that of another library's net."""
    found = identify_weights(content, checkpoint)
    content['state_dict'] = found.weights
    preprocessing = expected_preprocessing(content, others)
    content['meta'] = dict(content.get('meta') or {})
    note_preprocessing(content['meta'], preprocessing)
    scale = round(TEST_SCALE * found.net.crop)
    head = found.net.head_config()
    if head is None:  # SSD's and DeepLab's fc6 and fc7 are no classifier's
        for name in [name for name in found.weights if name.startswith('head.')]:
            del content['state_dict'][name]
    elif found.net.num_classes is None:
        # fc6 and fc7 give features; an fc8 of one output replaces the missing one.
        head['num_classes'] = 1
        zeros = found.weights['head.fc7.bias'].new_zeros
        for name, shape in (('weight', (1, head['fc_channels'][1])), ('bias', (1,))):
            content['state_dict'][f'head.fc8.{name}'] = zeros(shape)
    model = dict(
        type='ImageClassifier',
        data_preprocessor=dict(type='ClsDataPreprocessor', **preprocessing.to_meta()),
        backbone=dict(type='vgg_mm.VGG', **found.net.backbone_config()),
        head=head and dict(type='vgg_mm.ConvHead', **head),
    )
    data = {} if others is None else {k: v for k, v in others.items() if k.endswith('_dataloader')}
    tta = dict(type='vgg_mm.PaperTTA', crop_size=found.net.crop)
    pipeline = default_pipeline((scale,))
    return Config(dict(model=model, tta_model=tta, tta_pipeline=pipeline, **data)), [
        f'found from the weights: net {found.net}; Q = {scale} ({argument("scales")})',
        f'images: {preprocessing}',
        f'{LEFT_OUT}{found.unused()}' if found.unused() else '',
    ]


def default_pipeline(scales: Union[Sequence[int], str] = SEVERAL) -> list[ConfigDict]:
    """A pipeline for the protocols; by default at the scales for a net trained at S."""
    return [
        ConfigDict(type='vgg_mm.LoadImage'),
        ConfigDict(type='vgg_mm.TestScales', scales=scales),
        ConfigDict(type='PackInputs'),
    ]


def expected_preprocessing(content: dict, config: Optional[Config] = None) -> Preprocessing:
    """What a loaded checkpoint's weights expect of images, and how that is known.

    That is what the checkpoint records; else its config, or the one given; else that of recognised
    weights; else the paper's, assumed.

    Raises:
        ValueError: in one line, if the recorded values are invalid.
    """
    found = noted_preprocessing(content)
    if found is not None and found.origin.startswith(RECORDED):
        return found
    said = None if config is None else config_preprocessing(config)
    nothing = 'assumed: not recorded in checkpoint or config'
    return said or found or CENTRED_RGB._replace(origin=nothing)


def build_model(cfg: Config) -> ImageClassifier:
    """The net of a config in evaluation mode, without the wrapper of an earlier test."""
    return MODELS.build(deepcopy(innermost(cfg))).eval()


def load_weights(model: Any, content: dict, checkpoint: str) -> str:
    """Load weights, and the pre-processing they expect; a notice if that is not the config's."""
    try:
        # The hook compares with the model that a runner has, and needs nothing else of it.
        CheckpointCheckHook().after_load_checkpoint(SimpleNamespace(model=model), content)
        expected = noted_preprocessing(content)
    except ValueError as error:
        raise ValueError(f'{checkpoint}: {error}') from error
    model.load_state_dict(weights_of(content), strict=False)
    found = preprocessing_of(model.data_preprocessor)
    if expected is None or found is None or found.same_as(expected):
        return ''
    expected = expected.for_channels(len(found.mean))
    expected.put_into(model.data_preprocessor)
    return (
        f'images are pre-processed as in the checkpoint ({expected}), not in the config ({found})'
    )


def _device(device: Union[str, torch.device, None]) -> torch.device:
    if device is None:
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        # torch checks only here whether the device exists.
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f'device {device!r} cannot be used: {error}') from error


def _classes(
    given: Optional[Sequence[str]], content: dict, cfg: Config, count: int
) -> tuple[list[str], str]:
    """Class names, and a notice where there are none for this number of classes."""
    if given is not None:
        if len(given) != count:
            raise ValueError(f'{len(given)} class names for a net of {count} classes')
        return list(map(str, given)), ''
    for names in (recorded_classes(content), *_names_in(cfg)):
        if isinstance(names, (list, tuple)) and len(names) == count:
            return readable(list(map(str, names))), ''
    if count == len(imagenet_names()):
        return list(imagenet_names()), ''
    notice = 'neither checkpoint nor config names the classes: they are shown as numbers'
    return [str(label) for label in range(count)], notice


def _names_in(cfg: Config) -> list[Any]:
    """What may be class names in a config's data sets."""
    found = []
    for loader in ('test_dataloader', 'train_dataloader'):
        dataset = (cfg.get(loader) or {}).get('dataset', {})
        kind = dataset.get('type')
        registered = DATASETS.module_dict.get(kind) if isinstance(kind, str) else kind
        found += [
            (dataset.get('metainfo') or {}).get('classes'),
            dataset.get('classes'),
            (getattr(registered, 'METAINFO', None) or {}).get('classes'),
        ]
    return found
