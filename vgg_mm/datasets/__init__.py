from .samplers import ResumableSampler, ShapeSampler
from .seeded_dataset import SeededDataset
from .tar_shards import TarShards
from .transforms import LoadImage, PCAShift, ScaleJitter, TestScales

__all__ = [
    'LoadImage',
    'PCAShift',
    'ResumableSampler',
    'ScaleJitter',
    'SeededDataset',
    'ShapeSampler',
    'TarShards',
    'TestScales',
]
