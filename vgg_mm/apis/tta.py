"""Test-time augmentation by config: the paper's protocols (Section 3.2)."""

from collections.abc import Iterable
from typing import Any, Optional

import torch
from mmengine.config import Config, ConfigDict

from vgg_mm.datasets import TestScales
from vgg_mm.datasets.transforms.rescale import WORDS, scale_bounds
from vgg_mm.installation import argument
from vgg_mm.models.tta.paper_tta import MULTI_CROP

from .cfg_options import CfgOptions, merge_options, parse_cfg_options
from .config import find_config, innermost, read_config, set_input_channels, shipped
from .downstream import image_datasets, is_downstream, steps_of

#: Scope of a config -> model and transform of its protocols.
PROTOCOL_PARTS: dict[Optional[str], tuple[str, str]] = {
    None: ('vgg_mm.PaperTTA', 'vgg_mm.TestScales'),
    'mmdet': ('DetTTAModel', 'TestTimeAug, as in configs/_base_/downstream'),
    'mmseg': ('SegTTAModel', 'TestTimeAug, as in configs/_base_/downstream'),
}

#: Images a batch on a processor; one where each of them is many crops.
CPU_BATCH = 4


#: The settings of a config that a protocol consists of.
PROTOCOL_KEYS = ('tta_model', 'tta_pipeline')


def use_test_time_augmentation(
    cfg: Config, tta_cfg: Optional[str] = None, options: CfgOptions = ()
) -> None:
    """Wrap the model in ``tta_model`` and read images through ``tta_pipeline``.

    Args:
        cfg: Changed in place.
        tta_cfg: A file with another ``tta_model`` and ``tta_pipeline``, or its name among
            ``configs/_base_/tta``. Settings of the config's own ``tta_model`` that the file does
            not set stay (digits are not flipped by any protocol).
        options: Settings that override the config's; those of the protocol override the file's.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the config has no protocol, or the paper's Q is requested without S; as
            :func:`~vgg_mm.apis.cfg_options.merge_options`.
    """
    model, step = PROTOCOL_PARTS.get(cfg.get('default_scope'), PROTOCOL_PARTS[None])
    if tta_cfg is not None:
        if is_downstream(cfg):
            raise ValueError(
                f'protocol {tta_cfg!r}: these protocols are for classifiers; give '
                + argument('tta', True)
            )
        try:
            overlay = read_config(find_config(tta_cfg, 'protocol'))
        except FileNotFoundError as error:
            known = ', '.join(shipped('protocol'))
            raise FileNotFoundError(
                f'protocol {tta_cfg!r}: no such file, nor one of {known}'
            ) from error
        cfg.merge_from_dict({k: overlay[k] for k in PROTOCOL_KEYS if k in overlay})
        set_input_channels(cfg)
        merge_options(cfg, options_of_protocol(options))
    for key in PROTOCOL_KEYS:
        if key not in cfg:
            raise ValueError(
                f'{argument("tta")}: the config has no {key}; e.g. tta_model=dict(type={model!r}) '
                f'and a tta_pipeline with {step}'
            )
    scales = find_step(cfg.tta_pipeline, 'vgg_mm.TestScales')
    if scales is not None and scales.scales in WORDS and 'trained_at' not in scales:
        scales.trained_at = training_scale(cfg)
    cfg.model = ConfigDict(**cfg.tta_model, module=innermost(cfg))
    for dataset in image_datasets(cfg.test_dataloader.dataset):
        dataset['pipeline'] = cfg.tta_pipeline
    if is_downstream(cfg):
        return
    # Rescaled whole images differ in shape; those of equal shape share forward passes.
    cfg.setdefault('env_cfg', ConfigDict()).cudnn_benchmark = False
    cfg.test_dataloader.collate_fn = dict(type='pseudo_collate')
    cfg.test_dataloader.sampler = dict(type='vgg_mm.ShapeSampler')


def options_of_protocol(options: CfgOptions) -> dict[str, Any]:
    """Those of the options that set a protocol."""
    parsed = parse_cfg_options(options)
    return {k: value for k, value in parsed.items() if k.partition('.')[0] in PROTOCOL_KEYS}


def limit_batches(cfg: Config) -> None:
    """Smaller batches of a classifier's protocol on a processor, where an image takes seconds, for
    more frequent progress; results are the same."""
    if not torch.cuda.is_available() and not is_downstream(cfg):
        most = 1 if MULTI_CROP in str(cfg.tta_model.get('protocol', MULTI_CROP)) else CPU_BATCH
        cfg.test_dataloader.batch_size = min(cfg.test_dataloader.get('batch_size', 1), most)


def find_step(pipeline: Iterable[dict], kind: str) -> Optional[ConfigDict]:
    """The first transform of that type in a pipeline."""
    return next((step for step in pipeline if _ends(step['type']) == _ends(kind)), None)


def _ends(name: Any) -> tuple[str, str]:
    """Package and class: the same of 'vgg_mm.LoadImage' and of 'vgg_mm.datasets.LoadImage'."""
    return str(name).partition('.')[0], str(name).rpartition('.')[2]


def training_steps(cfg: Config) -> list[ConfigDict]:
    """The transforms of the training pipeline; none if the config is not for training."""
    loader = cfg.get('train_dataloader') or {}
    return list(steps_of(loader.get('dataset') or {}))


def training_scale(cfg: Config) -> Optional[tuple[int, int]]:
    """(S_min, S_max) of the training pipeline; None if it has no ``vgg_mm.ScaleJitter``."""
    jitter = find_step(training_steps(cfg), 'vgg_mm.ScaleJitter')
    if jitter is None:
        return None
    bounds = scale_bounds(jitter.scale)
    return bounds[0], bounds[-1]


def test_scales(pipeline: list[dict]) -> tuple[int, ...]:
    """Q of a test pipeline, of either kind; empty if it does not rescale."""
    scales = find_step(pipeline, 'vgg_mm.TestScales')
    if scales is not None:
        return TestScales(**{k: v for k, v in scales.items() if k != 'type'}).scales
    # Configs of MMPretrain rescale by the second.
    found: Any = find_step(pipeline, 'vgg_mm.CentralCrop') or find_step(pipeline, 'ResizeEdge')
    return (found.scale,) if found is not None else ()
