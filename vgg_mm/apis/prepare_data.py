"""``tools/prepare_data.py``: write embedded data as class folders."""

import os

import cv2
import numpy as np

#: The last 360 digits were written by other people than the rest.
DIGITS_TEST = 360


def prepare_digits(folder: str) -> dict[str, int]:
    """Write scikit-learn's 1,797 handwritten digits as FOLDER/{train,val}/DIGIT/NUMBER.png.

    Each is 8x8 pixels of 17 grey levels, stretched to [0, 255]. The last 360 are the test set.

    Args:
        folder: Created if missing; files already there are written again.

    Returns:
        Number of images per split.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    first_test = len(pixels) - DIGITS_TEST
    for index, (image, label) in enumerate(zip(pixels, digits.target)):
        split = 'train' if index < first_test else 'val'
        path = os.path.join(folder, split, str(label), f'{index:04d}.png')
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if not cv2.imwrite(path, image):
            raise OSError(f'cannot write {path}')
    return {'train': first_test, 'val': DIGITS_TEST}
