"""``tools/predict.py`` and its like in Python."""

import os
from collections.abc import Sequence
from typing import Any, Optional, Union

import numpy as np
import torch
from mmengine.config import Config

from vgg_mm.apis.runner import AUTO
from vgg_mm.apis.tables import format_table
from vgg_mm.checkpoints import loading_safely
from vgg_mm.datasets.class_names import are_numbers, class_numbers
from vgg_mm.evaluation.test_record import wilson_interval
from vgg_mm.progress import Progress
from vgg_mm.text import printable

from .images import BGR, ImageLike, as_sources
from .load import NotAClassifier
from .objects import predict_objects, refuse_classifiers_options
from .prediction import Prediction
from .predictor import Predictor, load_predictor
from .report import check_out, collect


def predict(
    images: Union[ImageLike, Sequence[ImageLike]],
    checkpoint: Union[str, os.PathLike],
    config: Union[str, os.PathLike, Config, None] = None,
    protocol: str = 'dense',
    top: int = 5,
    heatmap: Union[str, os.PathLike, None] = None,
    score_maps: bool = False,
    scales: Union[int, Sequence[int], None] = None,
    shown_class: Optional[str] = None,
    classes: Optional[Sequence[str]] = None,
    channel_order: str = BGR,
    device: Union[str, torch.device, None] = None,
    kernels: str = AUTO,
) -> list[Prediction]:
    """Predict the classes of images by the paper's protocols (Section 3.2).

    >>> for p in predict('photos', 'work_dirs/vgg16_jitter_clothing/epoch_16.pth'):
    ...     print(p.image, p.error or p.classes[0])

    Broken images do not stop the others: their results have an ``error``. In a notebook a result
    with its score map shows itself as a picture.

    Args:
        images: Path of a file or folder, pattern, array, PIL image, or a sequence of these. Arrays
            are uint8 (H, W, 3) in the order of ``channel_order``.
        checkpoint: File, folder of a run, URL, ``torchvision://vgg16``, or a model's name in
            MMPretrain's lists (``vgg16_torchvision``); no code in it is run.
        config: By default the one in the checkpoint; where there is none, net, crop and
            pre-processing are found from the weights.
        protocol: 'dense', 'multi_crop' or 'dense+multi_crop'.
        top: Classes a result names; all of the net's, if those are fewer.
        heatmap: Folder for a picture of each image: photo, score map of a class, top k.
        score_maps: Whether results keep photo and score map.
        scales: Test scales Q; by default the config's.
        shown_class: Name of the class whose map pictures show; by default each image's first.
        classes: Class names; by default the checkpoint's, then the config's, then ImageNet's for a
            net of 1,000 classes, then numbers.
        channel_order: Of arrays: 'bgr', as OpenCV, mmcv and MMPretrain's inferencers have it, or
            'rgb'.
        device: By default the GPU if there is one.
        kernels: 'auto': faster forms of layers (:mod:`vgg_mm.kernels`); 'plain': torch's own.

    Returns:
        A :class:`Prediction` for each image, in order.

    Raises:
        FileNotFoundError, ValueError: in one line, if a file is missing or an argument is
            invalid.
    """
    heatmap = None if heatmap is None else os.fspath(heatmap)
    sources = as_sources(images, heatmap or '')
    predictor = load_predictor(checkpoint, config, protocol, scales, device, classes, kernels)
    found = predictor.predict(sources, top, channel_order, heatmap, score_maps, shown_class)
    return list(found)


def predict_files(
    images: list[str],
    checkpoint: str,
    out: Optional[str] = None,
    trust_checkpoint: bool = False,
    **options: Any,
) -> int:
    """What ``tools/predict.py`` does: :func:`predict`, with a table and a file of the results.

    Args:
        images: Files, folders, patterns.
        checkpoint: As there, or of a detector or segmentor.
        out: A .csv or .json file.
        trust_checkpoint: Run code in a checkpoint that cannot be read otherwise.
        options: ``config``, ``protocol``, ``top``, ``heatmap``, ``scales``, ``shown_class``,
            ``device`` and ``kernels`` of :func:`predict`.

    Returns:
        Exit status, as :func:`collect`.
    """
    given = dict(options)
    top, heatmap, shown_class = (options.pop(key) for key in ('top', 'heatmap', 'shown_class'))
    if out is not None:
        check_out(out)
    sources = as_sources(images, heatmap or '')
    predictor: Union[Predictor, Config]
    try:
        with loading_safely(trust_checkpoint):
            predictor = load_predictor(checkpoint, **options)
    except NotAClassifier as found:
        predictor, checkpoint = found.cfg, found.source
    if isinstance(predictor, Config):  # outside of the clause, which keeps references
        refuse_classifiers_options(given)
        files, device = [str(source) for source in sources], options['device']
        return predict_objects(files, checkpoint, predictor, out, heatmap, device, trust_checkpoint)
    predictor.progress = progress = Progress(len(sources))
    protocol, scales = predictor.tta.protocols[0], predictor.images.scales
    how = f'{protocol}, Q = {", ".join(map(str, scales))}'

    def describe(done: list[Prediction]) -> str:
        errors = _errors_by_folder(done, predictor.classes)
        return '\n'.join([_table(done), '', how, *filter(None, [errors])])

    results = predictor.predict(sources, top, heatmap=heatmap, shown_class=shown_class)
    info = dict(checkpoint=predictor.net.checkpoint, protocol=protocol, scales=scales)
    return collect(results, progress, describe, out, info, heatmap)


def _table(predictions: Sequence[Prediction]) -> str:
    """A line an image: the best class and those that follow; then the broken images."""
    rows = []
    for p in predictions:
        if not p.error:
            first, *others = zip(map(printable, p.classes), (f'{100 * s:.1f}' for s in p.scores))
            rows.append([printable(p.image), *first, ', '.join(map(' '.join, others))])
    blocks = [format_table(('image', 'class', '%', 'then'), rows)] if rows else []
    if broken := [p for p in predictions if p.error]:
        # Most errors name their file.
        errors = [p.error if p.image in p.error else f'{p.image}: {p.error}' for p in broken]
        lines = [f'  {printable(error)}' for error in errors]
        blocks.append('\n'.join([f'could not be read: {len(broken):,}', *lines]))
    return '\n\n'.join(blocks)


def _errors_by_folder(predictions: Sequence[Prediction], classes: Sequence[str]) -> str:
    """The errors, if every image is in a folder named, or numbered, as its class; else ''.

    >>> _errors_by_folder(done, classes)
    'top-1 error 12.5 % [3.5, 36.0], by the names of the folders (16 images)'
    """
    whole = [p for p in predictions if not p.error]
    folders = [os.path.basename(os.path.dirname(os.path.abspath(p.image))) for p in whole]
    names = sorted(set(folders))
    numbers = dict(zip(names, class_numbers(names, classes)))
    if not whole or None in numbers.values():
        return ''
    parts = []
    for k in (1, 5) if len(classes) > 5 else (1,):
        best = [np.argsort(-np.asarray(p.posterior), kind='stable')[:k] for p in whole]
        wrong = sum(numbers[folder] not in first for folder, first in zip(folders, best))
        low, high = wilson_interval(wrong, len(whole))
        error = 100 * wrong / len(whole)
        parts.append(f'top-{k} error {error:.1f} % [{100 * low:.1f}, {100 * high:.1f}]')
    by_number = are_numbers(names) and not are_numbers(classes)
    how = ', read as class numbers from 0' if by_number else ''
    return f'{", ".join(parts)}, by the names of the folders{how} ({len(whole):,} images)'
