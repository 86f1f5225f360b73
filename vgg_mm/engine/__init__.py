from vgg_mm import slow_imports  # noqa: F401  (first: the modules below need them)

from . import hooks
from .cached_maps_loops import CachedMapsTrainLoop, CachedMapsValLoop
from .hooks import *  # noqa: F403
from .mixed_precision import Bf16EvaluationHook, Bf16OptimWrapper, Float32OperatorsHook
from .sharded import FSDPStrategy, ShardedRunner

__all__ = [
    'Bf16EvaluationHook',
    'Bf16OptimWrapper',
    'CachedMapsTrainLoop',
    'CachedMapsValLoop',
    'FSDPStrategy',
    'Float32OperatorsHook',
    'ShardedRunner',
]
__all__ += hooks.__all__
