"""``studies/run.py``: which claims of the paper hold on other images, by a fixed rule."""

from .run import run_study

__all__ = ['run_study']
