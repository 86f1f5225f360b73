"""What the command-line tools call, and what notebooks and other programs can."""

# The function, in place of the module of the same name.
from .predict import Prediction, VGGInferencer, predict

__all__ = ['Prediction', 'VGGInferencer', 'predict']
