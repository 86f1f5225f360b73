"""From a checkpoint to a model that predicts by one of the paper's protocols."""

import glob
import os
from collections.abc import Sequence
from copy import deepcopy
from types import SimpleNamespace
from typing import Any, Optional, Union

import torch
from mmengine.config import Config, ConfigDict
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from mmpretrain.models.classifiers import ImageClassifier
from mmpretrain.registry import DATASETS, MODELS, TRANSFORMS

from vgg_mm.apis.config import read_config
from vgg_mm.apis.kernels import AUTO, use_kernels
from vgg_mm.apis.resumable import undo_seeded_dataset
from vgg_mm.apis.tta import find_step, training_scale
from vgg_mm.checkpoints import (
    preprocessing_of,
    read_by_name,
    recorded_preprocessing,
    weights_of,
)
from vgg_mm.datasets.transforms.test_scales import SEVERAL, WORDS
from vgg_mm.engine.hooks import CheckpointCheckHook
from vgg_mm.models.tta import PaperTTA

from .checkpoint_config import checkpoint_config
from .predictor import Predictor

#: Arguments of PaperTTA that the config's ``tta_model`` decides.
TTA_ARGUMENTS = ('grid', 'crop_size', 'flip', 'max_pixels')

#: Tests what a net trained at S sees; for configs without a pipeline for the protocols.
PIPELINE = [
    dict(type='vgg_mm.LoadImage'),
    dict(type='vgg_mm.TestScales', scales=SEVERAL),
    dict(type='PackInputs'),
]


def load_predictor(
    checkpoint: Union[str, os.PathLike],
    config: Union[str, os.PathLike, Config, None] = None,
    protocol: str = 'dense',
    scales: Optional[Sequence[int]] = None,
    device: Union[str, torch.device, None] = None,
    classes: Optional[Sequence[str]] = None,
    kernels: str = AUTO,
) -> Predictor:
    """Build the net of a checkpoint, with its weights, protocol, pipeline and class names.

    Args:
        checkpoint: File, URL, or a name such as ``torchvision://vgg16``; nothing in it is run.
        config: File or config; by default the one in the checkpoint.
        protocol: 'dense', 'multi_crop' or 'dense+multi_crop'.
        scales: Test scales Q; by default the config's.
        device: By default the GPU if there is one.
        classes: Class names; by default the checkpoint's, then the config's, then numbers.
        kernels: 'auto': faster forms of layers (:mod:`vgg_mm.kernels`); 'plain': torch's own.

    Raises:
        FileNotFoundError, ValueError: in one line, if a file is missing, of another net, or does
            not say what is needed.
    """
    checkpoint = os.fspath(checkpoint)
    content = read_by_name(checkpoint)
    meta = content.get('meta') or {}
    cfg = _config(config, meta, checkpoint)
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmpretrain')):
        model = build_model(cfg)
        notices = [_load_weights(model, content, checkpoint)]
        pipeline = _pipeline(cfg, scales)
        load, *steps = [TRANSFORMS.build(step) for step in pipeline]
    use_kernels(model.to(_device(device)), kernels)
    tta = PaperTTA(model, protocol=protocol, **_tta_options(cfg)).eval()
    names, notice = _classes(classes, meta, cfg, _num_classes(model, weights_of(content)))
    notices = [text for text in [*notices, notice] if text]
    scales = next(step.scales for step in steps if hasattr(step, 'scales'))
    _check_scales(scales, tta)
    return Predictor(tta, load, Compose(steps), names, scales, cfg, notices)


def _config(config: Any, meta: dict, checkpoint: str) -> Config:
    if isinstance(config, Config):
        return deepcopy(config)
    if config is not None:
        if not os.path.isfile(config):
            raise FileNotFoundError(f'config not found: {config}')
        cfg = read_config(config)
        undo_seeded_dataset(cfg)
        return cfg
    if 'cfg' not in meta:
        raise ValueError(f'checkpoint {checkpoint} holds no config{_hint(checkpoint)}')
    try:
        cfg = checkpoint_config(meta['cfg'])
    except ValueError as error:
        raise ValueError(
            f'the config in checkpoint {checkpoint} is not used: {error}{_hint(checkpoint)}'
        ) from error
    undo_seeded_dataset(cfg)
    return cfg


