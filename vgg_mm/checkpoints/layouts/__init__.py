"""Other libraries' names for the layers of VGG: one module and one table each."""

from .layout import Layout, Table
from .own import has_own_names
from .recognition import LAYOUTS, Recognised, recognise, to_own_layout, unknown_layout

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
