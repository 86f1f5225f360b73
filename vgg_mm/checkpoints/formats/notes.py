"""What this package's exports say beside the weights, in files that hold texts by name."""

import json


def meta_of(notes: dict[str, str]) -> dict:
    """As the ``meta`` of a checkpoint: pre-processing and classes.

    Raises:
        ValueError: if a text is not what an export writes.
    """
    meta = {}
    if {'channel_order', 'mean', 'std'} <= notes.keys():
        mean, std = (json.loads(notes[name]) for name in ('mean', 'std'))
        meta['preprocessing'] = dict(to_rgb=notes['channel_order'] == 'RGB', mean=mean, std=std)
    if 'classes' in notes:
        meta['dataset_meta'] = dict(classes=json.loads(notes['classes']))
    return meta
