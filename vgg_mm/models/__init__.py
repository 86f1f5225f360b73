from .backbones import VGG
from .heads import ConvHead, LocalisationHead
from .tta import LocalisationTTA, PaperTTA

__all__ = ['VGG', 'ConvHead', 'LocalisationHead', 'LocalisationTTA', 'PaperTTA']
