"""Importing the package changes nothing in MMDetection and MMSegmentation."""

from tests.downstream import need

need('mmdet')
need('mmseg')

from tests.test_guest import compare  # noqa: E402


def test_other_packages_are_not_changed():
    compare('mmdet', 'mmseg', 'mmengine', 'mmcv', 'mmpretrain', 'torch', 'torchvision')
