from .build import available, install

__all__ = ['available', 'install']
