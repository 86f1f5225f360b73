from .resumable_sampler import ResumableSampler
from .shape_sampler import ShapeSampler

__all__ = ['ResumableSampler', 'ShapeSampler']
