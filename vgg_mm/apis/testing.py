"""Test a checkpoint, with or without the paper's protocols."""

import os
from typing import Any, Optional, Union

import mmengine
from mmengine.config import Config, ConfigDict
from mmengine.dist import is_main_process
from mmpretrain.registry import TRANSFORMS

from vgg_mm.checkpoints import is_local, loading_safely, run_checkpoint
from vgg_mm.datasets.transforms.loading import LOAD_ERROR
from vgg_mm.installation import argument, check_choice

from .cfg_options import CfgOptions, parse_cfg_options
from .config import (
    ConfigLike,
    add_hook,
    check_data_folders,
    config_name,
    evaluate_in_mixed_precision,
    load_config,
    set_dataloader_defaults,
    warn_of_slow_bfloat16,
)
from .downstream import (
    add_checks,
    image_datasets,
    is_downstream,
    join_datasets,
    load_images_here,
)
from .inference.report import check_out
from .runner import AUTO, build_runner
from .tables import say
from .test_results import TEST_SUFFIX, describe, keep_results, label
from .tta import find_step, limit_batches, options_of_protocol, use_test_time_augmentation

#: Each package's hook for pictures, with its names for "on" and for their folder; None: it has
#: none, and they go where the visualizer's results go.
VISUALIZATION_HOOKS = {
    'VisualizationHook': ('enable', 'out_dir'),
    'DetVisualizationHook': ('draw', 'test_out_dir'),
    'SegVisualizationHook': ('draw', None),
}

#: Treatment of images that cannot be read.
BROKEN_IMAGES = ('stop', 'count')

#: Formats of the file of results, by its content.
PREDICTIONS = 'pred'
OUT_ENDINGS = {
    PREDICTIONS: ('.npz', '.pkl', '.pickle'),
    'metrics': ('.json', '.pkl', '.yaml', '.yml'),
}


def test(
    config: ConfigLike,
    checkpoint: Union[str, os.PathLike],
    out: Optional[str] = None,
    out_item: str = PREDICTIONS,
    kernels: str = AUTO,
    trust_checkpoint: bool = False,
    **options: Any,
) -> dict[str, float]:
    """Test a checkpoint; results are also appended to ``test_results.jsonl`` in the work directory.

    Args:
        config: File, name (``vgg16_jitter_imagenet``), or mmengine's ``Config``.
        checkpoint: File, folder of a run, URL or ``torchvision://vgg16``.
        out: File for the results: .npz (posteriors), .pkl (predictions, as MMPretrain); with
            ``out_item='metrics'`` .json, .yaml or .pkl.
        out_item: What it holds, 'pred' or 'metrics'.
        kernels: 'auto': faster forms of layers (:mod:`vgg_mm.kernels`); 'plain': torch's own.
        trust_checkpoint: Run code in a checkpoint that cannot be read otherwise; from sources
            you trust.
        **options: ``work_dir``, ``cfg_options``, ``tta`` and the others of :func:`test_config`.

    Returns:
        The metrics, e.g. ``error/top1`` in percent.

    Raises:
        ValueError, FileNotFoundError, ImportError: in one line, before the test, if settings,
            files or a package are invalid; ValueError, later, at an image that cannot be read.
    """
    check_choice('out_item', out_item, OUT_ENDINGS)
    if out is None and out_item != PREDICTIONS:
        raise ValueError(f'{argument("out_item", out_item)} needs {argument("out", "FILE")}')
    if out is not None:
        out = os.fspath(out)
        _check_out(out, out_item)
    checkpoint = run_checkpoint(checkpoint)
    predictions = out if out_item == PREDICTIONS else None
    cfg = test_config(config, checkpoint, out=predictions, **options)
    check_data_folders(cfg, ['test_dataloader'])
    if is_local(checkpoint) and not os.path.isfile(checkpoint):
        raise FileNotFoundError(f'checkpoint not found: {checkpoint}')
    with loading_safely(trust_checkpoint):
        runner = build_runner(cfg, kernels)
        metrics = runner.test()
    if is_main_process():
        say(keep_results(runner, metrics, config_name(config)))
        if out is not None and predictions is None:
            mmengine.dump(metrics, out)
    return metrics


def _check_out(out: str, item: str) -> None:
    """Refuse a file that could not be written at the end of the test."""
    if not out.endswith(OUT_ENDINGS[item]):
        raise ValueError(
            f'{argument("out", out)}: for {argument("out_item", item)} the file must end in '
            f'{", ".join(OUT_ENDINGS[item])}'
        )
    check_out(out, OUT_ENDINGS[item])


def _add_dump(cfg: Config, out: str, config: str) -> None:
    """Add the metric that writes the predictions."""
    if out.endswith('.npz'):
        if is_downstream(cfg):
            raise ValueError(
                f'{argument("out", out)}: posteriors are of classifiers; for {cfg.default_scope} '
                'the file must end in .pkl'
            )
        info = dict(describe(cfg), config=config)
        names = {protocol: label(protocol, cfg) for protocol in info.pop('protocols')}
        dump = dict(type='vgg_mm.DumpPosteriors', path=out, protocols=names, info=info)
    else:
        dump = dict(type='vgg_mm.DumpPredictions', out_file_path=out)
    metrics = cfg.test_evaluator
    cfg.test_evaluator = [*(metrics if isinstance(metrics, list) else [metrics]), dump]


