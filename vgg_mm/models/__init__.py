from .backbones import VGG
from .heads import ConvHead
from .tta import PaperTTA

__all__ = ['VGG', 'ConvHead', 'PaperTTA']
