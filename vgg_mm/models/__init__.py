from vgg_mm import slow_imports  # noqa: F401  (first: the modules below need them)

from .backbones import VGG
from .downstream import SSDVGG
from .heads import ConvHead, LocalisationHead
from .tta import LocalisationTTA, PaperTTA

__all__ = [
    'SSDVGG',
    'VGG',
    'ConvHead',
    'LocalisationHead',
    'LocalisationTTA',
    'PaperTTA',
]
