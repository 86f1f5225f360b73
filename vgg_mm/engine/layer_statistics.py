"""How large the signal is in each layer, forwards and backwards."""

import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any, NamedTuple, Optional

import torch
import torch.nn as nn
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper

#: Activations below and above these multiples of the net's input are lost and out of bounds.
VANISHED, EXPLODED = 1e-5, 1e5

#: Gradients, as multiples of the weights that they change: at a learning rate of 1e-2 a weight
#: would need 1e8 iterations to change, or be overthrown by one.
NO_CHANGE, OVERTHROWN = 1e-6, 1e2


class LayerStatistics(NamedTuple):
    """Root mean squares over a batch."""

    layer: str
    activation: float  # of the layer's output, before its ReLU
    gradient: Optional[float]  # of the loss by the layer's weights; None: not computed
    weight: float


@torch.random.fork_rng()
def layer_statistics(
    model: BaseModel,
    batch: dict,
    optim_wrapper: Optional[OptimWrapper] = None,
    backward: bool = True,
) -> tuple[float, list[LayerStatistics]]:
    """One forward and backward pass of a training batch, without changing the model.

    Args:
        model: Of mmengine's kind, without distributed wrapper.
        batch: As a training data loader gives it.
        optim_wrapper: Whose autocast and scale of losses are used. None: float32.
        backward: Whether gradients are computed; without, little memory is needed.

    Returns:
        The root mean square of the net's input, after pre-processing, and the statistics of every
        convolution and fully-connected layer in forward order.
    """
    context = optim_wrapper.optim_context(model) if optim_wrapper is not None else nullcontext()
    scaler = getattr(optim_wrapper, 'loss_scaler', None)
    with _unchanged(model), _activations(model) as outputs, torch.set_grad_enabled(backward):
        with context:
            data = model.data_preprocessor(batch, training=True)
            losses = model(**data, mode='loss')
        scale = 1.0
        if backward:
            loss, _ = model.parse_losses(losses)
            (loss if scaler is None else scaler.scale(loss)).backward()
            scale = 1.0 if scaler is None else scaler.get_scale()
        statistics = [
            LayerStatistics(
                name,
                activation,
                # A frozen layer has none.
                _rms(module.weight.grad) / scale
                if backward and module.weight.requires_grad
                else None,
                _rms(module.weight),
            )
            for name, module, activation in outputs
        ]
    return _rms(data['inputs']), statistics


@contextmanager
def _unchanged(model: nn.Module) -> Iterator[None]:
    """Restores gradients and buffers (running means)."""
    gradients = [(parameter, parameter.grad) for parameter in model.parameters()]
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    for parameter, _ in gradients:
        parameter.grad = None
    try:
        yield
    finally:
        for parameter, gradient in gradients:
            parameter.grad = gradient
        for buffer, kept in buffers:
            buffer.copy_(kept)


@contextmanager
def _activations(model: nn.Module) -> Iterator[list[tuple[str, Any, float]]]:
    """Collects (layer, module, root mean square of its output) of every layer with weights."""
    found: list[tuple[str, Any, float]] = []

    def note(name: str, module: nn.Module, args: Any, out: torch.Tensor) -> None:
        found.append((name.split('.')[-1], module, _rms(out)))

    handles = [
        module.register_forward_hook(partial(note, name))
        for name, module in model.named_modules()
        if isinstance(module, (nn.Conv2d, nn.Linear))
    ]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _rms(tensor: Optional[torch.Tensor]) -> float:
    if tensor is None or not tensor.numel():
        return 0.0
    numbers = tensor.detach().float()
    largest = numbers.abs().max().item()
    if largest == 0 or not math.isfinite(largest):
        return largest
    # In units of the largest: the square of a huge number would be infinite.
    return (numbers / largest).square().mean().sqrt().item() * largest


def suspects(input_rms: float, statistics: list[LayerStatistics]) -> list[str]:
    """One phrase for each way in which the signal is lost, with the first layer where it is."""
    broken = [s for s in statistics if not math.isfinite(s.weight)]
    if broken:
        return [f'the weights are not finite from {broken[0].layer} on, since an earlier step']
    broken = [s for s in statistics if not math.isfinite(s.activation)]
    if broken:
        return [f'activations not finite from {broken[0].layer} on']
    gradients = [(s, s.gradient) for s in statistics if s.gradient is not None]
    broken = [s for s, gradient in gradients if not math.isfinite(gradient)]
    if broken:
        return [f'gradients not finite up to {broken[-1].layer}']
    thin = [s for s in statistics if s.activation < VANISHED * input_rms]
    huge = [s for s in statistics if s.activation > EXPLODED * input_rms]
    weak = [s for s, gradient in gradients if gradient < NO_CHANGE * s.weight]
    strong = [s for s, gradient in gradients if gradient > OVERTHROWN * s.weight]
    found = []
    if thin:
        found.append(f'activations vanish from {thin[0].layer} on ({thin[0].activation:.1e})')
    if huge:
        found.append(f'activations explode from {huge[0].layer} on ({huge[0].activation:.1e})')
    if weak:
        found.append(f'gradients vanish up to {weak[-1].layer} ({weak[-1].gradient:.1e})')
    if strong:
        found.append(f'gradients explode up to {strong[-1].layer} ({strong[-1].gradient:.1e})')
    return found
