"""Features for other data (paper, Appendix B), and a linear classifier on them."""

from .files import Features, load_features
from .probe import linear_probe, probe_files
from .result import ProbeResult
from .run import Extraction, extract_features, extract_files

__all__ = [
    'Extraction',
    'Features',
    'ProbeResult',
    'extract_features',
    'extract_files',
    'linear_probe',
    'load_features',
    'probe_files',
]
