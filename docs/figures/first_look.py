"""The picture at the top of the README: a photo by a classifier at three Q, another by a detector.

    python docs/figures/first_look.py PHOTO CLASSIFIER OTHER_PHOTO DETECTOR --out docs/images

writes ``first_look.jpg``. The classifier's map is of its most probable class; of the detector's
boxes those with a score of ``--score`` or more are drawn. Needs MMDetection.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import mmengine
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from vgg_mm.apis.inference.load import load_net
from vgg_mm.apis.inference.predictor import Predictor
from vgg_mm.visualization.style import ORANGE, plot_style

SCALES = (224, 320, 448)

TOOL = str(Path(__file__).parents[2] / 'tools' / 'predict.py')

#: Inches: of all panels together, of a panel's title above it, and between panels.
WIDTH, HEAD, GAP = 9.2, 0.3, 0.08


def maps(photo: str, checkpoint: str) -> tuple[np.ndarray, list[tuple[str, np.ndarray]]]:
    """The photo, and for each Q a title and the map over it, all uint8 (h, w, 3) RGB."""
    net = load_net(checkpoint)
    panels, shown = [], None
    for q in SCALES:
        options = dict(score_maps=True, shown_class=shown)
        (found,) = Predictor(net, scales=[q]).predict([photo], 1, **options)
        shown = found.shown_class
        title = f'Q = {q}: {found.classes[0]} {100 * found.scores[0]:.0f} %'
        panels.append((title, found.score_map.over(found.photo, found.shown)))
    return found.photo, panels


def boxes(photo: str, checkpoint: str, least: float) -> list[tuple[list[float], str]]:
    """(left, top, right, bottom) of what a detector finds, with its texts."""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, 'found.json')
        command = [sys.executable, TOOL, photo, checkpoint, '--out', out]
        subprocess.run(command, check=True)
        (image,) = mmengine.load(out)['predictions']
    return [
        (
            [one[side] for side in ('x1', 'y1', 'x2', 'y2')],
            f'{one["class"]} {100 * one["score"]:.0f} %',
        )
        for one in image['found']
        if one['score'] >= least
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('photo')
    parser.add_argument('classifier')
    parser.add_argument('other_photo')
    parser.add_argument('detector')
    parser.add_argument('--score', type=float, default=0.5)
    parser.add_argument('--out', default='docs/images')
    args = parser.parse_args()
    photo, panels = maps(args.photo, args.classifier)
    found = boxes(args.other_photo, args.detector, args.score)
    other = cv2.imread(args.other_photo)[..., ::-1]
    # The photo and its maps two by two, beside them, as high as both rows, the other photo.
    (height, width), (tall, broad) = photo.shape[:2], other.shape[:2]
    shape, other_shape = width / height, broad / tall
    row = (WIDTH - 2 * GAP - (HEAD + GAP) * other_shape) / (2 * shape + 2 * other_shape)
    total = 2 * (HEAD + row) + GAP
    side = row * shape
    places = [(x, y, side, row) for y in (total - HEAD - row, 0) for x in (0, side + GAP)]
    high = total - HEAD
    places.append((2 * (side + GAP), 0, high * other_shape, high))
    images = [('photo', photo), *panels, ('Faster R-CNN', other)]
    with plot_style():
        figure = Figure(figsize=(WIDTH, total))
        for (title, image), (left, bottom, wide, high) in zip(images, places):
            panel = figure.add_axes((left / WIDTH, bottom / total, wide / WIDTH, high / total))
            panel.imshow(image, aspect='auto')
            panel.set_title(title, fontsize=10)
            panel.set_axis_off()
        for (x, y, right, bottom), text in found:
            panel.add_patch(
                Rectangle((x, y), right - x, bottom - y, fill=False, color=ORANGE, lw=2)
            )
            panel.text(
                x + 4, y + 4, text, va='top', color='white', fontsize=10, weight='bold',
                bbox=dict(facecolor=ORANGE, edgecolor='none', pad=1.5),
            )  # fmt: skip
        path = os.path.join(args.out, 'first_look.jpg')
        figure.savefig(path, dpi=120, pil_kwargs={'quality': 88})
    print(path)


if __name__ == '__main__':
    main()
