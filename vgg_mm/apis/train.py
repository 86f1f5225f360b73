"""``tools/train.py``: train a net from a config."""

import argparse

import torch
from mmengine.config import Config

from vgg_mm.checkpoints import last_whole_checkpoint, loading_safely, run_checkpoint

from .config import (
    add_hook,
    build_runner,
    check_data_folders,
    evaluate_in_mixed_precision,
    has_bfloat16,
    load_config,
    set_dataloader_defaults,
    warn_of_slow_bfloat16,
)
from .downstream import add_checks, join_datasets, load_images_here, steps_of
from .errors import one_line
from .resumable import make_resumable


def train(args: argparse.Namespace) -> None:
    """Train as ``args`` (of ``tools/train.py``) say; results go to the work directory."""
    cfg = training_config(args)
    check_data_folders(cfg, ['train_dataloader', 'val_dataloader'])
    make_resumable(cfg)
    from vgg_mm.datasets.transforms.loading import UnreadableImage

    try:
        with loading_safely(args.trust_checkpoint):
            build_runner(cfg, args.kernels).train()
    except UnreadableImage as error:
        raise ValueError(f'{one_line(error)}; --broken-images skip goes on without it') from error


def training_config(args: argparse.Namespace) -> Config:
    """The config with all command-line options merged in."""
    cfg = load_config(args)
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if args.amp:
        warn_of_slow_bfloat16()
        use_mixed_precision(cfg)
        if cfg.get('val_cfg') is not None:
            evaluate_in_mixed_precision(cfg, 'val_cfg')
    if args.resume == 'auto':
        last = last_whole_checkpoint(cfg.work_dir)
        # At the first start there is none: load_from is what the run begins with.
        cfg.resume, cfg.load_from = last is not None, last or cfg.get('load_from')
    elif args.resume is not None:
        cfg.resume, cfg.load_from = True, run_checkpoint(args.resume)
    if args.auto_scale_lr:
        if cfg.get('auto_scale_lr') is None:
            raise ValueError(
                f'--auto-scale-lr: {args.config} has no auto_scale_lr=dict(base_batch_size=...)'
            )
        cfg.auto_scale_lr.enable = True
        # mmengine's rule looks at one iteration; a step of accumulated gradients takes several.
        cfg.auto_scale_lr.base_batch_size /= cfg.optim_wrapper.get('accumulative_counts', 1)
    load_images_here(cfg, 'train_dataloader', 'val_dataloader')
    if args.broken_images == 'skip':
        skip_broken_images(cfg)
    set_dataloader_defaults(cfg, args, persistent_workers=True)
    add_hook(cfg, type='vgg_mm.CheckpointCheckHook', strict=bool(cfg.resume))
    add_hook(cfg, type='vgg_mm.PreprocessingHook')
    add_hook(cfg, type='vgg_mm.ExactResumeHook')
    add_hook(cfg, type='vgg_mm.ProgressHook')
    add_checks(cfg)
    join_datasets(cfg)
    return cfg


def skip_broken_images(cfg: Config) -> None:
    """Train on other images in place of those that cannot be read, which are counted and listed.

    Raises:
        ValueError: if no pipeline of the training set reads images with ``vgg_mm.LoadImage``.
    """
    loads = [step for step in steps_of(cfg.train_dataloader.dataset) if is_load_image(step)]
    if not loads:
        raise ValueError('--broken-images skip needs vgg_mm.LoadImage in the training pipeline')
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
