from .hooks import (
    CheckpointCheckHook,
    CheckpointHook,
    ClassCheckHook,
    ExactResumeHook,
    GradientCompressionHook,
    LossGuardHook,
    SkippedImagesHook,
    StagedInitHook,
    StopAfterDropsHook,
)
from .loops import ResumableTrainLoop
from .optimizers import Bf16OptimWrapper

__all__ = [
    'Bf16OptimWrapper',
    'CheckpointCheckHook',
    'CheckpointHook',
    'ClassCheckHook',
    'ExactResumeHook',
    'GradientCompressionHook',
    'LossGuardHook',
    'ResumableTrainLoop',
    'SkippedImagesHook',
    'StagedInitHook',
    'StopAfterDropsHook',
]
