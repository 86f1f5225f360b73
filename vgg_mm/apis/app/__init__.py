"""``vgg-mm app``: a page in the browser that shows what a net sees, and where."""

from .explorer import Explorer, Look
from .page import serve

__all__ = ['Explorer', 'Look', 'serve']