def test_config(
    config: ConfigLike,
    checkpoint: str,
    work_dir: Optional[str] = None,
    cfg_options: CfgOptions = (),
    tta: Union[bool, str] = False,
    amp: bool = False,
    broken_images: str = 'stop',
    out: Optional[str] = None,
    show_dir: Optional[str] = None,
    show: bool = False,
    interval: int = 1,
    wait_time: float = 2,
    pin_memory: bool = True,
    launcher: str = 'none',
) -> Config:
    """The config that :func:`test` runs.

    Args:
        config: File, name (``vgg16_jitter_imagenet``), or mmengine's ``Config``.
        checkpoint: File or URL.
        work_dir: By default the config's, else ``work_dirs/NAME_OF_THE_CONFIG``.
        cfg_options: Settings that override the config: ``{'a.b': 1, 'DATA_ROOT': folder}``.
        tta: True: the config's test protocol (the paper's Section 3.2); a name among
            ``configs/_base_/tta``, or a file with ``tta_model`` and ``tta_pipeline``: another one.
        amp: Mixed precision (bfloat16).
        broken_images: 'stop' at an image that cannot be read, or 'count': list it and count it as
            an error.
        out: File for the predictions, .npz or .pkl.
        show_dir: Folder for pictures of the predictions.
        show: Show the predictions in a window.
        interval: Save a picture every nth image.
        wait_time: Seconds that a window stays.
        pin_memory: False to have no data loader do it.
        launcher: 'none', 'pytorch', 'slurm' or 'mpi': what started this process.

    Raises:
        ValueError, FileNotFoundError, ImportError: in one line, if something is invalid.
    """
    options = parse_cfg_options(cfg_options)
    # Those of a protocol in another file are for that file.
    later = options_of_protocol(options) if isinstance(tta, str) else {}
    now = {key: value for key, value in options.items() if key not in later}
    cfg = load_config(config, work_dir, now, launcher)
    if broken_images not in BROKEN_IMAGES:
        raise ValueError(f'broken_images must be one of {BROKEN_IMAGES}, got {broken_images!r}')
    # The config of a resumed training has resume=True; a test needs the weights only.
    cfg.load_from, cfg.resume = checkpoint, False
    if amp:
        warn_of_slow_bfloat16()
        evaluate_in_mixed_precision(cfg, 'test_cfg')
    if show or show_dir is not None:
        hook, folder_key = _visualization_hook(cfg)
        hook.update(show=show, wait_time=wait_time, interval=interval)
        folder = show_dir and os.path.abspath(show_dir)
        if folder_key is not None:
            hook[folder_key] = folder
        elif folder is not None:
            cfg.visualizer.save_dir = folder
    if tta:
        use_test_time_augmentation(cfg, None if tta is True else tta, later)
        if 'test_dataloader.batch_size' not in options:
            limit_batches(cfg)
    load_images_here(cfg, 'test_dataloader')
    add_checks(cfg)
    join_datasets(cfg)
    if broken_images == 'count':
        if is_downstream(cfg):
            raise ValueError(
                f'{argument("broken_images", "count")} is for classifiers, this config is for '
                f'{cfg.default_scope}'
            )
        for dataset in image_datasets(cfg.test_dataloader.dataset):
            count_broken_images(dataset.get('pipeline') or [])
    if out is not None:
        _add_dump(cfg, out, config_name(cfg))
    set_dataloader_defaults(cfg, pin_memory)
    add_hook(cfg, type='vgg_mm.CheckpointCheckHook', strict=True)
    add_hook(cfg, type='vgg_mm.ProgressHook')
    asked_for = any('data_preprocessor' in key.split('.') for key in options)
    add_hook(cfg, type='vgg_mm.PreprocessingHook', use_checkpoints=not asked_for)
    # mmengine writes the config into the work directory: not over the training's.
    name = os.path.splitext(os.path.basename(config_name(cfg)))[0].removesuffix('.test')
    return Config(cfg.to_dict(), cfg_text=cfg.text, filename=f'{name}{TEST_SUFFIX}')


def _visualization_hook(cfg: Config) -> tuple[ConfigDict, Optional[str]]:
    """The package's hook that draws, switched on, and its name for the pictures' folder."""
    hook = cfg.default_hooks.get('visualization')
    if hook is None or hook.type not in VISUALIZATION_HOOKS:
        raise ValueError(
            f'{argument("show")} and {argument("show_dir")} need '
            f'default_hooks.visualization=dict(type=...) in the config, '
            f'one of {", ".join(VISUALIZATION_HOOKS)}'
        )
    enable, folder_key = VISUALIZATION_HOOKS[hook.type]
    hook[enable] = True
    return hook, folder_key


def count_broken_images(pipeline: list[ConfigDict]) -> None:
    """Let a pipeline mark images that cannot be read, so that they count as errors.

    Raises:
        ValueError: if the pipeline does not read images with ``vgg_mm.LoadImage``.
    """
    first = pipeline[0]['type'] if pipeline else 'none'
    if first != 'vgg_mm.LoadImage':
        raise ValueError(
            f'{argument("broken_images", "count")} needs vgg_mm.LoadImage as the first step of the '
            f'pipeline, got {first}'
        )
    load, pack = pipeline[0], pipeline[-1]
    load['on_error'] = 'mark'
    rescale = find_step(pipeline, 'vgg_mm.TestScales')
    if rescale is not None:
        rescale['on_error'] = 'mark'
    default = TRANSFORMS.get('PackInputs').DEFAULT_META_KEYS
    pack['meta_keys'] = (*pack.get('meta_keys', default), LOAD_ERROR)


test.__test__ = False  # type: ignore[attr-defined]  # not a test case
test_config.__test__ = False  # type: ignore[attr-defined]
