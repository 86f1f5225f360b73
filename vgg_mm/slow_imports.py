"""Checks and imports the slow packages before any module that needs them."""

from .stack import import_slow_parts

import_slow_parts()
