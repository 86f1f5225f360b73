"""``tools/export.py``: weights and graphs for other programs."""

from .graph import ExportGraph
from .run import export
from .source import Classifier, load_classifier
from .torchvision_layout import torchvision_names, torchvision_state

__all__ = [
    'Classifier',
    'ExportGraph',
    'export',
    'load_classifier',
    'torchvision_names',
    'torchvision_state',
]
