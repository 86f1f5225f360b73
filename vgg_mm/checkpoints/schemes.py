"""mmengine's schemes for naming a checkpoint, loading without running code from the file.

The loaders of this package use these; mmengine's own are unchanged, except within
:func:`loading_safely`.
"""

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from typing import Any, Union
from urllib.parse import urlparse

import torch
from mmengine.dist import barrier, is_main_process
from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as mmengine_checkpoint

from vgg_mm.text import nearest

from .layouts import to_own_layout
from .preprocessing import note_preprocessing, noted_preprocessing
from .safe_load import read_checkpoint, trusting
from .weights import FIRST_WEIGHT, weights_of

#: The first digits of the content's SHA-256 in a file's name; a date is none.
_HASH = re.compile(r'-(?!20\d{6}\.)([0-9a-f]{8,64})\.')

#: prefix -> function of mmengine that gives {model name: URL}
_ZOOS = {
    'torchvision://': mmengine_checkpoint.get_torchvision_models,
    'modelzoo://': mmengine_checkpoint.get_torchvision_models,
    'open-mmlab://': mmengine_checkpoint.get_external_models,
    'openmmlab://': mmengine_checkpoint.get_external_models,
    'mmcls://': mmengine_checkpoint.get_mmcls_models,
}

#: Storage services whose files mmengine would load, running the code in them.
_REFUSED = ('pavi://', r'(\S+\:)?s3://', r'(\S+\:)?petrel://')


@contextmanager
def loading_safely(trust: bool = False) -> Iterator[None]:
    """Let mmengine load checkpoints through :func:`read_checkpoint` within the context.

    mmengine's own loaders fall back to running the file's code when the safe way fails (or, on
    OpenMMLab's 0.10.7, cannot read its own checkpoints with torch >= 2.6). The command-line tools
    run in this context. Files, URLs and the model zoos' names work as before, and files of
    Keras, Caffe and safetensors as well; checkpoints on storage services have to be downloaded
    first. Afterwards mmengine's loaders are restored.

    Args:
        trust: Run code in files that cannot be read otherwise, with a warning.
    """
    before = CheckpointLoader._schemes
    CheckpointLoader._schemes = dict(before)
    try:
        for prefix, loader in _readers().items():
            CheckpointLoader.register_scheme(prefixes=prefix, loader=loader, force=True)
        with trusting(trust):
            yield
    finally:
        CheckpointLoader._schemes = before


def load_by_name(name: Union[str, os.PathLike], map_location: Any = None) -> dict:
    """Load a file, a URL or a model of a zoo (``torchvision://vgg16``), independent of mmengine's
    loaders in this process; a VGG's weights in this package's layout.

    Raises:
        OSError, ValueError: in one line, as :func:`load_checkpoint` and the readers here.
    """
    name = os.fspath(name)
    try:
        return to_own_layout(read_by_name(name, map_location))
    except ValueError as error:
        text = str(error)
        raise ValueError(text if name in text else f'checkpoint {name}: {text}') from error


def read_by_name(name: Union[str, os.PathLike], map_location: Any = None) -> dict:
    """Like :func:`load_by_name`, the weights by their names in the file."""
    name = os.fspath(name)
    readers = _readers()
    for prefix, loader in CheckpointLoader._schemes.items():  # those that others have added
        if prefix not in readers and re.match(prefix, name):
            return loader(name, map_location)
    # The longest prefix first; the empty one fits everything.
    prefix = next(p for p in sorted(readers, key=len, reverse=True) if re.match(p, name))
    return readers[prefix](name, map_location)


