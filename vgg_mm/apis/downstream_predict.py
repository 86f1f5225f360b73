"""``tools/predict.py`` on detectors and segmentors, by their packages' own inferencers."""

import csv
import io
import json
import os
from collections.abc import Callable, Iterator
from typing import Any, Optional

import numpy as np
from mmengine.config import Config
from mmengine.registry import DefaultScope

from vgg_mm.checkpoints import loading_safely, run_checkpoint, write_atomically
from vgg_mm.datasets import LoadImage

from .downstream import check_package
from .progress import with_progress
from .subprocess_tools import interruptible
from .tables import format_table, say

#: Boxes with a lower score are neither drawn nor listed, as in MMDetection's demos.
LEAST_SCORE = 0.3

#: So many of an image's boxes or classes are in the table; the file has all.
LISTED = 5

#: A result: what is found in an image, each with its class and numbers.
Found = list[dict[str, Any]]


def refuse_classifiers_options(options: dict[str, Any]) -> None:
    """Raise ValueError, in one line, on options of ``predict.py`` that these nets do not have."""
    defaults = dict(protocol='dense', scales=None, top=5, shown_class=None)
    wrong = [name for name, value in defaults.items() if options.get(name, value) != value]
    if wrong:
        names = ', '.join(f'--{name.removeprefix("shown_")}' for name in wrong)
        raise ValueError(
            f'{names}: for classifiers, and this is a detector or segmentor; other sizes and flips '
            'are of tools/test.py --tta'
        )


def predict_objects(
    sources: list[str],
    checkpoint: str,
    cfg: Config,
    out: Optional[str] = None,
    pictures: Optional[str] = None,
    device: Optional[str] = None,
    trust_checkpoint: bool = False,
) -> int:
    """Find boxes, or the classes of all pixels, and print a table of them.

    Args:
        sources: Image files.
        checkpoint: Its file, or the folder of a run.
        cfg: Its config, of MMDetection or MMSegmentation: read from a file, or what
            :func:`~vgg_mm.apis.inference.checkpoint_config.checkpoint_config` finds in it.
        out: A .csv or .json file: the boxes with a score of 0.3 or more (x1, y1, x2, y2 in pixels
            of the image), or each class's share of the pixels.
        pictures: A folder for the images with boxes or masks drawn over them, under their names.
        device: As torch names it.
        trust_checkpoint: Run the code in a checkpoint that cannot be read without.

    Returns:
        Exit status: 0, or 1 if no image could be read.
    """
    check_package(cfg, 'predict.py')
    make = {'mmdet': _detector, 'mmseg': _segmentor}[cfg.default_scope]
    with loading_safely(trust_checkpoint), DefaultScope.overwrite_default_scope(cfg.default_scope):
        find = make(cfg, run_checkpoint(checkpoint), device, pictures or '')
        done: list[tuple[str, Found, Optional[str]]] = []
        try:
            with interruptible():
                for one in with_progress(_each(sources, find), len(sources)):
                    done.append(one)
        finally:
            _report(done, out, pictures)
    return int(all(error is not None for _, _, error in done))


def _report(
    done: list[tuple[str, Found, Optional[str]]], out: Optional[str], pictures: Optional[str]
) -> None:
    rows = [[name, _text(found) if error is None else error] for name, found, error in done]
    say(format_table(['image', 'found'], rows))
    if pictures is not None:
        say(f'pictures are in {os.path.join(pictures, "vis")}')
    if out is not None:
        write_atomically(out, _as_file(out, done).encode())
        say(f'results are in {out}')


def _each(
    sources: list[str], find: Callable[[str], Found]
) -> Iterator[tuple[str, Found, Optional[str]]]:
    """(file, what is found, the reason why it cannot be read)."""
    load = LoadImage()
    for source in sources:
        try:
            load(dict(img_path=source))
        except (OSError, ValueError) as error:
            yield source, [], str(error)
        else:
            yield source, find(source), None


def _detector(
    cfg: Config, checkpoint: str, device: Optional[str], pictures: str
) -> Callable[[str], Found]:
    from mmdet.apis import DetInferencer

    inferencer = DetInferencer(cfg, checkpoint, device=device, show_progress=False)
    names = inferencer.model.dataset_meta['classes']

    def find(source: str) -> Found:
        answer = inferencer(source, out_dir=pictures, pred_score_thr=LEAST_SCORE)
        (one,) = answer['predictions']
        return [
            {'class': names[label], 'score': score, **dict(zip(('x1', 'y1', 'x2', 'y2'), box))}
            for label, score, box in zip(one['labels'], one['scores'], one['bboxes'])
            if score >= LEAST_SCORE
        ]

    return find


def _segmentor(
    cfg: Config, checkpoint: str, device: Optional[str], pictures: str
) -> Callable[[str], Found]:
    from mmseg.apis import MMSegInferencer

    inferencer = MMSegInferencer(cfg, checkpoint, device=device, show_progress=False)
    names = inferencer.model.dataset_meta['classes']

    def find(source: str) -> Found:
        mask = np.asarray(inferencer(source, out_dir=pictures, show=False)['predictions'])
        shares = np.bincount(mask.ravel(), minlength=len(names)) / mask.size
        order = np.argsort(-shares, kind='stable')
        return [{'class': names[i], 'share': float(shares[i])} for i in order if shares[i]]

    return find


def _text(found: Found) -> str:
    texts = [
        f'{one["class"]} {100 * (one["score"] if "score" in one else one["share"]):.1f} %'
        for one in found
    ]
    more = len(texts) - LISTED
    return ', '.join(texts[:LISTED]) + (f' and {more} more' if more > 0 else '') or 'nothing'


def _as_file(path: str, done: list[tuple[str, Found, Optional[str]]]) -> str:
    if path.endswith('.json'):
        rows = [dict(image=name, found=found, error=error) for name, found, error in done]
        return json.dumps(rows, indent=1, ensure_ascii=False) + '\n'
    keys = list(dict.fromkeys(key for _, found, _ in done for one in found for key in one))
    text = io.StringIO()
    writer = csv.DictWriter(text, ['image', *keys, 'error'], lineterminator='\n')
    writer.writeheader()
    for name, found, error in done:
        for one in found or [{}]:
            writer.writerow(dict(one, image=name, error=error))
    return text.getvalue()
