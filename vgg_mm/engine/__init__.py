from .hooks import CheckpointCheckHook, ClassCheckHook, StagedInitHook
from .optimizers import Bf16OptimWrapper

__all__ = ['Bf16OptimWrapper', 'CheckpointCheckHook', 'ClassCheckHook', 'StagedInitHook']