def for_rgb(checkpoint: dict) -> dict:
    """A checkpoint of a net for BGR images as one for RGB images: conv1_1's channels reversed.

    Args:
        checkpoint: In this package's layout, with its pre-processing recorded.

    Returns:
        The same object if it is for RGB or not recorded; else a new one.
    """
    found = noted_preprocessing(checkpoint)
    weights = dict(weights_of(checkpoint, required=False))
    if found is None or found.to_rgb or FIRST_WEIGHT not in weights:
        return checkpoint
    weights[FIRST_WEIGHT] = weights[FIRST_WEIGHT].flip(1)
    meta = dict(checkpoint['meta'])
    note_preprocessing(meta, found.reversed_channels())
    return {**checkpoint, 'state_dict': weights, 'meta': meta}


def is_local(name: str) -> bool:
    """Whether a checkpoint's name is that of a file on this machine."""
    prefixes = (*_readers(), *CheckpointLoader._schemes)
    return not any(prefix and re.match(prefix, name) for prefix in prefixes)


def _readers() -> dict[str, Callable[[str, Any], dict]]:
    return {
        '': load_from_local,
        **dict.fromkeys(('http://', 'https://'), load_from_http),
        **dict.fromkeys(_ZOOS, load_from_zoo),
        **dict.fromkeys(_REFUSED, load_from_storage),
    }


def load_from_local(path: str, map_location: Any = None) -> dict:
    # Weights are copied into the model: they need not be on the GPU they were saved on.
    return read_checkpoint(path, map_location or 'cpu')


def load_from_http(url: str, map_location: Any = None) -> dict:
    """Download once, into torch.hub's folder, and load.

    Raises:
        OSError: in one line, if the file cannot be read.
        ValueError: in one line, as :func:`read_checkpoint`.
    """
    name = os.path.basename(urlparse(url).path)
    if not name:
        raise ValueError(f'{url} names no file')
    path = os.path.join(torch.hub.get_dir(), 'checkpoints', name)
    if is_main_process():
        if os.path.exists(path) and not _HASH.search(name):
            # It may have come from another URL that ends with the same name.
            print(
                f'{url}: using {path}, downloaded before; remove it to download again',
                file=sys.stderr,
            )
        _download(url, path)
    barrier()
    _download(url, path)  # on other machines than the main process's
    try:
        return load_from_local(path, map_location)
    except ValueError as error:
        raise ValueError(f'{error} (from {url}: remove the file to download it again)') from error


def _download(url: str, path: str) -> None:
    if os.path.exists(path):
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    digits = _HASH.search(os.path.basename(path))
    print(f'downloading {url} to {path}', file=sys.stderr)
    try:
        torch.hub.download_url_to_file(
            url, path, digits and digits[1], progress=sys.stderr.isatty()
        )
    except (OSError, RuntimeError, ValueError, HTTPException) as error:
        raise OSError(
            f'{url} was not downloaded: {error}; '
            'download the file manually and give its path instead of the URL'
        ) from error


def load_from_zoo(name: str, map_location: Any = None) -> dict:
    """Load a model of torchvision's or OpenMMLab's lists, e.g. ``torchvision://vgg16``.

    Raises:
        ValueError: in one line, if there is none of that name.
        OSError, ValueError: as :func:`load_from_http`.
    """
    start, separator, model = name.partition('://')
    prefix = start + separator
    urls = _ZOOS[prefix]()
    if _ZOOS[prefix] is mmengine_checkpoint.get_external_models:
        model = mmengine_checkpoint.get_deprecated_model_names().get(model, model)
    if model not in urls:
        near = nearest(model, urls)
        hint = f'; did you mean {near!r}?' if near else ''
        raise ValueError(f'{prefix} has no model {model!r}{hint}')
    url = urls[model]
    if '://' not in url:  # a file of mmengine's own folder
        url = os.path.join(mmengine_checkpoint._get_mmengine_home(), url)
        return load_from_local(url, map_location)
    checkpoint = load_from_http(url, map_location)
    if prefix == 'mmcls://':  # these name backbones
        return mmengine_checkpoint._process_mmcls_checkpoint(checkpoint)
    return checkpoint


def load_from_storage(name: str, map_location: Any = None) -> dict:
    raise ValueError(f'{name}: download the file and give its path')
