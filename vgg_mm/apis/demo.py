"""scikit-learn's digits as class folders, and ``make demo``: from them to a table of errors."""

import os

import cv2
import numpy as np

from .chain import train_chain
from .tables import say

CHAIN = 'vgg16_digits'

#: The last 360 digits were written by other people than the rest.
DIGITS_TEST = 360


def prepare_digits(folder: str) -> None:
    """Write scikit-learn's 1,797 handwritten digits as FOLDER/{train,val}/DIGIT/NUMBER.png.

    Each is 8x8 pixels of 17 grey levels, stretched to [0, 255]. The last 360 are the test set.

    Args:
        folder: Created if missing; files already there are written again.
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
    say(f'{folder}: {first_test} training and {DIGITS_TEST} test images')


def demo(work_dir: str = 'work_dirs/demo', data_root: str = 'data/digits') -> None:
    """Train A, then D from A, and test both: a chain of two stages.

    Args:
        work_dir: Folder for checkpoints and logs. Runs that are finished there are used, ones that
            were interrupted are resumed.
        data_root: Folder for the digits.
    """
    prepare_digits(data_root)
    train_chain(CHAIN, work_dir, {'DATA_ROOT': data_root})
    say('The test images are the last 360 digits, by other writers than the training images.')
