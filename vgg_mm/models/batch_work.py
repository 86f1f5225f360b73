"""The progress of a batch in a model, reported while it runs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Optional

import torch
import torch.nn as nn

from .backbones.vgg import VGG

#: Duration of a backward pass, as a multiple of the forward pass.
BACKWARD = 2


class BatchWork:
    """Watches the :class:`VGG` s of a model on a CPU, where a batch can take minutes.

    After each block, ``tell`` is given the share of the batch's multiply-adds in convolutions that
    are done, above 0 and below 1. On other devices, and for models without such nets, nothing
    is reported.
    """

    def __init__(self, model: nn.Module, tell: Callable[[float], None]) -> None:
        self._tell = tell
        self._pixels = self._done = 0.0
        self._hooks = [
            getattr(net, net._blocks[block][-1]).register_forward_hook(
                partial(self._add, net, net.strides[:block], share)
            )
            for net in model.modules()
            if isinstance(net, VGG) and next(net.parameters()).device.type == 'cpu'
            for block, share in enumerate(block_shares(net))
        ]

    def begin(self, pixels: float) -> None:
        """Start a batch with this number of pixels through all nets; 0: unknown."""
        self._pixels, self._done = pixels, 0.0

    def end(self) -> None:
        """Remove the hooks."""
        for hook in self._hooks:
            hook.remove()

    def _add(
        self,
        net: VGG,
        strides: tuple[int, ...],
        share: float,
        layer: nn.Module,
        inputs: tuple[torch.Tensor, ...],
        output: Any,
    ) -> None:
        if net.first_block or not self._pixels:  # maps came in, not images
            return
        pixels = len(inputs[0]) * inputs[0].shape[-2] * inputs[0].shape[-1]
        for stride in strides:
            pixels *= stride**2
        self._done += share * pixels / self._pixels
        if self._done < 1:
            self._tell(self._done)


@contextmanager
def telling(
    model: nn.Module, pixels: float, tell: Optional[Callable[[float], None]]
) -> Iterator[None]:
    """Report the progress of a batch of ``pixels``, as :class:`BatchWork`; None: no report."""
    if tell is None:
        yield
        return
    work = BatchWork(model, tell)
    work.begin(pixels)
    try:
        yield
    finally:
        work.end()


def block_shares(net: VGG) -> list[float]:
    """Share of each block in the multiply-adds of a net's convolutions."""
    costs, pixels = [], 1.0
    for names, stride in zip(net._blocks, net.strides):
        layers = [getattr(net, name) for name in names]
        costs.append(pixels * sum(p.numel() for x in layers for p in x.parameters()))
        pixels /= stride**2
    return [cost / sum(costs) for cost in costs]


def training_cost(model: nn.Module) -> float:
    """Approximate duration of a model's training step, as a multiple of its forward pass."""
    nets = [net for net in model.modules() if isinstance(net, VGG)]
    if not nets:
        return 1.0 + BACKWARD
    return 1 + BACKWARD * sum(block_shares(nets[0])[max(nets[0].frozen_stages, 0) :])


def pixels_of(model: Any, batch: Any) -> int:
    """Number of pixels through a model's nets for a batch of its data loader; 0: unknown."""
    if hasattr(model, 'pixels'):  # a test protocol, which evaluates an image more than once
        return model.pixels(batch)
    return pixels_in(batch.get('inputs')) if isinstance(batch, dict) else 0


def pixels_in(inputs: Any) -> int:
    """Pixels of all images in what a data loader gives: tensors (3, H, W) or (N, 3, H, W), nested
    in lists."""
    if isinstance(inputs, torch.Tensor):
        images = len(inputs) if inputs.dim() == 4 else 1
        return images * inputs.shape[-2] * inputs.shape[-1]
    return sum(map(pixels_in, inputs)) if isinstance(inputs, (list, tuple)) else 0
