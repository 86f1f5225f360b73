from .build import install

__all__ = ['install']
