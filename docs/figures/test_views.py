"""Pictures of what dense and multi-crop evaluation see of a photo (paper, Section 3.2).

    python docs/figures/test_views.py PHOTO --out docs/images

writes ``test_dense.jpg``, ``test_multi_crop.jpg`` and ``test_context.jpg``.
"""

import argparse
import os
from collections.abc import Sequence

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from vgg_mm.architectures import STRIDE
from vgg_mm.datasets.transforms.rescale import paper_test_scales, rescaled_size
from vgg_mm.models.backbones import VGG
from vgg_mm.models.tta.paper_tta import crop_corners
from vgg_mm.visualization.style import BLUE, PINK, plot_style

CROP = 224
SCALES = paper_test_scales((256, 512), several=True)
FIRST, OTHERS = PINK, BLUE


def dense_windows(height: int, width: int) -> list[tuple[int, int]]:
    """(top, left) of the 224 x 224 pixels that each position of the class score map stands for."""
    return [
        (row * STRIDE, column * STRIDE)
        for row in range((height - CROP) // STRIDE + 1)
        for column in range((width - CROP) // STRIDE + 1)
    ]


def rescale(photo: np.ndarray, scale: int) -> np.ndarray:
    height, width = rescaled_size(*photo.shape[:2], scale)
    return cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA)


def draw_windows(photo: np.ndarray, path: str, places, title: str) -> None:
    """One panel for each Q, all at the same number of pixels an inch."""
    images = [rescale(photo, scale) for scale in SCALES]
    widths = [image.shape[1] for image in images]
    with plot_style():
        figure = Figure(figsize=(9, 9 * images[-1].shape[0] / sum(widths) + 0.6))
        left = 0.0
        for scale, image in zip(SCALES, images):
            height, width = (side / sum(widths) for side in image.shape[:2])
            height *= 9 / figure.get_figheight()
            axes = figure.add_axes((left + 0.004, 0.01, width - 0.008, height))
            left += width
            corners = places(*image.shape[:2])
            _show(axes, image, corners)
            axes.set_title(title.format(q=scale, count=len(corners)))
        figure.savefig(path, pil_kwargs={'quality': 85})


def _show(axes: Axes, image: np.ndarray, corners: Sequence[tuple[int, int]]) -> None:
    axes.imshow(image, alpha=0.75, aspect='auto')
    axes.set_axis_off()
    for top, left in corners[1:]:
        axes.add_patch(Rectangle((left, top), CROP, CROP, fill=False, ec=OTHERS, lw=0.7, alpha=0.6))
    top, left = corners[0]
    axes.add_patch(Rectangle((left, top), CROP, CROP, fill=False, ec=FIRST, lw=2))
    centres = np.array(corners) + CROP / 2
    axes.plot(centres[:, 1], centres[:, 0], 'o', color=OTHERS, ms=3.5, mec='white', mew=0.6)
    axes.plot(*centres[0, ::-1], 'o', color=FIRST, ms=5, mec='white', mew=0.8)
    # What was drawn last would move the borders.
    axes.set(xlim=(0, image.shape[1]), ylim=(image.shape[0], 0))


def draw_context(photo: np.ndarray, path: str) -> None:
    """What net D's last pooling sees: around a crop zeros, around a dense window the photo."""
    reach = VGG(arch='D', base_channels=1).reach
    scale = SCALES[1]
    image = rescale(photo, scale)
    top, left = ((side - CROP) // 2 // STRIDE * STRIDE for side in image.shape[:2])
    crop = image[top : top + CROP, left : left + CROP]
    # The mean is subtracted first, so that the zeros of the convolutions' padding are mean grey.
    grey = np.full((CROP + 2 * reach, CROP + 2 * reach, 3), (124, 117, 104), np.uint8)
    crop_seen, dense_seen = grey.copy(), grey
    crop_seen[reach : reach + CROP, reach : reach + CROP] = crop
    ys, xs = (np.arange(-reach, CROP + reach) + start for start in (top, left))
    inside_y, inside_x = ((i >= 0) & (i < side) for i, side in zip((ys, xs), image.shape[:2]))
    dense_seen[np.ix_(inside_y, inside_x)] = image[np.ix_(ys[inside_y], xs[inside_x])]
    with plot_style():
        figure = Figure(figsize=(6.4, 3.5), layout='constrained')
        for axes, seen, name in zip(
            figure.subplots(1, 2), (crop_seen, dense_seen), ('a crop', 'a window of the dense net')
        ):
            axes.imshow(seen)
            axes.add_patch(Rectangle((reach, reach), CROP, CROP, fill=False, ec=FIRST, lw=2))
            axes.set_axis_off()
            axes.set_title(f'{name} at Q = {scale}')
        figure.savefig(path, pil_kwargs={'quality': 85})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('photo', help='image file')
    parser.add_argument('--out', required=True, metavar='FOLDER', help='folder for the pictures')
    args = parser.parse_args()
    photo = cv2.imread(args.photo)
    if photo is None:
        parser.error(f'not an image that can be read: {args.photo}')
    photo = cv2.cvtColor(photo, cv2.COLOR_BGR2RGB)
    os.makedirs(args.out, exist_ok=True)
    draw_windows(
        photo, os.path.join(args.out, 'test_dense.jpg'), dense_windows,
        'Q = {q}: {count} positions',
    )  # fmt: skip
    draw_windows(
        photo, os.path.join(args.out, 'test_multi_crop.jpg'),
        lambda height, width: list(crop_corners(height, width, CROP, (5, 5))),
        'Q = {q}: {count} crops',
    )  # fmt: skip
    draw_context(photo, os.path.join(args.out, 'test_context.jpg'))


if __name__ == '__main__':
    main()
