"""``tools/extract_features.py``: features of all images of a folder (paper, Appendix B)."""

import os
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import asdict
from typing import Any, NamedTuple, Optional, Union

import torch
from mmengine.config import Config

from vgg_mm.checkpoints import (
    check_room,
    loading_safely,
    preprocessing_of,
    weights_digest,
)
from vgg_mm.installation import argument, check_choice
from vgg_mm.progress import Progress, to_stderr, with_progress
from vgg_mm.text import first_few, is_positive, printable

from ..inference.load import load_net
from ..inference.report import check_out
from ..runner import AUTO
from ..subprocess_tools import interruptible
from ..tables import say
from .extractor import Extractor
from .files import (
    ENDINGS,
    PARQUET,
    Photos,
    broken_images_in,
    find_photos,
    import_parquet,
    read_info,
    write,
)
from .parts import AVERAGE, COMBINE, Part, Parts, Settings, check_same

ON_BROKEN = STOP, COUNT = 'stop', 'count'

#: Maximum number of broken images that are listed on the terminal.
MAX_BROKEN_LISTED = 20


class Extraction(NamedTuple):
    """What was extracted.

    ``found`` is the number of images that were finished before this call; ``broken`` maps the
    paths of images that could not be read to the reasons.
    """

    out: str
    settings: Settings
    classes: list[str]
    found: int
    broken: dict[str, str]


def extract_features(
    folder: Union[str, os.PathLike],
    checkpoint: Union[str, os.PathLike],
    out: Union[str, os.PathLike],
    config: Union[str, os.PathLike, Config, None] = None,
    layer: str = 'fc7',
    scales: Union[int, Sequence[int], None] = None,
    combine: str = AVERAGE,
    flip: Optional[bool] = None,
    broken_images: str = COUNT,
    workers: Optional[int] = None,
    device: Union[str, torch.device, None] = None,
    kernels: str = AUTO,
) -> Extraction:
    """Write a feature vector for every image of a folder (Appendix B).

    At each test scale Q the net is applied densely to the whole image; the layer's activations are
    averaged over the positions, then over the image and its flip; the vectors of several Q are
    averaged or stacked; the result is L2-normalised.

    If it is interrupted, the same call resumes; it is an error if settings, weights or images have
    changed. If the file is finished, nothing is done.

    >>> extract_features('photos/train', 'vgg16.pth', 'train.npz', scales=[256, 384, 512])
    >>> load_features('train.npz').values.shape
    (1515, 4096)

    Args:
        folder: ``FOLDER/*``, ``FOLDER/CLASS/*`` or ``FOLDER/{train,val,test}/CLASS/*``.
        checkpoint: File, folder of a run, URL, ``torchvision://vgg16``, or a model's name in
            MMPretrain's lists; no code in it is run.
        out: A .parquet or .npz file.
        config: By default the one in the checkpoint.
        layer: Where the net ends, after ReLU; the map is averaged over all positions. 'conv1_1' to
            'conv5_3' (of net D): the blocks have 64, 128, 256, 512 and 512 channels at strides of
            1, 2, 4, 8 and 16 pixels. 'pool1' to 'pool5': the same channels at twice the stride.
            'fc6', 'fc7': 4,096 channels at stride 32.
        scales: Test scales Q; by default the config's.
        combine: 'average' or 'stack'.
        flip: Whether the flip is used; by default as in the config's test protocol.
        broken_images: 'count': images that cannot be read have NaN (null) for features and a
            reason; 'stop': the first one is an error.
        workers: Threads that read images; by default one a core, at most 4.
        device: By default the GPU if there is one.
        kernels: 'auto': faster forms of layers (:mod:`vgg_mm.kernels`); 'plain': torch's own.

    Raises:
        FileNotFoundError, ValueError, ImportError: in one line, if an argument is invalid or a
            file is missing.
        RuntimeError: if another process extracts into the same file.
    """
    out = os.fspath(out)
    _check(out, combine, broken_images, workers)
    photos = find_photos(os.fspath(folder))
    net = load_net(checkpoint, config, device, kernels=kernels)
    extractor = Extractor(net, layer, combine, flip, scales)
    settings = _settings(extractor, photos)
    parts = Parts(out)
    with parts.locked():
        if os.path.isfile(out):
            check_same(settings, Settings.from_info(read_info(out)), out, 'was made with')
            found = settings.count
            if broken_images == STOP:
                _stop_at(broken_images_in(out).values())
        else:
            net.print_notices()
            found = parts.begin(settings)
            check_room(os.path.dirname(out) or '.', 8 * settings.count * settings.dimension, out)
            _extract(extractor, photos, parts, found, broken_images == STOP, workers)
            origin = dict(folder=os.path.abspath(folder), checkpoint=net.checkpoint)
            info = dict(asdict(settings), **origin)
            try:
                write(parts.whole, os.path.splitext(out)[1].lower(), parts, photos, info)
                os.replace(parts.whole, out)
            except OSError as error:
                reason = error.strerror or error
                raise OSError(
                    f'{out} was not written: {reason}; all features are in {parts.folder}: run '
                    'the same command again to resume'
                ) from error
        parts.remove()
    return Extraction(out, settings, photos.classes, found, broken_images_in(out))


