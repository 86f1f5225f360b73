"""VGG in MMDetection and MMSegmentation; skipped, with the reason, where they are missing."""

import pytest

from vgg_mm.stack import import_downstream


def need(package):
    """Skip the rest of a test module where mmdet or mmseg, or what they need, is missing."""
    try:
        import_downstream(package, 'this test')
    except ImportError as error:
        pytest.skip(str(error), allow_module_level=True)
