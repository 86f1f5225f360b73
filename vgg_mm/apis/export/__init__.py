"""``tools/export.py``: weights and graphs for other programs."""

from .graph import Classifier, ExportGraph, load_classifier
from .run import export
from .torchvision_layout import torchvision_names, torchvision_state

__all__ = [
    'Classifier',
    'ExportGraph',
    'export',
    'load_classifier',
    'torchvision_names',
    'torchvision_state',
]
