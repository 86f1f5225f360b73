"""``studies/run.py``: check by a fixed rule which claims of the paper hold on other images."""

from .run import run_study

__all__ = ['run_study']
