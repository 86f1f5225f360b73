"""Faster forms of plain layers, and :func:`accelerate`, which puts them into a model.

``models`` does not depend on them; the tools put them in (``--kernels auto``, the default) or
leave them out (``--kernels plain``).
"""

from vgg_mm import slow_imports  # noqa: F401  (first: the modules below need them)

from .acceleration import accelerate
from .lrn import BandLocalResponseNorm
from .max_pool import LeanMaxPool2d
from .winograd import WinogradConv2d

__all__ = ['BandLocalResponseNorm', 'LeanMaxPool2d', 'WinogradConv2d', 'accelerate']
