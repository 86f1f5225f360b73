"""Other libraries' names for the layers of VGG, and weights in this package's."""

from .layout import Layout, Table
from .libraries import LAYOUTS
from .recognition import Recognised, has_own_names, recognise, to_own_layout, unknown_layout

__all__ = [
    'LAYOUTS',
    'Layout',
    'Recognised',
    'Table',
    'has_own_names',
    'recognise',
    'to_own_layout',
    'unknown_layout',
]
