"""What the command-line tools call, and what notebooks and other programs can."""

# The functions, in place of the modules of the same names.
from .features import extract_features, linear_probe, load_features
from .inference import Prediction, VGGInferencer, predict

__all__ = [
    'Prediction',
    'VGGInferencer',
    'extract_features',
    'linear_probe',
    'load_features',
    'predict',
]
