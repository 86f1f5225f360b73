"""What the command-line tools call, and what notebooks and other programs can."""

# The functions replace the modules of the same names.
from .chain import train_chain
from .features import extract_features, linear_probe, load_features
from .inference import Prediction, VGGInferencer, predict
from .testing import test, test_config
from .training import train, training_config

__all__ = [
    'Prediction',
    'VGGInferencer',
    'extract_features',
    'linear_probe',
    'load_features',
    'predict',
    'test',
    'test_config',
    'train',
    'train_chain',
    'training_config',
]
