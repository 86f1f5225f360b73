"""Importing the package changes nothing in MMDetection and MMSegmentation."""

from tests.downstream import need

need('mmdet')
need('mmseg')

from tests.test_guest import compare  # noqa: E402


def test_nothing_of_others_is_changed():
    compare('mmdet', 'mmseg', 'mmengine', 'mmcv', 'mmpretrain', 'torch', 'torchvision')
