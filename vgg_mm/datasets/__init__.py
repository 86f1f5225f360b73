from .transforms import LoadImage, PCAShift, ScaleJitter, TestScales

__all__ = ['LoadImage', 'PCAShift', 'ScaleJitter', 'TestScales']
