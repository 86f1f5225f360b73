"""Train a net from a config."""

from traceback import walk_tb
from typing import Any, Optional, Union

import torch
from mmengine.config import Config
from mmengine.runner import ValLoop

from vgg_mm.checkpoints import find_resume_point, loading_safely, run_checkpoint
from vgg_mm.checkpoints.resume_point import named_checkpoint
from vgg_mm.datasets.transforms.loading import UnreadableImage
from vgg_mm.installation import argument

from .cfg_options import CfgOptions
from .config import (
    ConfigLike,
    add_hook,
    check_data_folders,
    config_name,
    evaluate_in_mixed_precision,
    has_bfloat16,
    load_config,
    make_resumable,
    set_dataloader_defaults,
    warn_of_slow_bfloat16,
)
from .downstream import add_checks, join_datasets, load_images_here, steps_of
from .errors import one_line
from .runner import AUTO, build_runner

#: Treatment of images that cannot be read.
BROKEN_IMAGES = ('stop', 'skip')


def train(
    config: ConfigLike, kernels: str = AUTO, trust_checkpoint: bool = False, **options: Any
) -> Optional[str]:
    """Train a net; log and checkpoints go to the work directory.

    Args:
        config: File, name (``vgg16_jitter_imagenet``), or mmengine's ``Config``.
        kernels: 'auto': faster forms of layers (:mod:`vgg_mm.kernels`); 'plain': torch's own.
        trust_checkpoint: Run code in checkpoints that cannot be read otherwise; from sources
            you trust.
        **options: ``work_dir``, ``cfg_options`` and the others of :func:`training_config`.

    Returns:
        The path of the last checkpoint; None if the config has none written.

    Raises:
        ValueError, FileNotFoundError, ImportError: in one line, before training, if settings,
            files or a package are invalid; ValueError, later, at an image that cannot be read.
    """
    cfg = training_config(config, **options)
    check_data_folders(cfg, ['train_dataloader', 'val_dataloader'])
    make_resumable(cfg)
    try:
        with loading_safely(trust_checkpoint):
            build_runner(cfg, kernels).train()
    except UnreadableImage as error:
        advice = f'{argument("broken_images", "skip")} skips it'
        frames = (frame for frame, _ in walk_tb(error.__traceback__))
        if any(isinstance(frame.f_locals.get('self'), ValLoop) for frame in frames):
            advice = 'it is in the validation set: remove or replace it'
        raise ValueError(f'{one_line(error)}; {advice}') from error
    return named_checkpoint(cfg.work_dir)


def training_config(
    config: ConfigLike,
    work_dir: Optional[str] = None,
    cfg_options: CfgOptions = (),
    resume: Union[bool, str] = False,
    amp: bool = False,
    auto_scale_lr: bool = False,
    validate: bool = True,
    broken_images: str = 'stop',
    pin_memory: bool = True,
    persistent_workers: bool = True,
    launcher: str = 'none',
) -> Config:
    """The config that :func:`train` runs.

    Args:
        config: File, name (``vgg16_jitter_imagenet``), or mmengine's ``Config``.
        work_dir: By default the config's, else ``work_dirs/NAME_OF_THE_CONFIG``.
        cfg_options: Settings that override the config: ``{'a.b': 1, 'DATA_ROOT': folder}``.
        resume: True: from the last checkpoint in the work directory, if there is one; a
            path: from that one.
        amp: Mixed precision (bfloat16).
        auto_scale_lr: Scale the learning rate with the batch size (linear rule).
        validate: Validate as often as configured.
        broken_images: 'stop' at an image that cannot be read, or 'skip': count it and train on
            another one.
        pin_memory: False to have no data loader do it.
        persistent_workers: False to end the data loaders' processes after each epoch.
        launcher: 'none', 'pytorch', 'slurm' or 'mpi': what started this process.

    Raises:
        ValueError, FileNotFoundError, ImportError: in one line, if something is invalid.
    """
    cfg = load_config(config, work_dir, cfg_options, launcher)
    if broken_images not in BROKEN_IMAGES:
        raise ValueError(f'broken_images must be one of {BROKEN_IMAGES}, got {broken_images!r}')
    if not validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if amp:
        warn_of_slow_bfloat16()
        use_mixed_precision(cfg)
        if cfg.get('val_cfg') is not None:
            evaluate_in_mixed_precision(cfg, 'val_cfg')
    if resume is True:
        last = find_resume_point(cfg.work_dir)
        # At the first start there is none: the run begins with load_from.
        cfg.resume, cfg.load_from = last is not None, last or cfg.get('load_from')
    elif resume is not False:
        cfg.resume, cfg.load_from = True, run_checkpoint(resume)
    if auto_scale_lr:
        if cfg.get('auto_scale_lr') is None:
            raise ValueError(
                f'{argument("auto_scale_lr", True)}: {config_name(cfg)} has no '
                'auto_scale_lr=dict(base_batch_size=...)'
            )
        cfg.auto_scale_lr.enable = True
    _scale_by_steps(cfg)
    load_images_here(cfg, 'train_dataloader', 'val_dataloader')
    if broken_images == 'skip':
        skip_broken_images(cfg)
    set_dataloader_defaults(cfg, pin_memory, persistent_workers)
    add_hook(cfg, type='vgg_mm.CheckpointCheckHook', strict=bool(cfg.get('resume')))
    add_hook(cfg, type='vgg_mm.PreprocessingHook')
    add_hook(cfg, type='vgg_mm.ExactResumeHook')
    add_hook(cfg, type='vgg_mm.ProgressHook')
    add_checks(cfg)
    join_datasets(cfg)
    return cfg


def _scale_by_steps(cfg: Config) -> None:
    """Let the rate scale with the images of a step, where it scales.

    mmengine's rule looks at one iteration; a step of accumulated gradients takes several.
    """
    rule = cfg.get('auto_scale_lr') or {}
    if rule.get('enable') and not rule.get('per_iteration'):
        rule.base_batch_size /= cfg.optim_wrapper.get('accumulative_counts', 1)
        rule.per_iteration = True  # the written config may be trained from


def skip_broken_images(cfg: Config) -> None:
    """Train on other images instead of those that cannot be read, which are counted and listed.

    Raises:
        ValueError: if no pipeline of the training set reads images with ``vgg_mm.LoadImage``.
    """
    loads = [step for step in steps_of(cfg.train_dataloader.dataset) if is_load_image(step)]
    if not loads:
        skip = argument('broken_images', 'skip')
        raise ValueError(f'{skip} needs vgg_mm.LoadImage in the training pipeline')
    for load in loads:
        load['on_error'] = 'skip'
    add_hook(cfg, type='vgg_mm.SkippedImagesHook')


def is_load_image(step: dict) -> bool:
    return step['type'] == 'vgg_mm.LoadImage'


def use_mixed_precision(cfg: Config) -> None:
    """bfloat16 where the device has it (the CPU, GPUs since Ampere), else loss-scaled float16."""
    if torch.cuda.is_available() and not has_bfloat16():
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    else:
        cfg.optim_wrapper.type = 'vgg_mm.Bf16OptimWrapper'
