"""What the command-line tools call, and what notebooks and other programs can."""

# The functions, in place of the modules of the same names.
from .chain import train_chain
from .export import export
from .features import extract_features, linear_probe, load_features
from .finetune import finetune
from .inference import Prediction, VGGInferencer, predict
from .test import test, test_config
from .train import train, training_config

__all__ = [
    'Prediction',
    'VGGInferencer',
    'export',
    'extract_features',
    'finetune',
    'linear_probe',
    'load_features',
    'predict',
    'test',
    'test_config',
    'train',
    'train_chain',
    'training_config',
]
