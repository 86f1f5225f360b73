"""``tools/rgb_statistics.py``: mean RGB and principal components of your own images."""

import json
import os
from collections.abc import Iterable
from typing import Any, NamedTuple, Optional, Union

import numpy as np

from vgg_mm.checkpoints import write_atomically
from vgg_mm.datasets import LoadImage
from vgg_mm.installation import argument
from vgg_mm.progress import Progress, with_progress

from .image_folders import find_images
from .inference.report import check_out


class RGBStatistics(NamedTuple):
    """Statistics over all pixels of all images.

    ``mean`` is (R, G, B) in grey levels of [0, 255]. ``eigval`` are the eigenvalues of the
    covariance of RGB in [0, 1], times 255, largest first, as ``vgg_mm.PCAShift`` takes them; the
    columns of ``eigvec`` (rows R, G, B) are the components, each with its largest entry positive.
    """

    mean: np.ndarray
    eigval: np.ndarray
    eigvec: np.ndarray
    images: int
    pixels: int


def rgb_statistics(paths: Iterable[str]) -> RGBStatistics:
    """Mean and principal components of RGB over all pixels; one image is in memory at a time.

    Raises:
        ValueError, FileNotFoundError: naming the file, if an image cannot be read.
    """
    load: Any = LoadImage()  # which gives None only if it is to skip what it cannot read
    images = pixels = 0
    total, products = np.zeros(3), np.zeros((3, 3))
    for path in paths:
        rgb = load.transform(dict(img_path=path))['img'][..., ::-1].reshape(-1, 3)
        values = rgb.astype(np.float64)
        images, pixels = images + 1, pixels + len(values)
        total += values.sum(axis=0)
        products += values.T @ values
    mean = total / pixels
    variances, eigvec = np.linalg.eigh(products / pixels - np.outer(mean, mean))
    order = np.argsort(variances)[::-1]
    # Rounding can leave a variance of zero slightly negative. From squared grey levels to [0, 1]
    # is a division by 255^2, and PCAShift's unit is 255 times that.
    eigval = np.maximum(variances[order], 0) / 255
    eigvec = eigvec[:, order]
    largest = eigvec[np.abs(eigvec).argmax(axis=0), range(3)]
    return RGBStatistics(mean, eigval, eigvec * np.sign(largest), images, pixels)


def report(
    folder: Union[str, os.PathLike],
    out: Union[str, os.PathLike, None] = None,
    max_images: Optional[int] = None,
) -> str:
    """Measure a folder; returns what to paste into a config.

    Args:
        folder: Searched recursively.
        out: A JSON file for the numbers.
        max_images: Use at most this many images, evenly spaced over the folder.
    """
    if out is not None:
        out = os.fspath(out)
        check_out(out, ('.json',))
    paths = find_images(os.fspath(folder))
    if max_images is not None and max_images < len(paths):
        if max_images < 1:
            raise ValueError(f'{argument("max_images")} must be positive, got {max_images}')
        paths = [paths[i * len(paths) // max_images] for i in range(max_images)]
    result = rgb_statistics(with_progress(paths, Progress(len(paths))))
    numbers = dict(
        mean=np.round(result.mean, 3).tolist(),
        eigval=np.round(result.eigval, 4).tolist(),
        eigvec=np.round(result.eigvec, 4).tolist(),
    )
    if out is not None:
        content = dict(numbers, images=result.images, pixels=result.pixels)
        write_atomically(out, json.dumps(content, indent=1).encode())
    return (
        f'{result.images} images, {result.pixels:,} pixels below {folder}\n\n'
        f'model = dict(data_preprocessor=dict(mean={numbers["mean"]}))\n\n'
        'dict(\n'
        "    type='vgg_mm.PCAShift',\n"
        f'    eigval={numbers["eigval"]},\n'
        f'    eigvec={numbers["eigvec"]},\n'
        ')'
    )
