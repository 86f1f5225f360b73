"""``tools/test.py``: test a checkpoint, with or without the paper's protocols."""

import argparse
import os

import mmengine
from mmengine.config import Config, ConfigDict
from mmengine.dist import is_main_process
from mmpretrain.registry import TRANSFORMS

from vgg_mm.checkpoints import is_local, loading_safely, run_checkpoint
from vgg_mm.datasets.transforms.loading import LOAD_ERROR

from .cfg_options import parse_cfg_options
from .config import (
    add_hook,
    build_runner,
    check_data_folders,
    evaluate_in_mixed_precision,
    load_config,
    set_dataloader_defaults,
    warn_of_slow_bfloat16,
)
from .downstream import add_checks, is_downstream, join_datasets, load_images_here
from .test_results import TEST_SUFFIX, describe, keep_results
from .tta import limit_batches, use_test_time_augmentation

#: Each package's hook for pictures, with its names for "on" and for their folder; None: it has
#: none, and they go where the visualizer's results go.
VISUALIZATION_HOOKS = {
    'VisualizationHook': ('enable', 'out_dir'),
    'DetVisualizationHook': ('draw', 'test_out_dir'),
    'SegVisualizationHook': ('draw', None),
}

#: What ``--out`` can be, by its ending.
OUT_ENDINGS = {'pred': ('.npz', '.pkl', '.pickle'), 'metrics': ('.json', '.pkl', '.yaml', '.yml')}


def test(args: argparse.Namespace) -> dict[str, float]:
    """Test as ``args`` (of ``tools/test.py``) say.

    Every result is also appended to ``test_results.jsonl`` in the work directory.

    Returns:
        The metrics, e.g. ``error/top1`` in percent.
    """
    _check_out(args)
    args.checkpoint = run_checkpoint(args.checkpoint)
    cfg = test_config(args)
    check_data_folders(cfg, ['test_dataloader'])
    if is_local(args.checkpoint) and not os.path.isfile(args.checkpoint):
        raise FileNotFoundError(f'checkpoint not found: {args.checkpoint}')
    with loading_safely(args.trust_checkpoint):
        runner = build_runner(cfg, args.kernels)
        metrics = runner.test()
    if is_main_process():
        print(keep_results(runner, metrics, args.config))
        if args.out and args.out_item == 'metrics':
            mmengine.dump(metrics, args.out)
    return metrics


def _check_out(args: argparse.Namespace) -> None:
    """Refuse a file that could not be written when the test is over."""
    if not args.out:
        return
    endings = OUT_ENDINGS[args.out_item]
    if not args.out.endswith(endings):
        raise ValueError(
            f'--out {args.out}: for --out-item {args.out_item} the file must end in '
            f'{", ".join(endings)}'
        )
    folder = os.path.dirname(args.out) or '.'
    if is_main_process():
        os.makedirs(folder, exist_ok=True)


def _add_dump(cfg: Config, args: argparse.Namespace) -> None:
    """Add the metric that writes the predictions."""
    if args.out.endswith('.npz'):
        if is_downstream(cfg):
            raise ValueError(
                f'--out {args.out}: posteriors are of classifiers; for {cfg.default_scope} the '
                'file must end in .pkl'
            )
        info = dict(describe(cfg), config=args.config)
        protocol = info.pop('protocols')[0]
        dump = dict(type='vgg_mm.DumpPosteriors', path=args.out, protocol=protocol, info=info)
    else:
        dump = dict(type='vgg_mm.DumpPredictions', out_file_path=args.out)
    metrics = cfg.test_evaluator
    cfg.test_evaluator = [*(metrics if isinstance(metrics, list) else [metrics]), dump]


def test_config(args: argparse.Namespace) -> Config:
    """The config with all command-line options merged in."""
    cfg = load_config(args)
    cfg.load_from = args.checkpoint
    if args.amp:
        warn_of_slow_bfloat16()
        evaluate_in_mixed_precision(cfg, 'test_cfg')
    if args.show or args.show_dir is not None:
        _show_predictions(cfg, args)
    if args.tta or args.tta_cfg:
        use_test_time_augmentation(cfg, args.tta_cfg)
        if 'test_dataloader.batch_size' not in parse_cfg_options(args.cfg_options):
            limit_batches(cfg)
    load_images_here(cfg, 'test_dataloader')
    add_checks(cfg)
    join_datasets(cfg)
    if args.broken_images == 'count':
        count_broken_images(cfg.test_dataloader.dataset.pipeline)
    if args.out and args.out_item == 'pred':
        _add_dump(cfg, args)
    set_dataloader_defaults(cfg, args)
    add_hook(cfg, type='vgg_mm.CheckpointCheckHook', strict=True)
    add_hook(cfg, type='vgg_mm.ProgressHook')
    options = parse_cfg_options(args.cfg_options)
    asked_for = any('data_preprocessor' in key.split('.') for key in options)
    add_hook(cfg, type='vgg_mm.PreprocessingHook', use_checkpoints=not asked_for)
    # mmengine writes the config into the work directory: not over the training's.
    name = os.path.splitext(os.path.basename(args.config))[0].removesuffix('.test')
    return Config(cfg.to_dict(), cfg_text=cfg.text, filename=f'{name}{TEST_SUFFIX}')


def _show_predictions(cfg: Config, args: argparse.Namespace) -> None:
    hook = cfg.default_hooks.get('visualization')
    if hook is None or hook.type not in VISUALIZATION_HOOKS:
        raise ValueError(
            '--show and --show-dir need default_hooks.visualization=dict(type=...) in the config, '
            f'one of {", ".join(VISUALIZATION_HOOKS)}'
        )
    enable, out_dir = VISUALIZATION_HOOKS[hook.type]
    folder = args.show_dir and os.path.abspath(args.show_dir)
    hook.update({enable: True}, show=args.show, wait_time=args.wait_time, interval=args.interval)
    if out_dir is not None:
        hook[out_dir] = folder
    elif folder is not None:
        cfg.visualizer.save_dir = folder


def count_broken_images(pipeline: list[ConfigDict]) -> None:
    """Let a pipeline go on with images that cannot be read, marked so that they count as errors.

    Raises:
        ValueError: if the pipeline does not read images with ``vgg_mm.LoadImage``.
    """
    load, pack = pipeline[0], pipeline[-1]
    if load['type'] != 'vgg_mm.LoadImage':
        raise ValueError(
            '--broken-images count needs vgg_mm.LoadImage as the first step of the pipeline, '
            f'got {load["type"]}'
        )
    load['on_error'] = 'mark'
    default = TRANSFORMS.get('PackInputs').DEFAULT_META_KEYS
    pack['meta_keys'] = (*pack.get('meta_keys', default), LOAD_ERROR)


test.__test__ = False  # type: ignore[attr-defined]  # not a test case, whatever its name looks like to pytest
test_config.__test__ = False  # type: ignore[attr-defined]
