from .central_crop import CentralCrop
from .loading import LoadImage
from .map_labels import MapLabels
from .pca_shift import PCAShift
from .random_horizontal_flip import RandomHorizontalFlip
from .scale_jitter import ScaleJitter
from .test_scales import TestScales

__all__ = [
    'CentralCrop',
    'LoadImage',
    'MapLabels',
    'PCAShift',
    'RandomHorizontalFlip',
    'ScaleJitter',
    'TestScales',
]
