"""The records of a test, one for each protocol."""

import os
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from vgg_mm.architectures import BASE_CHANNELS, resolve_arch
from vgg_mm.datasets.class_names import own_classes
from vgg_mm.evaluation import TestRecord, add_records, is_imagenet
from vgg_mm.models.tta.paper_tta import MULTI_CROP, PAPER_GRID

from .config import innermost
from .downstream import image_datasets
from .net_table import CROP
from .tables import format_table, record_cells
from .tta import find_step, test_scales, training_scale, training_steps

#: Ending of a test's config in the work directory.
TEST_SUFFIX = '.test.py'

#: Protocol of a test without --tta.
CENTRE_CROP = 'centre crop'

#: The metric that :class:`vgg_mm.TopKError` gives for each protocol.
ERROR = 'error/top'

HEADERS = ('net', 'S', 'Q', 'protocol', 'top-1 error', 'top-5 error', 'images', 'ms/image')


def describe(cfg: Config) -> dict[str, Any]:
    """Net, training scale, test scales, protocols and data of a test, read from its config.

    Returns:
        Fields of :class:`TestRecord`, and ``protocols``: those of the model.
    """
    classifier = innermost(cfg)
    backbone = classifier.get('backbone', classifier)
    is_vgg = backbone.type.split('.')[-1] == 'VGG'
    net = resolve_arch(backbone.get('arch') or backbone.get('depth')) if is_vgg else backbone.type
    protocols = cfg.model.get('protocol', CENTRE_CROP)
    datasets = image_datasets(cfg.test_dataloader.dataset)
    folders = [
        os.path.join(one.get('data_root') or '', str(one.get('data_prefix') or ''))
        for one in datasets
    ]
    return dict(
        net=net,
        width=backbone.get('base_channels', BASE_CHANNELS),
        scale=training_scale(cfg),
        test_scales=tuple(sorted(test_scales(datasets[0].get('pipeline') or []))),
        protocols=[protocols] if isinstance(protocols, str) else list(protocols),
        data=folders[0] if len(folders) == 1 else _shared_folder(folders),
        checkpoint=cfg.get('load_from'),
    )


def _shared_folder(folders: list[str]) -> str:
    """The folder that all are in, of a concatenation."""
    try:
        return os.path.commonpath(folders)
    except ValueError:  # absolute and relative ones
        return ''


def keep_results(runner: Runner, metrics: dict[str, float], config: str) -> str:
    """Append a :class:`TestRecord` for each protocol to the work directory; returns their table.

    Nothing is kept, and '' returned, of tests with another metric than ``vgg_mm.TopKError``.
    """
    if not any(ERROR in name for name in metrics):
        return ''
    info = dict(describe(runner.cfg), config=config)
    protocols = info.pop('protocols')
    dataset = runner.test_dataloader.dataset
    info.update(
        images=len(dataset),
        imagenet=is_imagenet(own_classes(dataset.metainfo)),
        seconds_per_image=_seconds(runner) / len(dataset),
        protocols_together=len(protocols),
    )
    records = []
    for name in protocols:
        prefix = f'{name}/{ERROR}' if len(protocols) > 1 else ERROR
        wrong = {
            int(key.removeprefix(prefix)): round(value * len(dataset) / 100)
            for key, value in metrics.items()
            if key.startswith(prefix)
        }
        records.append(TestRecord(**info, protocol=label(name, runner.cfg), wrong=wrong))
    path = add_records(runner.work_dir, records)
    return f'\n{format_table(HEADERS, [_row(record) for record in records])}\n\nKept in {path}'


def label(protocol: str, cfg: Config) -> str:
    """The protocol, and in what it differs from the paper's: grid and size of the crops, flips.

    A net that was trained without flips (on digits) is tested without them.
    """
    if protocol == CENTRE_CROP:
        return protocol
    steps = training_steps(cfg)
    jitter = find_step(steps, 'vgg_mm.ScaleJitter')
    usual = None if jitter is None else jitter.get('crop_size', CROP)
    crop, grid = cfg.model.get('crop_size') or usual, cfg.model.get('grid', PAPER_GRID)
    flip = cfg.model.get('flip', True)
    flips = not steps or any('Flip' in str(step['type']) for step in steps)
    return ', '.join(
        [
            protocol,
            *([str(grid)] if grid != PAPER_GRID and MULTI_CROP in protocol else []),
            *([f'crops of {crop}'] if crop != usual and MULTI_CROP in protocol else []),
            *([] if flip == flips else ['flips' if flip else 'no flips']),
        ]
    )


def _seconds(runner: Runner) -> float:
    """Wall time of all test iterations, data included."""
    times = runner.message_hub.log_scalars.get('test/time')
    return 0.0 if times is None else float(sum(times.data[0]))


def _row(record: TestRecord) -> list[str]:
    shared = '' if record.protocols_together == 1 else ' (all rows together)'
    return [
        *record_cells(record),
        f'{record.images:,}',
        f'{1000 * record.seconds_per_image:,.0f}{shared}',
    ]
