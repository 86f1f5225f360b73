"""``tools/test.py``: test a checkpoint, with or without the paper's protocol."""

import argparse
import os

import mmengine
from mmengine.config import Config, ConfigDict
from mmengine.evaluator import DumpResults

from vgg_mm.checkpoints import load_checkpoints_safely

from .config import (
    add_hook,
    build_runner,
    check_data_folders,
    load_config,
    set_dataloader_defaults,
)


def test(args: argparse.Namespace) -> dict[str, float]:
    """Test as ``args`` (of ``tools/test.py``) say.

    Returns:
        The metrics, e.g. ``error/top1`` in percent.
    """
    load_checkpoints_safely()
    cfg = test_config(args)
    check_data_folders(cfg, ['test_dataloader'])
    if not os.path.isfile(args.checkpoint):
        raise FileNotFoundError(f'checkpoint not found: {args.checkpoint}')
    runner = build_runner(cfg)
    if args.out and args.out_item == 'pred':
        runner.test_evaluator.metrics.append(DumpResults(out_file_path=args.out))
    metrics = runner.test()
    if args.out and args.out_item == 'metrics':
        mmengine.dump(metrics, args.out)
    return metrics


def test_config(args: argparse.Namespace) -> Config:
    """The config with all command-line options merged in."""
    cfg = load_config(args)
    cfg.load_from = args.checkpoint
    if args.amp:
        cfg.test_cfg.fp16 = True
    if args.show or args.show_dir is not None:
        if 'visualization' not in cfg.default_hooks:
            raise ValueError(
                '--show and --show-dir need '
                "default_hooks.visualization=dict(type='VisualizationHook') in the config"
            )
        cfg.default_hooks.visualization.update(
            enable=True,
            show=args.show,
            wait_time=args.wait_time,
            out_dir=args.show_dir,
            interval=args.interval,
        )
    if args.tta:
        use_test_time_augmentation(cfg)
    set_dataloader_defaults(cfg, args)
    add_hook(cfg, type='vgg_mm.CheckpointCheckHook', strict=True)
    return cfg


def use_test_time_augmentation(cfg: Config) -> None:
    """Wrap the model in ``tta_model`` and read images through ``tta_pipeline``."""
    for key in ('tta_model', 'tta_pipeline'):
        if key not in cfg:
            raise ValueError(
                f'--tta: the config has no {key}; e.g. tta_model=dict('
                "type='vgg_mm.PaperTTA') and a tta_pipeline with vgg_mm.TestScales"
            )
    cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    # Rescaled whole images differ in shape.
    cfg.test_dataloader.collate_fn = dict(type='pseudo_collate')


test.__test__ = False  # not a test case, whatever its name looks like to pytest
test_config.__test__ = False
