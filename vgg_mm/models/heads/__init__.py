from .conv_head import ConvHead
from .localisation_head import LocalisationHead

__all__ = ['ConvHead', 'LocalisationHead']
