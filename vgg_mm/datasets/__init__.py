from .samplers import ShapeSampler
from .transforms import LoadImage, PCAShift, ScaleJitter, TestScales

__all__ = ['LoadImage', 'PCAShift', 'ScaleJitter', 'ShapeSampler', 'TestScales']
