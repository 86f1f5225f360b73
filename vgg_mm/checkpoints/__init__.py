from .safe_load import load_checkpoint, load_checkpoints_safely
from .weights import fits, weights_of

__all__ = ['fits', 'load_checkpoint', 'load_checkpoints_safely', 'weights_of']
