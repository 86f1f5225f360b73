"""VGG in MMDetection and MMSegmentation.

Neither is imported, or needed, before one of the names of :data:`PARTS` is used: by
``type='vgg_mm.NAME'`` in a config or by ``from vgg_mm.models.downstream import NAME``.
"""

from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

from vgg_mm.registry import MODELS
from vgg_mm.stack import import_downstream

from .ssd_vgg import SSDVGG


class Part(NamedTuple):
    """A class of this folder."""

    module: str
    package: str  # what it is for, and built on


#: The classes that need another package.
PARTS = {
    'SSDHead': Part('detection', 'mmdet'),
    'FCNHead': Part('segmentation', 'mmseg'),
    'LargeFOVHead': Part('segmentation', 'mmseg'),
    'VGGBBoxHead': Part('detection', 'mmdet'),
}


def load(name: str) -> type:
    """The class of that name in :data:`PARTS`; an ImportError of one line where it cannot be."""
    part = PARTS[name]
    import_downstream(part.package, f'vgg_mm.{name}')
    return getattr(import_module(f'{__name__}.{part.module}'), name)


def __getattr__(name: str) -> Any:
    if name not in PARTS:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return load(name)


for _name in PARTS:
    MODELS.register_lazily(_name, partial(load, _name))

__all__ = ['PARTS', 'SSDVGG', *PARTS]
