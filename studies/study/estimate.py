"""Estimate how long the rest of a study takes (``--dry-run``)."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from statistics import mean
from typing import NamedTuple, Optional

from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import DATASETS
from PIL import Image

from vgg_mm.apis.chain.estimate import device_name, measure_step, on_cached_maps
from vgg_mm.apis.chain.plan import Cost
from vgg_mm.apis.chain.stages import total_batch
from vgg_mm.apis.errors import EXPECTED
from vgg_mm.apis.tables import format_table
from vgg_mm.models.tta.paper_tta import DENSE
from vgg_mm.progress import duration

from .evaluations import Evaluation
from .plan import Task
from .study import CENTRE, Study
from .trainings import Training

HEADERS = ('data', 'run', 'trainings', 'tests', 'hours', 'from')

#: Share of a forward pass in a training step; the backward pass computes as much twice, for the
#: gradients of inputs and of weights.
FORWARD = 1 / 3

#: Views per image, flips included: of multi-crop evaluation at each Q, and of dense evaluation.
CROPS, FLIPS = 50, 2

#: Number of images whose shape is read.
SAMPLE = 50

FINISHED, MEASURED, UNKNOWN = 'finished runs', 'measured steps', '?'


class Images(NamedTuple):
    """Test images: their number, and the mean ratio of longer to shorter side."""

    count: int
    aspect: float


class Estimator:
    """Hours of trainings and tests.

    Args:
        done: Finished tasks, from which others of the same kind are estimated if possible.
        measure: Time a few steps of nets of which no run is finished.
    """

    def __init__(self, done: Sequence[Task], measure: bool = True):
        self.measure = measure
        self.trained: dict[tuple, list[float]] = {}
        self.tested: dict[tuple, list[float]] = {}
        # Seconds and views of an image in the tests of each net, summed over its tests.
        self._views: dict[tuple, tuple[float, float]] = {}
        self._steps: dict[tuple, Optional[float]] = {}
        self._images: dict[str, Images] = {}
        for task in done:
            if isinstance(task, Training):
                seconds = _per_image(task)
                if seconds is not None:
                    self.trained.setdefault(_kind(task), []).append(seconds)
                continue
            seconds, kind = task.seconds_per_image(), _kind(task.training)
            self.tested.setdefault(_test_kind(task), []).append(seconds)
            total, views = self._views.get(kind, (0.0, 0.0))
            self._views[kind] = total + seconds, views + self.views(task)

    def training(self, training: Training) -> tuple[Optional[float], str]:
        """Hours that are left of a training, and the source of the estimate."""
        cost = Cost(training.job)
        seconds = self.seconds_per_image(training)
        if seconds is None or cost.iterations is None:
            return None, UNKNOWN
        hours = seconds * cost.left * cost.iterations * cost.batch / 3600
        if _kind(training) in self.trained:
            return hours, FINISHED
        validations = (cost.epochs or 0) // training.job.cfg.train_cfg.get('val_interval', 1)
        if on_cached_maps(training.job.cfg):
            validations = 1  # the maps of validation images are computed once, too
        count = self.test_images(training).count
        seconds *= _forward(training)
        return hours + validations * cost.left * count * seconds / 3600, MEASURED

    def test(self, test: Evaluation) -> tuple[Optional[float], str]:
        """Hours of a test, and the source of the estimate."""
        count = self.test_images(test.training).count
        if _test_kind(test) in self.tested:
            return count * mean(self.tested[_test_kind(test)]) / 3600, FINISHED
        if _kind(test.training) in self._views:
            seconds, views = self._views[_kind(test.training)]
            return count * self.views(test) * seconds / views / 3600, FINISHED
        seconds = self.seconds_per_image(test.training)
        if seconds is None:
            return None, UNKNOWN
        return count * self.views(test) * seconds * _forward(test.training) / 3600, MEASURED

    def views(self, test: Evaluation) -> float:
        """Number of crops that cost as much as the views of an image in the test."""
        if test.part == CENTRE:
            return 1
        if test.part != DENSE:
            return CROPS
        aspect = self.test_images(test.training).aspect
        return FLIPS * aspect * (test.q / test.training.data.crop) ** 2

    def test_images(self, training: Training) -> Images:
        """The test set of a training's config; empty if it is missing."""
        cfg = training.job.cfg
        key = json.dumps([cfg.get('default_scope'), cfg.test_dataloader.dataset], default=str)
        if key not in self._images:
            self._images[key] = _find_images(cfg)
        return self._images[key]

    def seconds_per_image(self, training: Training) -> Optional[float]:
        """Training seconds per image and epoch; None: unknown."""
        kind = _kind(training)
        if kind in self.trained:
            return mean(self.trained[kind])
        if not self.measure:
            return None
        if kind not in self._steps:
            step = measure_step(training.job.cfg, training.amp)
            batch = total_batch(training.job.cfg, training.job.run)
            self._steps[kind] = step and step.per_image + step.per_step / batch
        return self._steps[kind]


