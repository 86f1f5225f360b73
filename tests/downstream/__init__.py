"""Tests of VGG in MMDetection and MMSegmentation; skipped where these are not installed."""

import pytest

from vgg_mm.stack import import_downstream


def need(package):
    """Skip a test module if mmdet or mmseg, or one of their dependencies, is not installed."""
    try:
        import_downstream(package, 'this test')
    except ImportError as error:
        pytest.skip(str(error), allow_module_level=True)
