from .shape_sampler import ShapeSampler

__all__ = ['ShapeSampler']
