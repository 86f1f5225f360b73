"""``tools/check_dataset.py``: what is wrong with an image data set, ahead of training."""

from .report import check_dataset

__all__ = ['check_dataset']
