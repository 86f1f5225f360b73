"""mmengine's ways to name a checkpoint, each ending in a load that runs no code from the file."""

import os
import re
import sys
from collections.abc import Callable
from difflib import get_close_matches
from http.client import HTTPException
from typing import Any, Union
from urllib.parse import urlparse

import torch
from mmengine.dist import barrier, is_main_process
from mmengine.registry import WEIGHT_INITIALIZERS
from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as mmengine_checkpoint

from .pretrained import CheckedPretrained
from .safe_load import load_checkpoint, trust_checkpoints

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

#: Storage services whose files mmengine would load with the code in them.
_REFUSED = ('pavi://', r'(\S+\:)?s3://', r'(\S+\:)?petrel://')


def load_checkpoints_safely(trust: bool = False) -> None:
    """Make mmengine load checkpoints through :func:`load_checkpoint` in this process.

    mmengine's own loaders fall back to running the file's code when the safe way fails (or, on
    OpenMMLab's 0.10.7, cannot read its own checkpoints with torch >= 2.6). The command-line tools
    call this at their start. Files, URLs and the model zoos' names work as ever; checkpoints on
    storage services have to be downloaded first.

    Args:
        trust: Run the code in files that cannot be read without, with a warning.
    """
    trust_checkpoints(trust)
    for prefix, loader in _loaders().items():
        CheckpointLoader.register_scheme(prefixes=prefix, loader=loader, force=True)
    WEIGHT_INITIALIZERS.register_module('Pretrained', force=True, module=CheckedPretrained)


def load_by_name(name: Union[str, os.PathLike], map_location: Any = None) -> dict:
    """Load a file, a URL or a model of a zoo (``torchvision://vgg16``), whatever mmengine's
    loaders are in this process.

    Raises:
        OSError, ValueError: in one line, as :func:`load_checkpoint` and the loaders here.
    """
    name = os.fspath(name)
    # The longest prefix first; the empty one fits everything.
    prefix = next(p for p in sorted(_loaders(), key=len, reverse=True) if re.match(p, name))
    return _loaders()[prefix](name, map_location)


def is_local(name: str) -> bool:
    """Whether a checkpoint's name is that of a file on this machine."""
    return not any(prefix and re.match(prefix, name) for prefix in _loaders())


def _loaders() -> dict[str, Callable[[str, Any], dict]]:
    loaders = {'': load_from_local, 'http://': load_from_http, 'https://': load_from_http}
    return (
        loaders | dict.fromkeys(_ZOOS, load_from_zoo) | dict.fromkeys(_REFUSED, load_from_storage)
    )


def load_from_local(path: str, map_location: Any = None) -> dict:
    # Weights are copied into the model: they need not be on the GPU they were saved on.
    return load_checkpoint(path, map_location or 'cpu')


def load_from_http(url: str, map_location: Any = None) -> dict:
    """Download once, into torch.hub's folder, and load.

    Raises:
        OSError: in one line, if the file cannot be had.
        ValueError: in one line, as :func:`load_checkpoint`.
    """
    name = os.path.basename(urlparse(url).path)
    if not name:
        raise ValueError(f'{url} names no file')
    path = os.path.join(torch.hub.get_dir(), 'checkpoints', name)
    if is_main_process():
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
            'fetch the file by hand and give its path in place of the URL'
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
        similar = get_close_matches(model, urls)
        hint = f'; did you mean {", ".join(similar)}?' if similar else ''
        raise ValueError(f'{prefix} has no model {model!r}{hint}')
    url = urls[model]
    if '://' not in url:  # a file of mmengine's own folder
        url = os.path.join(mmengine_checkpoint._get_mmengine_home(), url)
        return load_from_local(url, map_location)
    checkpoint = load_from_http(url, map_location)
    # These name backbones; the classifier of a VGG in MMPretrain's layout is part of it.
    if prefix == 'mmcls://' and 'layout' not in (checkpoint.get('meta') or {}):
        return mmengine_checkpoint._process_mmcls_checkpoint(checkpoint)
    return checkpoint


def load_from_storage(name: str, map_location: Any = None) -> dict:
    raise ValueError(f'{name}: download the file and give its path')
