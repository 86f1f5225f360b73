"""``tools/predict.py``: the classes of images by the paper's protocols, and where they are seen."""

from .inferencer import VGGInferencer
from .prediction import Prediction, ScoreMap
from .predictor import load_predictor
from .run import predict, predict_files

__all__ = ['Prediction', 'ScoreMap', 'VGGInferencer', 'load_predictor', 'predict', 'predict_files']