def _check(out: str, combine: str, broken_images: str, workers: Optional[int]) -> None:
    check_choice('combine', combine, COMBINE)
    check_choice('broken_images', broken_images, ON_BROKEN)
    if workers is not None and not is_positive(workers):
        raise ValueError(f'{argument("workers")} must be a positive number, got {workers!r}')
    if out.lower().endswith(PARQUET):
        import_parquet()
    check_out(out, ENDINGS)


def _settings(extractor: Extractor, photos: Photos) -> Settings:
    module = extractor.net.module
    return Settings(
        layer=extractor.layer,
        dimension=extractor.dimension,
        scales=extractor.images.scales,
        combine=extractor.combine,
        flip=extractor.net.flip,
        net=module.backbone.arch,
        width=module.backbone.base_channels,
        preprocessing=str(preprocessing_of(module.data_preprocessor)),
        weights=weights_digest(module.state_dict()),
        images=photos.digest,
        count=len(photos.paths),
    )


def _extract(
    extractor: Extractor,
    photos: Photos,
    parts: Parts,
    found: int,
    stop: bool,
    workers: Optional[int],
) -> None:
    """Compute and write the missing features; if interrupted, those that are finished."""
    if found:
        to_stderr(f'resuming after {found:,} of {len(photos.paths):,} images')
        if stop:
            for part in parts:
                _stop_at(part.errors)
    paths = [os.path.join(photos.folder, path) for path in photos.paths[found:]]
    extractor.progress = Progress(len(paths))
    with closing(extractor.parts(paths, workers)) as computed:
        new = with_progress(computed, extractor.progress, lambda part: len(part.errors))
        parts.write(found, map(_without_broken, new) if stop else new)


def _without_broken(part: Part) -> Part:
    """The part itself; a ValueError if one of its images could not be read."""
    _stop_at(part.errors)
    return part


def _stop_at(errors: Iterable[str]) -> None:
    """A ValueError with the first of the errors, if there is one."""
    for error in filter(None, errors):
        raise ValueError(error)


def extract_files(
    folder: str, checkpoint: str, trust_checkpoint: bool = False, **options: Any
) -> int:
    """What ``tools/extract_features.py`` does: :func:`extract_features`, with a report.

    Args:
        folder, checkpoint: As there.
        trust_checkpoint: Run code in a checkpoint that cannot be read otherwise.
        options: The other arguments of :func:`extract_features`.

    Returns:
        Exit status: 0, or 1 if no image could be read.
    """
    with loading_safely(trust_checkpoint), interruptible():
        done = extract_features(folder, checkpoint, **options)
    count, broken = done.settings.count, done.broken
    labels = f'{len(done.classes):,} classes' if done.classes else 'no class folders'
    before = ', already extracted' if done.found == count else ''
    say(f'{printable(done.out)}: {count:,} images, {labels}{before}')
    say(done.settings.describe())
    if broken:
        lines = first_few([*map(printable, broken.values())], MAX_BROKEN_LISTED, '\n  ')
        say(f'could not be read: {len(broken):,}\n  {lines}')
    return int(len(broken) == count)
