"""vgg_mm: VGG for MMPretrain as its authors ran it (arXiv 1409.1556).

Importing the package registers everything under the scope ``vgg_mm``; configs do it with
``custom_imports = dict(imports=['vgg_mm'])``. MMPretrain's lists of models then include its models.
The modules themselves are imported when something in them is first requested, by name in a
registry or as ``vgg_mm.models``: with them come all of MMPretrain's models.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if __name__ != 'vgg_mm':
    raise ImportError(
        f'the package is imported as {__name__}, from the folder above a checkout that is not '
        'installed: pip install -e CHECKOUT, or put the checkout into PYTHONPATH'
    )

from .stack import check_stack  # noqa: E402
from .version import __version__  # noqa: E402

check_stack()

from . import registry, zoo  # noqa: E402  (only on a checked stack)

if TYPE_CHECKING:
    from . import apis, checkpoints, datasets, engine, evaluation, kernels, models, visualization

zoo.register()

__all__ = [
    '__version__',
    'apis',
    'checkpoints',
    'datasets',
    'engine',
    'evaluation',
    'kernels',
    'models',
    'registry',
    'visualization',
    'zoo',
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return import_module(f'{__name__}.{name}')
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
