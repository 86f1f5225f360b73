"""``tools/predict.py`` on detectors and segmentors, by their packages' own inferencers."""

from typing import Any, NamedTuple, Optional

import cv2
import numpy as np
from mmengine.config import Config
from mmengine.registry import DefaultScope

from vgg_mm.apis.downstream import check_package, steps_of
from vgg_mm.apis.errors import one_line
from vgg_mm.apis.tables import format_table
from vgg_mm.checkpoints import loading_safely
from vgg_mm.datasets import LoadImage
from vgg_mm.installation import argument, command
from vgg_mm.progress import Progress
from vgg_mm.text import first_few, printable

from .images import as_rgb, picture_paths
from .report import collect, make_folder

#: Boxes with a lower score are neither drawn nor listed, as in MMDetection's demos.
MIN_SCORE = 0.3

#: Maximum number of an image's boxes or classes in the table; the file has all.
MAX_LISTED = 5


class Objects(NamedTuple):
    """What is found in an image: boxes or the classes of its pixels, each with its numbers.

    ``error`` is the reason if the image cannot be read, ``picture`` the file of what was drawn.
    """

    image: str
    found: list[dict[str, Any]]
    error: str = ''
    picture: str = ''

    def to_json(self) -> dict[str, Any]:
        return dict(found=self.found)

    def csv_rows(self) -> list[dict[str, Any]]:
        """A row for each box, or class."""
        return self.found


def refuse_classifiers_options(options: dict[str, Any]) -> None:
    """Raise ValueError, in one line, on options of a prediction that these nets do not have."""
    defaults = dict(protocol='dense', scales=None, top=5, shown_class=None)
    wrong = [name for name, value in defaults.items() if options.get(name, value) != value]
    if wrong:
        names = ', '.join(argument(name) for name in wrong)
        raise ValueError(
            f'{names}: only for classifiers, and this is a detector or segmentor; for other sizes '
            f'and flips use {command("test")} --tta'
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
        checkpoint: Its file.
        cfg: Its config, of MMDetection or MMSegmentation: read from a file, or what
            :func:`~vgg_mm.apis.inference.checkpoint_config.checkpoint_config` finds in it.
        out: A .csv or .json file: the boxes with a score of 0.3 or more (x1, y1, x2, y2 in pixels
            of the image), or each class's share of the pixels.
        pictures: A folder for the images with boxes or masks drawn over them, below it as the
            images are below theirs.
        device: As torch names it.
        trust_checkpoint: Run code in a checkpoint that cannot be read otherwise.

    Returns:
        Exit status, as :func:`collect`.
    """
    check_package(cfg, command('predict'))
    load = _loader(cfg)
    drawn = [''] * len(sources)
    if pictures is not None:
        make_folder(pictures, argument('heatmap'))
        drawn = picture_paths(sources, pictures)
    with loading_safely(trust_checkpoint), DefaultScope.overwrite_default_scope(cfg.default_scope):
        inferencer = _inferencer(cfg, checkpoint, device)
        results = (_find(*files, load, inferencer) for files in zip(sources, drawn))
        info = dict(checkpoint=checkpoint)
        return collect(results, Progress(len(sources)), _table, out, info, pictures)


def _loader(cfg: Config) -> LoadImage:
    """Reads images as the config's test pipeline does; errors name file and cause."""
    steps = steps_of(cfg.test_dataloader.dataset)
    found = (step for step in steps if str(step['type']).endswith('LoadImageFromFile'))
    settings = dict(next(found, {}))
    settings.pop('type', None)
    settings.pop('to_float32', None)  # pictures are drawn over the pixels
    return LoadImage(**settings)


def _inferencer(cfg: Config, checkpoint: str, device: Optional[str]) -> Any:
    if cfg.default_scope == 'mmdet':
        from mmdet.apis import DetInferencer

        return DetInferencer(cfg, checkpoint, device=device, show_progress=False)
    from mmseg.apis import MMSegInferencer

    inferencer = MMSegInferencer(cfg, checkpoint, device=device, show_progress=False)
    inferencer.visualizer.set_dataset_meta(**inferencer.model.dataset_meta)
    return inferencer


def _find(source: str, picture: str, load: LoadImage, inferencer: Any) -> Objects:
    """What is found in one image; with its picture, if that has a name."""
    try:
        pixels = load(dict(img_path=source))['img']
    except (OSError, ValueError) as error:
        return Objects(source, [], str(error))
    try:
        sample = inferencer(pixels, return_datasamples=True)
        if isinstance(sample, dict):  # MMDetection's
            (sample,) = sample['predictions']
        are_boxes = 'pred_instances' in sample
        if picture:
            threshold = dict(pred_score_thr=MIN_SCORE) if are_boxes else {}
            inferencer.visualizer.add_datasample(
                '', as_rgb(pixels), sample, draw_gt=False, out_file=picture, **threshold
            )
    except (cv2.error, IndexError, ValueError, ZeroDivisionError) as error:
        # A strip that the config's pipeline rescales to nothing, say.
        return Objects(source, [], f'{type(error).__name__}: {one_line(error)}')
    classes = inferencer.model.dataset_meta['classes']
    found = _boxes(sample, classes) if are_boxes else _shares(sample, classes)
    return Objects(source, found, picture=picture)


def _boxes(sample: Any, classes: list[str]) -> list[dict[str, Any]]:
    boxes = sample.pred_instances.numpy()
    return [
        {
            'class': classes[label],
            'score': float(score),
            **dict(zip(('x1', 'y1', 'x2', 'y2'), map(float, box))),
        }
        for label, score, box in zip(boxes.labels, boxes.scores, boxes.bboxes)
        if score >= MIN_SCORE
    ]


def _shares(sample: Any, classes: list[str]) -> list[dict[str, Any]]:
    """The classes of the pixels, the most frequent first."""
    mask = sample.pred_sem_seg.numpy().data.astype(int)
    shares = np.bincount(mask.ravel(), minlength=len(classes)) / mask.size
    order = np.argsort(-shares, kind='stable')
    return [{'class': classes[i], 'share': float(shares[i])} for i in order if shares[i]]


def _table(done: list[Objects]) -> str:
    rows = [[printable(one.image), printable(one.error) or _text(one.found)] for one in done]
    return format_table(['image', 'found'], rows)


def _text(found: list[dict[str, Any]]) -> str:
    texts = []
    for one in found:
        part = one['score'] if 'score' in one else one['share']
        texts.append(f'{printable(one["class"])} {100 * part:.1f} %')
    return first_few(texts, MAX_LISTED) or 'nothing'
