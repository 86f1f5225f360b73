"""``tools/predict.py`` on detectors and segmentors, by their packages' own inferencers."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Optional

import numpy as np
from mmengine.config import Config
from mmengine.registry import DefaultScope

from vgg_mm.apis.downstream import check_package, steps_of
from vgg_mm.apis.tables import format_table, say
from vgg_mm.checkpoints import loading_safely, run_checkpoint
from vgg_mm.datasets import LoadImage
from vgg_mm.installation import argument, command
from vgg_mm.progress import Progress
from vgg_mm.text import printable

from .inputs import picture_paths
from .report import ResultsFile, collect, make_folder

#: Boxes with a lower score are neither drawn nor listed, as in MMDetection's demos.
LEAST_SCORE = 0.3

#: So many of an image's boxes or classes are in the table; the file has all.
LISTED = 5


class Objects(NamedTuple):
    """What is found in an image: boxes or the classes of its pixels, each with its numbers.

    ``error`` is the reason if the image cannot be read, ``picture`` the file of what was drawn.
    """

    image: str
    found: list[dict[str, Any]]
    error: Optional[str] = None
    picture: Optional[str] = None


#: What is in a sample of MMDetection's or MMSegmentation's, in plain values.
Read = Callable[[Any], list[dict[str, Any]]]


def refuse_classifiers_options(options: dict[str, Any]) -> None:
    """Raise ValueError, in one line, on options of a prediction that these nets do not have."""
    defaults = dict(protocol='dense', scales=None, top=5, shown_class=None)
    wrong = [name for name, value in defaults.items() if options.get(name, value) != value]
    if wrong:
        names = ', '.join(argument(name) for name in wrong)
        raise ValueError(
            f'{names}: for classifiers, and this is a detector or segmentor; other sizes and flips '
            f'are of {command("test")} --tta'
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

    Stopped by Ctrl-C or an error, what was done by then is printed and written all the same;
    killed, what was done up to about a minute before is in the file.

    Args:
        sources: Image files.
        checkpoint: Its file, or the folder of a run.
        cfg: Its config, of MMDetection or MMSegmentation: read from a file, or what
            :func:`~vgg_mm.apis.inference.checkpoint_config.checkpoint_config` finds in it.
        out: A .csv or .json file: the boxes with a score of 0.3 or more (x1, y1, x2, y2 in pixels
            of the image), or each class's share of the pixels.
        pictures: A folder for the images with boxes or masks drawn over them, below it as the
            images lie below theirs.
        device: As torch names it.
        trust_checkpoint: Run the code in a checkpoint that cannot be read without.

    Returns:
        Exit status: 0, or 1 if no image could be read.
    """
    check_package(cfg, command('predict'))
    load = _loader(cfg)
    file = None
    if out is not None:
        file = ResultsFile(out, dict(checkpoint=checkpoint), len(sources), _entry, _csv)
    drawn: list[Optional[str]] = [None] * len(sources)
    if pictures is not None:
        make_folder(pictures, argument('heatmap'))
        drawn = [*picture_paths(sources, pictures)]
    with loading_safely(trust_checkpoint), DefaultScope.overwrite_default_scope(cfg.default_scope):
        make = {'mmdet': _detector, 'mmseg': _segmentor}[cfg.default_scope]
        inferencer, read = make(cfg, run_checkpoint(checkpoint), device)
        done: list[Objects] = []
        try:
            results = _each(list(zip(sources, drawn)), load, inferencer, read)
            collect(results, Progress(len(sources)), file, done)
        finally:
            _report(done, len(sources), file, pictures)
    return int(all(one.error is not None for one in done))


def _loader(cfg: Config) -> LoadImage:
    """Reads images as the config's test pipeline does; errors name file and cause."""
    steps = steps_of(cfg.test_dataloader.dataset)
    found = (step for step in steps if str(step['type']).endswith('LoadImageFromFile'))
    settings = dict(next(found, {}))
    settings.pop('type', None)
    settings.pop('to_float32', None)  # pictures are drawn over the pixels
    return LoadImage(**settings)