def _forward(training: Training) -> float:
    """Share of a forward pass through all layers in the training's time for an image.

    On cached maps, of which each epoch uses one of several views, it is a multiple.
    """
    if not on_cached_maps(training.job.cfg):
        return FORWARD
    loop = training.job.cfg.train_cfg
    return loop.max_epochs / loop.get('views', 2)


def _per_image(training: Training) -> Optional[float]:
    """Seconds per image and epoch of a finished training, validations included."""
    cost = Cost(training.job)
    return 60 * training.minutes / (cost.iterations * cost.batch) if cost.iterations else None


def _kind(training: Training) -> tuple:
    """Key of trainings whose images take equally long."""
    return training.key.data, training.run.arch


def _test_kind(test: Evaluation) -> tuple:
    return *_kind(test.training), test.part, test.q


def _find_images(cfg: Config) -> Images:
    try:
        with DefaultScope.overwrite_default_scope(cfg.get('default_scope') or 'mmpretrain'):
            built = DATASETS.build(cfg.test_dataloader.dataset)
    except EXPECTED:
        return Images(0, 1.0)  # reported in one line when the study is run
    step = max(1, len(built) // SAMPLE)
    sizes = []
    for i in range(0, len(built), step):
        with Image.open(built.get_data_info(i)['img_path']) as image:
            sizes.append(image.size)
    return Images(len(built), mean(max(size) / min(size) for size in sizes))


def start_seconds() -> float:
    """Seconds that a tool takes to start up."""
    started = time.perf_counter()
    imports = 'import vgg_mm.apis.training, mmpretrain.models, mmpretrain.datasets'
    subprocess.run([sys.executable, '-c', imports], check=True, capture_output=True)
    return time.perf_counter() - started


def estimate_table(
    study: Study,
    todo: Sequence[Task],
    left: Sequence[Task],
    everything: Sequence[Task],
    measure: bool = True,
) -> str:
    """What is left to do, one line per run and data set, with hours.

    Args:
        todo: The requested tasks.
        left: Those of them that the results need, finished or not.
        everything: All tasks of the study: other tasks are estimated from the finished ones.
        measure: Whether to time nets of which no run is finished.
    """
    left = [task for task in left if not (task.done or _settled(task))]
    estimator = Estimator([task for task in everything if task.done], measure)
    start = start_seconds() if measure and left else 0.0
    rows: dict[tuple, list] = {}
    for task in left:
        is_training = isinstance(task, Training)
        hours, source = estimator.training(task) if is_training else estimator.test(task)
        row = rows.setdefault((task.key.data, task.key.run), [0, 0, 0.0, set()])
        row[0] += is_training
        row[1] += not is_training
        # For a training, there is also the chain tool, which starts it in a process of its own.
        row[2] += (hours or 0.0) + start * (1 + is_training) / 3600
        row[3].add(source)
    cells = []
    for key, (n, tests, hours, sources) in rows.items():
        shown = UNKNOWN if sources == {UNKNOWN} else f'{hours:.2f}'
        cells.append([*key, str(n), str(tests), shown, ', '.join(sorted(sources))])
    total = sum(row[2] for row in rows.values())
    title = f'{study.title} Profile {study.profile}: {study.about}.'
    lines = [title, f'{len(todo) - len(left)} of {len(todo)} trainings and tests are done.']
    if cells:
        unknown = sum(UNKNOWN in sources for *_, sources in rows.values())
        lines += ['', format_table(HEADERS, cells), '', _note(total, measure, unknown)]
    return '\n'.join(lines)


def _settled(task: Task) -> bool:
    """Whether nothing is left to do because a loss was not finite."""
    training = task if isinstance(task, Training) else task.training
    return training.not_finite() is not None


def _note(hours: float, measure: bool, unknown: int) -> str:
    text = f'{duration(3600 * hours)} in all'
    if unknown:
        text += f", and what is not known ('{UNKNOWN}', in {unknown} of the lines)"
    text += f'. {FINISHED.capitalize()}: of the same net on the same data.'
    if measure:
        text += (
            f' {MEASURED.capitalize()}: a few training steps of each net on random images on '
            f'{device_name()} as it is loaded now; a forward pass is taken as a third of a step '
            'that goes back through all layers, and nothing of reading images is in them. '
            'Trainings whose loss is not finite end at once and take less.'
        )
    return text
