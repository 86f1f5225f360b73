"""The plan of a chain as a table (``dry_run``)."""

import json
import math
import os.path as osp
from collections.abc import Sequence
from typing import Optional

from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import DATASETS

from vgg_mm.installation import argument

from ..errors import EXPECTED
from ..tables import format_table
from .estimate import StepTime, crop_size, device_name, measure_step, on_cached_maps
from .job import DONE, PART_WAY, Job, progress
from .stages import RunOptions, default_name, total_batch

#: ILSVRC-2012's training images, and classes.
IMAGENET_IMAGES, IMAGENET_CLASSES = 1_281_167, 1000

HEADERS = ['stage', 'config', 'starts from', 'images', 'epochs', 'batch', 'iterations', 'state']


class Cost:
    """The remaining work of a stage."""

    def __init__(self, job: Job):
        self.job = job
        cfg = job.cfg
        loader = cfg.train_dataloader
        self.images = count_images(cfg)
        classes = (cfg.model.get('head') or {}).get('num_classes')
        self.assumed = self.images is None and classes == IMAGENET_CLASSES
        if self.assumed:
            self.images = IMAGENET_IMAGES
        self.processes = job.run.processes or 1
        self.batch = loader.batch_size
        self.accumulated = cfg.optim_wrapper.get('accumulative_counts', 1)
        self.epochs: Optional[int] = cfg.train_cfg.get('max_epochs')
        self.iterations: Optional[int] = cfg.train_cfg.get('max_iters')
        if self.iterations is None and self.images and self.epochs:
            rounded = math.floor if loader.get('drop_last') else math.ceil
            an_epoch = rounded(self.images / (self.batch * self.processes))
            self.iterations = an_epoch * self.epochs or None

    @property
    def left(self) -> float:
        """Remaining share of the training."""
        state = self.job.state()
        if state != PART_WAY:
            return float(state != DONE)
        kind, done = progress(self.job.work_dir)
        total = self.epochs if kind == 'epoch' else self.iterations
        return max(0.0, 1 - done / total) if total else 1.0

    def hours(self, step: Optional[StepTime]) -> Optional[float]:
        """Hours of the remaining training; None if unknown."""
        if not self.left:
            return 0.0
        if step is None or self.iterations is None:
            return None
        iterations = self.iterations * self.left
        return step.hours(iterations * self.batch, iterations)

    def row(self) -> list[str]:
        """A line of the table, without hours."""
        stage = self.job.stage
        factors = [n for n in (self.processes, self.accumulated) if n != 1]
        return [
            stage.name,
            stage.config,
            stage.start,
            _number(self.images) + ('*' if self.assumed else ''),
            _number(self.epochs),
            ' x '.join(map(str, [self.batch, *factors])),
            _number(self.iterations),
            self.job.progress(),
        ]


def count_images(cfg: Config) -> Optional[int]:
    """Number of training images; None if they do not exist."""
    dataset = cfg.train_dataloader.dataset
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmpretrain')):
        try:
            return len(DATASETS.build(dataset))
        except EXPECTED:
            # Errors in the data are reported when the chain is started.
            return None


def plan_table(jobs: Sequence[Job], measure: bool = True) -> str:
    """Table of the stages; ``measure``: with hours, from steps of each net on this machine."""
    costs = [Cost(job) for job in jobs]
    headers, rows, notes = list(HEADERS), [cost.row() for cost in costs], []
    folders = {osp.dirname(job.stage.config) for job in jobs}
    if len(folders) == 1 and all(job.name == default_name(job.stage.config) for job in jobs):
        # The usual case: the names say it all, and the lines are short enough for a terminal.
        headers.remove('config')
        rows = [[row[0], *row[2:]] for row in rows]
        notes.append(f'The config of each stage is its name with .py, in {osp.join(*folders)}')
    if any(cost.assumed for cost in costs):
        notes.append("* assumed: ImageNet's, since the data folder does not exist")
    if measure:
        hours = _hours(costs)
        headers.append('hours')
        rows = [[*row, _number(value)] for row, value in zip(rows, hours)]
        notes.append(_note_on_hours(jobs[0].run, hours))
    return '\n'.join([format_table(headers, rows), '', *notes, *batch_notes(jobs)]).rstrip()


def _hours(costs: Sequence[Cost]) -> list[Optional[float]]:
    """Hours of every stage; those of the same net, loop, crop and optimizer are measured once."""
    measured: dict[str, Optional[StepTime]] = {}
    hours = []
    for cost in costs:
        step = None
        if cost.left and cost.iterations:
            cfg, run = cost.job.cfg, cost.job.run
            # On cached maps a step depends on the number of views and of epochs.
            loop = cfg.train_cfg if on_cached_maps(cfg) else None
            parts = [cfg.model, loop, cfg.optim_wrapper.get('type'), cost.batch, crop_size(cfg)]
            net = json.dumps(parts, default=str)
            if net not in measured:
                measured[net] = measure_step(cfg, run.amp, run.kernels)
            step = measured[net]
        hours.append(cost.hours(step))
    return hours


def _note_on_hours(run: RunOptions, hours: Sequence[Optional[float]]) -> str:
    total = float(sum(filter(None, hours)))
    days = f' ({total / 24:.1f} days)' if total >= 24 else ''
    exchange = ', exchanging gradients' if run.processes else ''
    return (
        f'hours: {_number(total)} in all{days}, extrapolated from a few training steps of each '
        f'net on random images on {device_name()}, without reading images{exchange} and '
        'validation; a stage ends earlier if validation stops improving'
    )


def batch_notes(jobs: Sequence[Job]) -> list[str]:
    """A line for each learning rate that is meant for another batch size."""
    notes = {}
    for job in jobs:
        meant = (job.cfg.get('auto_scale_lr') or {}).get('base_batch_size')
        batch = total_batch(job.cfg, job.run)
        if meant and meant != batch and not job.run.auto_scale_lr and job.state() != DONE:
            batch_size = argument('cfg_options', ['train_dataloader.batch_size=N'])
            notes[meant, batch] = (
                f'note: the learning rates are for {meant} images per step, here are {batch}: set '
                f'{argument("gpus")}, {batch_size} or '
                f'optim_wrapper.accumulative_counts=N, or {argument("auto_scale_lr", True)}'
            )
    return list(notes.values())


def _number(value: Optional[float]) -> str:
    if value is None:
        return '?'
    return f'{value:.3g}' if value < 100 and isinstance(value, float) else f'{value:,.0f}'
