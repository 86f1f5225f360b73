"""Mixed precision: bfloat16 on the CPU, too, and float32 for mmcv's operators."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Optional

import torch
import torch.nn as nn
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from mmengine.runner.amp import autocast

from vgg_mm.registry import HOOKS, OPTIM_WRAPPERS


@contextmanager
def float32_operators(model: nn.Module) -> Iterator[None]:
    """Run a detector's RoIAlign (RoIPool) and nms in float32, also inside ``torch.autocast``.

    mmcv's operators do not support bfloat16; in float16 coordinates of a thousand pixels would be
    rounded to half a pixel. So the maps that a region extractor of MMDetection's gets are
    converted, and the scores and boxes that its heads give. Other models are left alone.
    """
    with ExitStack() as stack:
        if 'mmdet.models' in sys.modules:  # else this is none of its detectors
            from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
            from mmdet.models.roi_heads.bbox_heads import BBoxHead
            from mmdet.models.roi_heads.roi_extractors.base_roi_extractor import BaseRoIExtractor

            for module in model.modules():
                if isinstance(module, BaseRoIExtractor):
                    handle = module.register_forward_pre_hook(_convert_inputs, with_kwargs=True)
                    stack.callback(handle.remove)
                elif isinstance(module, (BaseDenseHead, BBoxHead)):
                    stack.callback(module.register_forward_hook(_convert_output).remove)
        yield


def _convert_inputs(module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    return _float32(args), _float32(kwargs)


def _convert_output(module: nn.Module, args: tuple, output: Any) -> Any:
    return _float32(output)


def _float32(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.float() if value.is_floating_point() else value
    if isinstance(value, (list, tuple)):
        return type(value)(map(_float32, value))
    if isinstance(value, dict):
        return {key: _float32(one) for key, one in value.items()}
    return value


@HOOKS.register_module()
class Float32OperatorsHook(Hook):
    """Run RoIAlign and nms in float32 in training, validation and testing.

    For detectors in any program with mmengine's runner, with any optimizer wrapper or ``fp16=True``
    in the loops' settings. ``vgg_mm.Bf16OptimWrapper`` does it by itself while training. Without
    mixed precision nothing is converted.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()

    def before_run(self, runner: Runner) -> None:
        self._stack.enter_context(float32_operators(runner.model))

    def after_run(self, runner: Runner) -> None:
        self._stack.close()


@HOOKS.register_module()
class Bf16EvaluationHook(Hook):
    """Let validation and testing with ``fp16=True`` compute in bfloat16 on GPUs that have it.

    mmengine's loops use torch's default, float16; VGG's inputs reach +-128 and its activations
    thousands, near float16's limit. The default is restored at the end of the run. On the CPU it is
    bfloat16 anyway.
    """

    def __init__(self) -> None:
        self._before: Optional[torch.dtype] = None

    def before_run(self, runner: Runner) -> None:
        if torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False):
            self._before = torch.get_autocast_dtype('cuda')
            torch.set_autocast_dtype('cuda', torch.bfloat16)

    def after_run(self, runner: Runner) -> None:
        if self._before is not None:
            torch.set_autocast_dtype('cuda', self._before)


@OPTIM_WRAPPERS.register_module()
class Bf16OptimWrapper(OptimWrapper):
    """mmengine's ``OptimWrapper`` with the forward pass autocast to bfloat16.

    bfloat16 has float32's range, so that no loss scaling is needed and, unlike mmengine's
    ``AmpOptimWrapper``, no GPU. Weights, gradients and updates stay in float32, and so do a
    detector's RoIAlign and nms (:func:`float32_operators`).
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        with super().optim_context(model), autocast(dtype=torch.bfloat16), float32_operators(model):
            yield
