from .run import train_chain
from .stages import Stage, load_chain

__all__ = ['Stage', 'load_chain', 'train_chain']
