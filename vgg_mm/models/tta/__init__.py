from .paper_tta import PaperTTA

__all__ = ['PaperTTA']
