"""Images whose channels lie one after the other in memory, as a network takes them.

Crops are made so, seen as (H, W, C): MMPretrain's ``PackInputs``, which turns them into (C, H, W),
then has nothing to copy.
"""

import cv2
import numpy as np


def to_planes(img: np.ndarray) -> np.ndarray:
    """(H, W, C) -> (C, H, W), contiguous; no copy where the image lies like this already."""
    planes = img.transpose(2, 0, 1)
    if not planes.flags.c_contiguous:
        planes = np.empty(planes.shape, img.dtype)
        cv2.split(img, list(planes))
    return planes


def from_planes(planes: np.ndarray) -> np.ndarray:
    """(C, H, W) -> the same memory as (H, W, C)."""
    return planes.transpose(1, 2, 0)