def _each(
    sources: list[tuple[str, Optional[str]]], load: LoadImage, inferencer: Any, read: Read
) -> Iterator[Objects]:
    for source, picture in sources:
        try:
            pixels = load(dict(img_path=source))['img']
        except (OSError, ValueError) as error:
            yield Objects(source, [], str(error))
            continue
        (sample,) = _as_list(inferencer(pixels, return_datasamples=True))
        if picture is not None:
            _draw(inferencer.visualizer, pixels, sample, picture)
        yield Objects(source, read(sample), None, picture)


def _as_list(answer: Any) -> list[Any]:
    """The samples of an inferencer's answer: MMDetection's has them in a dict."""
    return answer['predictions'] if isinstance(answer, dict) else [answer]


def _draw(visualizer: Any, pixels: np.ndarray, sample: Any, path: str) -> None:
    """The image with boxes or masks over it, as its package draws them."""
    threshold = dict(pred_score_thr=LEAST_SCORE) if 'pred_instances' in sample else {}
    rgb = pixels[..., ::-1].copy()
    visualizer.add_datasample('', rgb, sample, draw_gt=False, out_file=path, **threshold)


def _detector(cfg: Config, checkpoint: str, device: Optional[str]) -> tuple[Any, Read]:
    from mmdet.apis import DetInferencer

    inferencer = DetInferencer(cfg, checkpoint, device=device, show_progress=False)
    names = inferencer.model.dataset_meta['classes']

    def read(sample: Any) -> list[dict[str, Any]]:
        boxes = sample.pred_instances.numpy()
        return [
            {
                'class': names[label],
                'score': float(score),
                **dict(zip(('x1', 'y1', 'x2', 'y2'), map(float, box))),
            }
            for label, score, box in zip(boxes.labels, boxes.scores, boxes.bboxes)
            if score >= LEAST_SCORE
        ]

    return inferencer, read


def _segmentor(cfg: Config, checkpoint: str, device: Optional[str]) -> tuple[Any, Read]:
    from mmseg.apis import MMSegInferencer

    inferencer = MMSegInferencer(cfg, checkpoint, device=device, show_progress=False)
    inferencer.visualizer.set_dataset_meta(**inferencer.model.dataset_meta)
    names = inferencer.model.dataset_meta['classes']

    def read(sample: Any) -> list[dict[str, Any]]:
        mask = sample.pred_sem_seg.numpy().data
        shares = np.bincount(mask.ravel(), minlength=len(names)) / mask.size
        order = np.argsort(-shares, kind='stable')
        return [{'class': names[i], 'share': float(shares[i])} for i in order if shares[i]]

    return inferencer, read


def _report(
    done: list[Objects], count: int, file: Optional[ResultsFile], pictures: Optional[str]
) -> None:
    if not done:
        return
    rows = [
        [printable(one.image), _text(one.found) if one.error is None else printable(one.error)]
        for one in done
    ]
    say(format_table(['image', 'found'], rows))
    if len(done) < count:
        say(f'{len(done):,} of {count:,} images')
    if pictures is not None:
        say(f'pictures are in {printable(pictures)}')
    if file is not None:
        file.write(done)
        say(f'results are in {printable(file.path)}')


def _text(found: list[dict[str, Any]]) -> str:
    texts = []
    for one in found[:LISTED]:
        part = one['score'] if 'score' in one else one['share']
        texts.append(f'{printable(one["class"])} {100 * part:.1f} %')
    more = len(found) - LISTED
    return ', '.join(texts) + (f' and {more} more' if more > 0 else '') or 'nothing'


def _entry(one: Objects) -> dict[str, Any]:
    """An image in a JSON file."""
    entry: dict[str, Any] = dict(image=one.image)
    entry |= dict(found=one.found) if one.error is None else dict(error=one.error)
    return entry if one.picture is None else dict(entry, picture=one.picture)


def _csv(done: Sequence[Objects]) -> str:
    """A row for each box, or class, of each image."""
    keys = list(dict.fromkeys(key for one in done for found in one.found for key in found))
    text = io.StringIO()
    writer = csv.DictWriter(text, ['image', 'error', 'picture', *keys])
    writer.writeheader()
    for one in done:
        for found in one.found or [{}]:
            writer.writerow(dict(found, image=one.image, error=one.error, picture=one.picture))
    return text.getvalue()
