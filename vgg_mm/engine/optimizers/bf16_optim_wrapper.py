"""Mixed precision that works on the CPU, too."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from mmengine.runner.amp import autocast

from vgg_mm.registry import OPTIM_WRAPPERS

from ..float32_operators import float32_operators


@OPTIM_WRAPPERS.register_module()
class Bf16OptimWrapper(OptimWrapper):
    """mmengine's ``OptimWrapper`` with the forward pass autocast to bfloat16.

    bfloat16 has float32's range, so that no loss scaling is needed and, unlike mmengine's
    ``AmpOptimWrapper``, no GPU. Weights, gradients and updates stay in float32, and so do a
    detector's RoIAlign and nms (:func:`float32_operators`).
    """

    @contextmanager
    def optim_context(self, model: torch.nn.Module) -> Iterator[None]:
        with (
            super().optim_context(model),
            autocast(dtype=torch.bfloat16),
            float32_operators(model),
        ):
            yield
