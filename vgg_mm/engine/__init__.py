from .hooks import (
    CheckpointCheckHook,
    CheckpointHook,
    ClassCheckHook,
    ExactResumeHook,
    GradientCompressionHook,
    LossGuardHook,
    PreprocessingHook,
    SkippedImagesHook,
    StagedInitHook,
    StopAfterDropsHook,
)
from .loops import ResumableTrainLoop
from .optimizers import Bf16OptimWrapper
from .sharded import FSDPStrategy, ShardedRunner

__all__ = [
    'Bf16OptimWrapper',
    'CheckpointCheckHook',
    'CheckpointHook',
    'ClassCheckHook',
    'ExactResumeHook',
    'FSDPStrategy',
    'GradientCompressionHook',
    'LossGuardHook',
    'PreprocessingHook',
    'ResumableTrainLoop',
    'ShardedRunner',
    'SkippedImagesHook',
    'StagedInitHook',
    'StopAfterDropsHook',
]
