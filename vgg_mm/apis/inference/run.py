"""``tools/predict.py`` and its like in Python."""

import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Optional, Union

import torch
from mmengine.config import Config

from vgg_mm.apis.runner import AUTO
from vgg_mm.apis.tables import say
from vgg_mm.checkpoints import loading_safely, write_atomically
from vgg_mm.datasets.class_names import class_numbers
from vgg_mm.installation import argument
from vgg_mm.progress import Progress
from vgg_mm.text import first_few, printable

from .inputs import BGR, CHANNEL_ORDERS, ImageLike, as_sources, name, picture_paths
from .load import NotAClassifier, load_predictor
from .objects import predict_objects, refuse_classifiers_options
from .prediction import Prediction, check_has_map
from .predictor import Predictor
from .report import ResultsFile, check_out, collect, errors_by_folder, make_folder, table


def predict(
    images: Union[ImageLike, Sequence[ImageLike]],
    checkpoint: Union[str, os.PathLike],
    config: Union[str, os.PathLike, Config, None] = None,
    protocol: str = 'dense',
    top: int = 5,
    heatmap: Union[str, os.PathLike, None] = None,
    score_maps: bool = False,
    scales: Optional[Sequence[int]] = None,
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
            MMPretrain's lists (``vgg16_torchvision``); nothing in it is run.
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
        FileNotFoundError, ValueError: in one line, if a file is missing or an argument does not
            fit.
    """
    heatmap = None if heatmap is None else os.fspath(heatmap)
    _check(top, channel_order)
    sources = as_sources(images, heatmap or '')
    predictor = load_predictor(checkpoint, config, protocol, scales, device, classes, kernels)
    return list(_results(predictor, sources, top, heatmap, score_maps, shown_class, channel_order))


def predict_files(
    images: list[str],
    checkpoint: str,
    out: Optional[str] = None,
    trust_checkpoint: bool = False,
    **options: Any,
) -> int:
    """What ``tools/predict.py`` does: :func:`predict`, with a table and a file of the results.

    Stopped by Ctrl-C or an error, what was done by then is printed and written all the same;
    killed, what was done up to about a minute before is in the file.

    Args:
        images: Files, folders, patterns.
        checkpoint: As there.
        out: A .csv or .json file.
        trust_checkpoint: Run the code in a checkpoint that cannot be read without.
        options: ``config``, ``protocol``, ``top``, ``heatmap``, ``scales``, ``shown_class``,
            ``device`` and ``kernels`` of :func:`predict`.

    Returns:
        Exit status: 0, or 1 if no image could be read.
    """
    given = dict(options)
    top, heatmap = options.pop('top'), options.pop('heatmap')
    shown_class = options.pop('shown_class')
    _check(top, BGR)
    if out is not None:
        check_out(out)
    sources = as_sources(images, heatmap or '')
    predictor: Union[Predictor, Config]
    try:
        with loading_safely(trust_checkpoint):
            predictor = load_predictor(checkpoint, **options)
    except NotAClassifier as found:
        predictor = found.cfg
    if isinstance(predictor, Config):  # outside of the clause, which keeps what was loaded
        refuse_classifiers_options(given)
        files, device = [str(source) for source in sources], options['device']
        return predict_objects(files, checkpoint, predictor, out, heatmap, device, trust_checkpoint)
    file = None
    if out is not None:
        how = dict(
            checkpoint=checkpoint, protocol=predictor.tta.protocols[0], scales=predictor.scales
        )
        file = ResultsFile(out, how, len(sources))
    done: list[Prediction] = []
    try:
        predictor.progress = Progress(len(sources))
        results = _results(predictor, sources, top, heatmap, False, shown_class, BGR)
        collect(results, predictor.progress, file, done)
    finally:
        _report(done, len(sources), predictor, file, heatmap)
    return int(all(prediction.error for prediction in done))


def _check(top: int, channel_order: str) -> None:
    if not isinstance(top, int) or top < 1:
        raise ValueError(f'{argument("top")} must be a positive number of classes, got {top!r}')
    if channel_order not in CHANNEL_ORDERS:
        raise ValueError(f"channel_order must be 'bgr' or 'rgb', got {channel_order!r}")


def _results(
    predictor: Predictor,
    sources: list[ImageLike],
    top: int,
    heatmap: Optional[str],
    score_maps: bool,
    shown_class: Optional[str],
    channel_order: str,
) -> Iterator[Prediction]:
    """A result for each source, as they come, with its picture written."""
    for notice in predictor.notices:
        print(f'notice: {notice}', file=sys.stderr)
    with_map = score_maps or heatmap is not None
    if with_map:
        check_has_map(predictor.tta.module)
    shown = None if shown_class is None else _class_number(shown_class, predictor.classes)
    files: Iterator[str] = iter(())
    if heatmap is not None:
        make_folder(heatmap, argument('heatmap'))
        files = iter(picture_paths([name(source, i) for i, source in enumerate(sources)], heatmap))
    for prediction in predictor.predict(sources, top, channel_order, with_map, shown):
        file = next(files, '')
        if file and not prediction.error:
            write_atomically(file, prediction.png())
            prediction.picture = file
        if not score_maps:
            prediction.photo = prediction.score_map = None
        yield prediction


def _class_number(name: str, classes: list[str]) -> int:
    (number,) = class_numbers([name], classes)
    if number is None:
        known = first_few(classes, 10)
        raise ValueError(
            f'{argument("shown_class")}: the net has no class {name!r}; there are {known}'
        )
    return number


def _report(
    done: list[Prediction],
    count: int,
    predictor: Predictor,
    file: Optional[ResultsFile],
    heatmap: Optional[str],
) -> None:
    if not done:
        return
    scales = ', '.join(map(str, predictor.scales))
    part = f'; {len(done):,} of {count:,} images' if len(done) < count else ''
    say(f'{table(done)}\n\n{predictor.tta.protocols[0]}, Q = {scales}{part}')
    if errors := errors_by_folder(done, predictor.classes):
        say(errors)
    if heatmap is not None:
        say(f'pictures are in {printable(heatmap)}')
    if file is not None:
        file.write(done)
        say(f'results are in {printable(file.path)}')
