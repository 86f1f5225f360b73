from .backbones import VGG
from .downstream import SSDVGG
from .heads import ConvHead, LocalisationHead
from .tta import LocalisationTTA, PaperTTA
from .winograd import WinogradConv2d

__all__ = [
    'SSDVGG',
    'VGG',
    'ConvHead',
    'LocalisationHead',
    'LocalisationTTA',
    'PaperTTA',
    'WinogradConv2d',
]
