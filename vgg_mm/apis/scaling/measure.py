"""One GPU's (or the processor's) step, measured."""

import statistics
import time

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample

from .layers import build_model
from .timeline import StepTime

WARM_UP, STEPS = 2, 5


def measure_step(cfg: Config, batch_size: int, size: int) -> StepTime:
    """Medians of five training steps on random images, without loading them.

    Args:
        cfg: The config, whose optimizer takes the steps.
        batch_size: Images in a step.
        size: Side of the images in pixels.
    """
    device = torch.device(get_device())
    model = build_model(cfg)
    model.init_weights()
    model.to(device)
    if device.type == 'cpu':
        model.to(memory_format=torch.channels_last)  # as tools/train.py does
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmengine')):
        optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    images = torch.randint(0, 256, (batch_size, 3, size, size), dtype=torch.uint8)
    batch = dict(inputs=images, data_samples=[DataSample().set_gt_label(0)] * batch_size)
    steps = [_step(model, optim_wrapper, batch, device) for _ in range(WARM_UP + STEPS)]
    return StepTime(*(statistics.median(times) for times in zip(*steps[WARM_UP:])))


def _step(model, optim_wrapper, batch: dict, device: torch.device) -> StepTime:
    times = [_now(device)]
    with optim_wrapper.optim_context(model):
        losses = model(**model.data_preprocessor(batch, True), mode='loss')
    loss, _ = model.parse_losses(losses)
    times.append(_now(device))
    optim_wrapper.backward(loss)
    times.append(_now(device))
    optim_wrapper.step()
    optim_wrapper.zero_grad()
    times.append(_now(device))
    return StepTime(*(1e3 * (after - before) for before, after in zip(times, times[1:])))


def _now(device: torch.device) -> float:
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
    return time.perf_counter()
