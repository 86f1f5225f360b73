"""Other libraries' names for the layers of VGG, and weights in this package's."""

from .recognition import has_own_names, recognise, to_own_layout, unknown_layout

__all__ = ['has_own_names', 'recognise', 'to_own_layout', 'unknown_layout']
