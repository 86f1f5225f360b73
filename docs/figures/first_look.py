"""The picture at the top of the README: a photo by a classifier at three Q, another by a detector.

    python docs/figures/first_look.py PHOTO CLASSIFIER OTHER_PHOTO DETECTOR --out docs/images

writes ``first_look.jpg``. The classifier's map is of its most probable class; of the detector's
boxes those with a score of ``--score`` or more are drawn. Needs MMDetection.
"""

import argparse
import os
from typing import Any

import cv2
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from vgg_mm.apis.inference.load import load_predictor
from vgg_mm.visualization.style import ORANGE, plot_style

SCALES = (224, 320, 448)

#: Inches: of all panels together, and of their titles.
WIDTH, HEAD = 10.0, 0.3


def maps(photo: str, checkpoint: str) -> tuple[np.ndarray, list[tuple[str, np.ndarray]]]:
    """The photo, and for each Q a title and the map over it, all uint8 (h, w, 3) RGB."""
    panels, shown = [], None
    for q in SCALES:
        predictor = load_predictor(checkpoint, scales=[q])
        (found,) = predictor.predict([photo], 1, with_maps=True, shown=shown)
        shown = found.shown
        pixels = found.photo
        height, width = pixels.shape[:2]
        values = np.uint8(255 * found.score_map.upsampled(shown, height, width))
        colours = cv2.applyColorMap(values, cv2.COLORMAP_VIRIDIS)[..., ::-1]
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., None]
        title = f'Q = {q}: {found.classes[0]} {100 * found.scores[0]:.0f} %'
        panels.append((title, np.uint8(0.6 * colours + 0.4 * grey)))
    return pixels, panels


def boxes(photo: str, checkpoint: str, least: float) -> tuple[np.ndarray, list[tuple[Any, str]]]:
    """The photo, RGB, and the boxes (left, top, right, bottom) with their texts."""
    from mmdet.apis import DetInferencer
    from mmengine.config import Config

    from vgg_mm.checkpoints import load_checkpoint

    text = load_checkpoint(checkpoint)['meta']['cfg']
    cfg = Config.fromstring(text, '.py') if isinstance(text, str) else text
    infer = DetInferencer(cfg, checkpoint, show_progress=False)
    found = infer(photo, out_dir='')['predictions'][0]
    names = infer.model.dataset_meta['classes']
    kept = [
        (box, f'{names[label]} {100 * score:.0f} %')
        for box, label, score in zip(found['bboxes'], found['labels'], found['scores'])
        if score >= least
    ]
    return cv2.imread(photo)[..., ::-1], kept


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
    other, found = boxes(args.other_photo, args.detector, args.score)
    images = [('photo', photo), *panels, ('Faster R-CNN', other)]
    widths = np.array([image.shape[1] / image.shape[0] for _, image in images])
    widths = widths / widths.sum()
    height = WIDTH * widths[0] / (photo.shape[1] / photo.shape[0])
    with plot_style():
        figure = Figure(figsize=(WIDTH, height + HEAD))
        left = 0.0
        for (title, image), width in zip(images, widths):
            share = height / (height + HEAD)
            panel = figure.add_axes((left + 0.004, 0, width - 0.008, share))
            panel.imshow(image, aspect='auto')
            panel.set_title(title, fontsize=9)
            panel.set_axis_off()
            left += width
        for (x, y, right, bottom), text in found:
            panel.add_patch(
                Rectangle((x, y), right - x, bottom - y, fill=False, color=ORANGE, lw=2)
            )
            panel.text(
                x + 4, y + 4, text, va='top', color='white', fontsize=8, weight='bold',
                bbox=dict(facecolor=ORANGE, edgecolor='none', pad=1.5),
            )  # fmt: skip
        path = os.path.join(args.out, 'first_look.jpg')
        figure.savefig(path, dpi=130, pil_kwargs={'quality': 88})
    print(path)


if __name__ == '__main__':
    main()
