"""vgg_mm: VGG for MMPretrain as its authors ran it (arXiv 1409.1556).

Importing the package registers everything under the scope ``vgg_mm``; configs do it with
``custom_imports = dict(imports=['vgg_mm'])``. MMPretrain's lists of models then know its models.
"""

from .stack import check_stack
from .version import __version__

check_stack()

from . import (  # noqa: E402  (only on a checked stack)
    datasets,
    engine,
    evaluation,
    models,
    visualization,
    zoo,
)

zoo.register()

__all__ = ['__version__', 'datasets', 'engine', 'evaluation', 'models', 'visualization', 'zoo']
