from .checkpoint_check_hook import CheckpointCheckHook
from .class_check_hook import ClassCheckHook
from .staged_init_hook import StagedInitHook

__all__ = ['CheckpointCheckHook', 'ClassCheckHook', 'StagedInitHook']
