from vgg_mm import slow_imports  # noqa: F401  (first: the modules below need them)

from .hooks import (
    AnnotationCheckHook,
    BatchSizeNoticeHook,
    CheckpointCheckHook,
    CheckpointHook,
    ClassCheckHook,
    ClassifierInitHook,
    ExactResumeHook,
    Float32OperatorsHook,
    GradientCompressionHook,
    LossGuardHook,
    PreprocessingHook,
    ProgressHook,
    SkippedImagesHook,
    StagedInitHook,
    StopAfterDropsHook,
)
from .loops import CachedMapsTrainLoop, CachedMapsValLoop, ResumableTrainLoop
from .optimizers import Bf16OptimWrapper
from .sharded import FSDPStrategy, ShardedRunner

__all__ = [
    'AnnotationCheckHook',
    'BatchSizeNoticeHook',
    'Bf16OptimWrapper',
    'CachedMapsTrainLoop',
    'CachedMapsValLoop',
    'CheckpointCheckHook',
    'CheckpointHook',
    'ClassCheckHook',
    'ClassifierInitHook',
    'ExactResumeHook',
    'FSDPStrategy',
    'Float32OperatorsHook',
    'GradientCompressionHook',
    'LossGuardHook',
    'PreprocessingHook',
    'ProgressHook',
    'ResumableTrainLoop',
    'ShardedRunner',
    'SkippedImagesHook',
    'StagedInitHook',
    'StopAfterDropsHook',
]