def _hint(checkpoint: str) -> str:
    folder = glob.escape(os.path.dirname(checkpoint) or '.')
    beside = sorted(glob.glob(os.path.join(folder, '*.py')))
    return f'; give it with --config {beside[0]}' if beside else '; give it with --config FILE'


def build_model(cfg: Config) -> ImageClassifier:
    """The net of a config in evaluation mode, without the wrapper of an earlier test."""
    model = cfg.model
    while 'module' in model:
        model = model.module
    return MODELS.build(deepcopy(model)).eval()


def _load_weights(model: ImageClassifier, content: dict, checkpoint: str) -> str:
    """Load weights, and the pre-processing they expect; a notice if that is not the config's."""
    try:
        # The hook compares with the model that a runner has, and needs nothing else of it.
        CheckpointCheckHook().after_load_checkpoint(SimpleNamespace(model=model), content)
        expected = recorded_preprocessing(content)
    except ValueError as error:
        raise ValueError(f'{checkpoint}: {error}') from error
    model.load_state_dict(weights_of(content), strict=False)
    found = preprocessing_of(model.data_preprocessor)
    if expected is None or found is None or found.same_as(expected):
        return ''
    expected.put_into(model.data_preprocessor)
    return f'images are pre-processed as the checkpoint says ({expected}), not the config ({found})'


def _tta_options(cfg: Config) -> dict[str, Any]:
    """The settings of the config's protocol, if it is one of the paper's."""
    found = cfg.get('tta_model') or {}
    if found.get('type') != 'vgg_mm.PaperTTA':
        return {}
    return {key: found[key] for key in TTA_ARGUMENTS if key in found}


def _pipeline(cfg: Config, scales: Optional[Sequence[int]]) -> list[ConfigDict]:
    """The config's pipeline for the protocols, images loaded so that errors name them."""
    pipeline = deepcopy(list(cfg.get('tta_pipeline') or map(ConfigDict, PIPELINE)))
    step = find_step(pipeline, 'vgg_mm.TestScales')
    if step is None:
        raise ValueError("the config's tta_pipeline has no vgg_mm.TestScales")
    if scales is not None:
        step.scales = tuple(scales)
    elif step.scales in WORDS and 'trained_at' not in step:
        step.trained_at = training_scale(cfg)
        if step.trained_at is None:
            raise ValueError(
                'the config does not say at which scales to test (tta_pipeline, or '
                'vgg_mm.ScaleJitter in its training pipeline); give Q with --scales'
            )
    if pipeline[0].type == 'LoadImageFromFile':
        pipeline[0].type = 'vgg_mm.LoadImage'  # the same pixels
    if pipeline[0].type != 'vgg_mm.LoadImage':
        raise ValueError(
            f"the config's tta_pipeline begins with {pipeline[0].type}, not with vgg_mm.LoadImage"
        )
    return pipeline


def _device(device: Union[str, torch.device, None]) -> torch.device:
    if device is None:
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        # torch says only here whether there is such a device.
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f'device {device!r} cannot be used: {error}') from error


def _check_scales(scales: Sequence[int], tta: PaperTTA) -> None:
    if min(scales) < tta.crop_size:
        raise ValueError(
            f'test scale Q={min(scales)} is smaller than the crop; '
            f'Q must be at least {tta.crop_size} for this net'
        )


def _num_classes(model: ImageClassifier, weights: dict[str, torch.Tensor]) -> int:
    return getattr(getattr(model, 'head', None), 'num_classes', None) or len(
        weights[[name for name in weights if name.endswith('.bias')][-1]]
    )


def _classes(
    given: Optional[Sequence[str]], meta: dict, cfg: Config, count: int
) -> tuple[list[str], str]:
    """Class names, and a notice where there are none for this number of classes."""
    if given is not None and len(given) != count:
        raise ValueError(f'{len(given)} class names for a net of {count} classes')
    found = given
    for names in ((meta.get('dataset_meta') or {}).get('classes'), *_names_in(cfg)):
        if found is None and isinstance(names, (list, tuple)) and len(names) == count:
            found = names
    if found is not None:
        return [str(name) for name in found], ''
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
