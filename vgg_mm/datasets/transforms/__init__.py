from .loading import LoadImage
from .pca_shift import PCAShift
from .random_horizontal_flip import RandomHorizontalFlip
from .rescale import CentralCrop, ScaleJitter, TestScales

__all__ = [
    'CentralCrop',
    'LoadImage',
    'PCAShift',
    'RandomHorizontalFlip',
    'ScaleJitter',
    'TestScales',
]
