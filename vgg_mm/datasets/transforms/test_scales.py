"""What the paper's test protocols look at (Section 3.2)."""

from collections.abc import Sequence
from typing import Union

import mmcv
from mmcv.transforms import BaseTransform

from vgg_mm.registry import TRANSFORMS

from .rescale import rescaled_size


@TRANSFORMS.register_module()
class TestScales(BaseTransform):
    """The whole image, rescaled isotropically so that its smaller side is Q, for each Q.

    Required key: ``img``. Modified: ``img``, a list of images, one per Q, of the same type.

    Args:
        scales: Q, or several, in pixels.

    Raises:
        ValueError: if there is no Q or one that is not a positive integer.
    """

    __test__ = False  # not a test case, whatever its name looks like to pytest

    def __init__(self, scales: Union[int, Sequence[int]]):
        self.scales = (scales,) if isinstance(scales, int) else tuple(scales)
        if not self.scales or not all(isinstance(q, int) and q > 0 for q in self.scales):
            raise ValueError(f'TestScales: scales must be positive integers, got {scales}')

    def transform(self, results: dict) -> dict:
        img = results['img']
        sizes = [rescaled_size(*img.shape[:2], q) for q in self.scales]
        results['img'] = [mmcv.imresize(img, size[::-1]) for size in sizes]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(scales={self.scales})'
