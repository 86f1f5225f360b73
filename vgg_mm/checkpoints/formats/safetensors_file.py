"""Files of the safetensors library."""

import json

from safetensors import SafetensorError, safe_open

from . import File


def read(path: str) -> File:
    """The weights, and the pre-processing and classes that this package's exports say."""
    try:
        with safe_open(path, framework='pt') as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            notes = file.metadata() or {}
        return File(weights, _meta(notes))
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise ValueError(f'{path} is truncated or no safetensors file: {error}') from error


def _meta(notes: dict[str, str]) -> dict:
    meta = {}
    if {'channel_order', 'mean', 'std'} <= notes.keys():
        mean, std = (json.loads(notes[name]) for name in ('mean', 'std'))
        meta['preprocessing'] = dict(to_rgb=notes['channel_order'] == 'RGB', mean=mean, std=std)
    if 'classes' in notes:
        meta['dataset_meta'] = dict(classes=json.loads(notes['classes']))
    return meta
