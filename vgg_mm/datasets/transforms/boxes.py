"""Boxes in images that are rescaled and cropped: x1 y1 x2 y2, pixel edges at whole numbers."""

import numpy as np

#: Key of an image's boxes, as MMDetection names it: (N, 4) float32.
BOXES = 'gt_bboxes'


def move_boxes(
    boxes: np.ndarray, scale: tuple[float, float], corner: tuple[int, int]
) -> np.ndarray:
    """Boxes of an image in the coordinates of a crop; they may reach beyond it.

    Args:
        boxes: (N, 4) in pixels of the image.
        scale: (x, y), rescaled over original size.
        corner: (top, left) of the crop in the rescaled image.
    """
    top, left = corner
    return (boxes * (*scale, *scale) - (left, top, left, top)).astype(np.float32)


def visible_shares(boxes: np.ndarray, crop_size: int) -> np.ndarray:
    """How much of each box a crop shows, (N,) in [0, 1].

    The area of box and crop together, over that of the smaller of the two, so that a box around
    the whole crop has 1. 0 for a box without area.

    Args:
        boxes: (N, 4) in the crop's coordinates.
        crop_size: Its side in pixels.
    """
    inside = np.clip(boxes.astype(np.float64), 0, crop_size)
    shown, whole = (
        np.prod(np.clip(b[:, 2:] - b[:, :2], 0, None), axis=1)
        for b in (inside, boxes.astype(np.float64))
    )
    smaller = np.minimum(whole, float(crop_size) ** 2)
    return np.divide(shown, smaller, out=np.zeros_like(shown), where=smaller > 0)
