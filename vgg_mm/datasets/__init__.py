from vgg_mm import slow_imports  # noqa: F401  (first: the modules below need them)

from .coco_boxes import CocoBoxes
from .imagenet_boxes import ImageNetBoxes
from .samplers import ResumableSampler, ShapeSampler
from .seeded_dataset import SeededDataset
from .tar_shards import TarShards
from .transforms import (
    CentralCrop,
    LoadImage,
    MapLabels,
    PCAShift,
    RandomHorizontalFlip,
    ScaleJitter,
    TestScales,
)

__all__ = [
    'CentralCrop',
    'CocoBoxes',
    'ImageNetBoxes',
    'LoadImage',
    'MapLabels',
    'PCAShift',
    'RandomHorizontalFlip',
    'ResumableSampler',
    'ScaleJitter',
    'SeededDataset',
    'ShapeSampler',
    'TarShards',
    'TestScales',
]
