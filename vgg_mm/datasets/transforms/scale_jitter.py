"""Training crops at a fixed or jittered scale (paper, Section 3.1)."""

from collections.abc import Sequence
from typing import Union

import numpy as np
from mmcv.transforms.utils import cache_randomness

from vgg_mm.registry import TRANSFORMS

from .boxes import BOXES, move_boxes, visible_shares
from .rescale import rescaled_size, scale_bounds
from .rescaling_step import RescalingStep, crop_rescaled

#: So often a crop is drawn in search of one that shows a box.
MOST_DRAWS = 10


@TRANSFORMS.register_module()
class ScaleJitter(RescalingStep):
    """Rescale the smaller side to S, then take one random crop.

    S is fixed, or an integer drawn uniformly from [S_min, S_max] for each image; the crop's place
    is uniform over the rescaled image. Both steps are one resampling of the cropped region, so
    that no full-size image is made; the pixels are those of rescaling, then cropping, as
    :class:`CentralCrop` and :class:`TestScales` do for testing: bilinear, antialiased.

    Required keys: ``img``, (H, W) or (H, W, C), or what ``vgg_mm.LoadImage(lazy=True)`` leaves
    undecoded. Modified: ``img``, (crop_size, crop_size[, C]), channel by channel in memory, and
    ``img_shape``; where there are, ``gt_bboxes``, (N, 4) x1 y1 x2 y2, which come out in the crop's
    coordinates, all of them, also where they reach beyond the crop. Added: ``scale``, the rescaled
    (width, height), and ``scale_factor``, that over the original (width, height).

    Args:
        scale: S, or (S_min, S_max), in pixels.
        crop_size: Side of the crop in pixels.
        min_visible: The crop shows at least this share of one of the boxes (of the area of the box
            or of the crop, whichever is smaller), 0 to 1. Crops that do not are drawn again, ten
            times at most; then that of the ten which shows most is taken.

    Raises:
        ValueError: if ``scale`` is not S or S_min <= S_max, or is below ``crop_size``, or
            ``min_visible`` is not in [0, 1]; if it is above 0 and the data set gives no boxes.
    """

    def __init__(
        self, scale: Union[int, Sequence[int]], crop_size: int = 224, min_visible: float = 0
    ):
        bounds = scale_bounds(scale)
        if len(bounds) != 2 or not all(isinstance(s, int) for s in bounds) or bounds[0] > bounds[1]:
            raise ValueError(
                f'ScaleJitter: scale must be an integer S or a pair (S_min, S_max), got {scale}'
            )
        if not isinstance(crop_size, int) or crop_size < 1:
            raise ValueError(f'ScaleJitter: crop_size must be a positive integer, got {crop_size}')
        if bounds[0] < crop_size:
            raise ValueError(
                f'ScaleJitter: S must be at least crop_size, got S={bounds[0]} and '
                f'crop_size={crop_size}; raise scale or lower crop_size'
            )
        if not isinstance(min_visible, (int, float)) or not 0 <= min_visible <= 1:
            raise ValueError(f'ScaleJitter: min_visible must be in [0, 1], got {min_visible!r}')
        self.scale = bounds
        self.crop_size = crop_size
        self.min_visible = min_visible

    @cache_randomness
    def _draw(self, height: int, width: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """The rescaled (height, width) and the crop's (top, left) in it."""
        smaller_side = np.random.randint(self.scale[0], self.scale[1] + 1)
        size = rescaled_size(height, width, smaller_side)
        top, left = (np.random.randint(0, side - self.crop_size + 1) for side in size)
        return size, (top, left)

    def _draw_showing(
        self, height: int, width: int, boxes: np.ndarray
    ) -> tuple[tuple[int, int], tuple[int, int]]:
        """:meth:`_draw`, again and again until a box is visible."""
        draws = []
        for _ in range(MOST_DRAWS):
            size, corner = self._draw(height, width)
            moved = move_boxes(boxes, (size[1] / width, size[0] / height), corner)
            shown = visible_shares(moved, self.crop_size).max()
            draws.append((shown, size, corner))
            if shown >= self.min_visible:
                break
        return max(draws, key=lambda draw: draw[0])[1:]

    def _rescale(self, results: dict) -> dict:
        height, width = results['img'].shape[:2]
        boxes = results.get(BOXES)
        if self.min_visible > 0 and boxes is None:
            raise ValueError(
                f'ScaleJitter: min_visible={self.min_visible} needs gt_bboxes, which the data set '
                'does not give (vgg_mm.CocoBoxes and vgg_mm.ImageNetBoxes do)'
            )
        if self.min_visible > 0 and boxes is not None and len(boxes):
            size, corner = self._draw_showing(height, width, boxes)
        else:
            size, corner = self._draw(height, width)
        return crop_rescaled(results, size, corner, self.crop_size)

    def __repr__(self) -> str:
        visible = f', min_visible={self.min_visible}' if self.min_visible else ''
        return f'{type(self).__name__}(scale={self.scale}, crop_size={self.crop_size}{visible})'
