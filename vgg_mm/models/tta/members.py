"""Trained nets that take part in a test beside the one that is tested."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Optional, Union

import torch.nn as nn
from mmengine.config import Config

from vgg_mm.checkpoints import load_by_name, noted_preprocessing, preprocessing_of, weights_of
from vgg_mm.checkpoints.weights import first_of, misfits
from vgg_mm.registry import MODELS

Scales = Optional[tuple[int, ...]]


class FusedNet(NamedTuple):
    """A net and the test scales Q at which it takes part; None for all."""

    net: nn.Module
    scales: Scales

    def looks_at(self, q: int) -> bool:
        return self.scales is None or q in self.scales


def load_fused_net(spec: Any, where: str) -> FusedNet:
    """Build a net and load its weights.

    Args:
        spec: A dict with ``config``, the path of a config or the dict of its model; ``checkpoint``,
            a file, URL or name as for ``load_from``; and, if not all, ``scales``.
        where: The setting that ``spec`` comes from, for messages.

    Raises:
        FileNotFoundError, ValueError: in one line, if something is missing or does not fit.
    """
    known = {'config', 'checkpoint', 'scales'}
    if not isinstance(spec, Mapping) or not {'config'} <= set(spec) <= known:
        raise ValueError(f'{where} must be dict(config=..., checkpoint=...[, scales=...])')
    checkpoint = spec.get('checkpoint')
    if not checkpoint:
        raise ValueError(
            f'{where}.checkpoint is not set: give the trained net, '
            f'--cfg-options {where}.checkpoint=FILE'
        )
    net = MODELS.build(_model_config(spec['config'], where))
    loaded = load_by_name(checkpoint, map_location='cpu')
    _copy_weights(net, weights_of(loaded), f'{where}: {checkpoint}')
    expected = noted_preprocessing(loaded)
    if expected is not None and preprocessing_of(net.data_preprocessor) is not None:
        expected.put_into(net.data_preprocessor)
    return FusedNet(net, check_scales(spec.get('scales'), where))


def check_scales(scales: Union[int, Sequence[int], None], where: str) -> Scales:
    """Q as a tuple; None stays.

    Raises:
        ValueError: if one is not a positive integer.
    """
    if scales is None:
        return None
    found = (scales,) if isinstance(scales, int) else tuple(scales)
    if not found or not all(isinstance(q, int) and q > 0 for q in found):
        raise ValueError(f'{where}.scales must be test scales Q, positive integers, got {scales!r}')
    return found


def _model_config(config: Union[str, dict], where: str) -> dict:
    if isinstance(config, Mapping):
        return dict(config)
    if not os.path.isfile(config):
        raise FileNotFoundError(f'{where}.config not found: {config}')
    return Config.fromfile(config).model


def _copy_weights(net: nn.Module, weights: dict, where: str) -> None:
    target = net.state_dict()
    problems = list(misfits(weights, target).values())
    problems += [f'{name} is missing' for name in target.keys() - weights.keys()]
    if problems:
        raise ValueError(f'{where} is of another net: {first_of(sorted(problems))}')
    for name, tensor in target.items():
        tensor.copy_(weights[name].reshape(tensor.shape))
