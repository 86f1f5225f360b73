"""Imports what takes long, and checks it, before any module that needs it does."""

from .stack import import_slow_parts

import_slow_parts()
