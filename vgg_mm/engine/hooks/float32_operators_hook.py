"""Keeps mmcv's operators in float32 while a detector runs in mixed precision."""

from contextlib import ExitStack

from mmengine.hooks import Hook
from mmengine.runner import Runner

from vgg_mm.registry import HOOKS

from ..float32_operators import float32_operators


@HOOKS.register_module()
class Float32OperatorsHook(Hook):
    """Let RoIAlign and nms have float32 in training, validation and testing.

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
