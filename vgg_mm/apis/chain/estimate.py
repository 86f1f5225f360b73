"""How long a training takes, from a few steps on random images."""

import time
from collections.abc import Callable
from typing import NamedTuple, Optional, TypeVar

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

from vgg_mm.engine.cached_maps_loops import frozen_maps, maps_as_inputs
from vgg_mm.engine.screen import is_for_terminal
from vgg_mm.progress import to_stderr

from ..config import COLOURS
from ..runner import AUTO, use_kernels
from ..training import use_mixed_precision

Result = TypeVar('Result')

#: Timed steps of each of two batches, after one to warm up; the fastest counts.
STEPS = 2

#: Time limit in seconds for the steps of a batch.
MAX_SECONDS = 15

#: Pixels of the larger batch: 8 crops of 224 on a processor, 32 on a GPU.
PIXELS = {'cpu': 8 * 224**2, 'cuda': 32 * 224**2}


class StepTime(NamedTuple):
    """Seconds of a training step: ``per_image``, and ``per_step`` for weights and gradients."""

    per_image: float
    per_step: float

    def hours(self, images: float, steps: float) -> float:
        """Hours of a training by one process, from its numbers of images and of steps."""
        return (self.per_image * images + self.per_step * steps) / 3600


def device_name() -> str:
    """What steps are measured on."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    threads = torch.get_num_threads()
    return f'the processor, {threads} thread{"s" * (threads > 1)}'


def on_cached_maps(cfg: Config) -> bool:
    """Whether images go through the frozen blocks only once."""
    return cfg.train_cfg.get('type') == 'vgg_mm.CachedMapsTrainLoop'


def crop_size(cfg: Config) -> Optional[int]:
    """Side of the training crops; None if no step of the pipeline gives it as a number."""
    for step in reversed(cfg.train_dataloader.dataset.get('pipeline') or []):
        size = step.get('crop_size', step.get('scale'))
        if isinstance(size, int):
            return size
    return None


def measure_step(cfg: Config, amp: bool = False, kernels: str = AUTO) -> Optional[StepTime]:
    """Time training steps of the config's model on random uint8 images of its crop size.

    Data loading, validation and the exchange of gradients between processes are not included.

    Returns:
        None if the size of the crops is not known.
    """
    size = crop_size(cfg)
    if size is None:
        return None
    cfg = Config(cfg.to_dict())
    if amp:
        use_mixed_precision(cfg)
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmpretrain')):
        model = MODELS.build(cfg.model).to(device).train()
        logger = MMLogger.get_current_instance()
        logger.addFilter(is_for_terminal)  # mmengine lists every weight with a rate of its own
        try:
            optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
        finally:
            logger.removeFilter(is_for_terminal)
    use_kernels(model, kernels)
    to_stderr(f'timing training steps on {device_name()}')
    large = max(2, min(cfg.train_dataloader.batch_size, PIXELS[device] // size**2))
    small = max(1, large // 4)
    shape = cfg.model.backbone.get('in_channels', COLOURS), size, size

    def images(count: int) -> torch.Tensor:
        return torch.randint(256, (count, *shape), dtype=torch.uint8)

    if not on_cached_maps(cfg):
        few, many = (_step(model, optimizer, [*images(count)]) for count in (small, large))
        return split_time(few, many, small, large)
    batch = dict(inputs=images(small))
    seconds, maps = _fastest(lambda: frozen_maps(model, batch))
    with maps_as_inputs(model):
        few, many = (_step(model, optimizer, [maps[0]] * count) for count in (small, large))
    step = split_time(few, many, small, large)
    # The maps of each image are computed once, regardless of the number of epochs.
    views = cfg.train_cfg.get('views', 2) / cfg.train_cfg.max_epochs
    return step._replace(per_image=step.per_image + views * seconds / small)


def split_time(small_time: float, large_time: float, small: int, large: int) -> StepTime:
    """Seconds of a step with few and with many images -> those of an image and of the rest."""
    per_image = max(0.0, large_time - small_time) / (large - small)
    per_step = max(0.0, large_time - per_image * large)
    return StepTime(per_image, per_step)


def _step(model: BaseModel, optimizer: OptimWrapper, inputs: list[torch.Tensor]) -> float:
    """Seconds of a training step with these inputs."""
    batch = dict(inputs=inputs, data_samples=[DataSample().set_gt_label(0) for _ in inputs])
    return _fastest(lambda: model.train_step(batch, optimizer))[0]


def _fastest(work: Callable[[], Result]) -> tuple[float, Result]:
    """Seconds of the fastest of a few runs, and the result."""
    times = []
    for _ in range(1 + STEPS):
        started = time.perf_counter()
        result = work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
        if sum(times) > MAX_SECONDS:
            break
    return min(times[1:] or times), result
