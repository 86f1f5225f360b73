from vgg_mm import slow_imports  # noqa: F401  (first: the modules below need them)

from . import transforms
from .class_names import MapLabels
from .coco_boxes import CocoBoxes
from .imagenet_boxes import ImageNetBoxes
from .samplers import ResumableSampler, SeededDataset, ShapeSampler
from .tar_shards import TarShards
from .transforms import *  # noqa: F403

__all__ = [
    'CocoBoxes',
    'ImageNetBoxes',
    'MapLabels',
    'ResumableSampler',
    'SeededDataset',
    'ShapeSampler',
    'TarShards',
]
__all__ += transforms.__all__
