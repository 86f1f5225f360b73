"""A net's number of input channels, and what in a config goes by it."""

from collections.abc import Iterator
from typing import Any

from mmengine.config import Config

from vgg_mm.checkpoints.preprocessing import Preprocessing

COLOURS = 3


def set_input_channels(cfg: Config) -> None:
    """Let images be loaded and normalised with as many channels as the backbone takes.

    Where it is not 3, each ``vgg_mm.LoadImage`` below the config gets ``in_channels``, and mean and
    deviation of three colours become those of the channels
    (:meth:`~vgg_mm.checkpoints.Preprocessing.for_channels`). What is given stays.
    """
    model = cfg.get('model') or {}
    while 'module' in model:  # of an earlier test
        model = model['module']
    channels = (model.get('backbone') or {}).get('in_channels', COLOURS)
    if channels == COLOURS:
        return
    for step in _steps(cfg._cfg_dict):
        step.setdefault('in_channels', channels)
    settings = model.get('data_preprocessor') or {}
    if len(settings.get('mean') or ()) == COLOURS:
        mean, std = (tuple(settings[key]) for key in ('mean', 'std'))
        found = Preprocessing(settings.get('to_rgb', False), mean, std)
        settings.update(found.for_channels(channels).to_meta())


def _steps(node: Any) -> Iterator[dict]:
    """Every ``vgg_mm.LoadImage`` below."""
    if isinstance(node, dict):
        if node.get('type') == 'vgg_mm.LoadImage':
            yield node
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for child in node:
            yield from _steps(child)
