from .atomic_write import (
    AtomicLocalBackend,
    check_room,
    write_atomically,
    write_checkpoints_atomically,
)
from .last_whole import LAST_CHECKPOINT, is_whole, last_whole_checkpoint, named_checkpoint
from .safe_load import load_checkpoint
from .schemes import load_checkpoints_safely
from .weights import fits, weights_of

__all__ = [
    'LAST_CHECKPOINT',
    'AtomicLocalBackend',
    'check_room',
    'fits',
    'is_whole',
    'last_whole_checkpoint',
    'load_checkpoint',
    'load_checkpoints_safely',
    'named_checkpoint',
    'weights_of',
    'write_atomically',
    'write_checkpoints_atomically',
]
