"""Labels of a data set as those of a net with further classes."""

from collections.abc import Sequence

from mmcv.transforms import BaseTransform

from vgg_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class MapLabels(BaseTransform):
    """Give ``gt_label`` the number that the net has for the class.

    Args:
        numbers: The net's number of each of the data set's classes.
    """

    def __init__(self, numbers: Sequence[int]):
        self.numbers = list(numbers)

    def transform(self, results: dict) -> dict:
        results['gt_label'] = self.numbers[results['gt_label']]
        return results
