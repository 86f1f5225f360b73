"""Initialisation of a detector or segmentor from a classifier, fc6 and fc7 included."""

import os
from collections.abc import Iterable
from typing import Union

import torch
import torch.nn as nn
from mmengine.hooks import Hook
from mmengine.runner import Runner

from vgg_mm.checkpoints import (
    layers_of_vgg,
    load_by_name,
    noted_preprocessing,
    transfer_classifier,
    weights_of,
)
from vgg_mm.checkpoints.weights import with_divided_images
from vgg_mm.registry import HOOKS

from ..given_weights import check_nothing_is_loaded, is_resumed, pretrained_parts
from ..preprocessing import differing_preprocessing, warn_of_other_preprocessing
from ..unwrap import load_if_sharded, unwrap, whole_weights


@HOOKS.register_module()
class ClassifierInitHook(Hook):
    """Copy a classification checkpoint's layers into a model that uses them in whatever form.

    The backbone's convolutions as they are; fc6 and fc7 kept (``vgg_mm.VGGBBoxHead``), folded into
    convolutions (``vgg_mm.FCNHead``) or sub-sampled (``vgg_mm.SSDVGG``, LargeFOV), as the shape of
    the model's layer asks; see :mod:`vgg_mm.checkpoints.from_classifier`. The log gets one line a
    layer. What ``init_cfg`` of type 'Pretrained' gave a part of the model stays, with a warning. It
    acts once, before the first iteration, after the model's own initialisation; never when a run is
    resumed.

    Where the config's images are the checkpoint's but for a larger ``std``, k times as large for
    all channels, the maps become k times smaller and nothing else changes: the convolutions' biases
    are divided by k and fc6's weights multiplied, exactly so in nets without norms. The authors'
    weights (std 1) have maps of up to 240, from which new layers hardly learn; 58 makes them as
    small as those of PyTorch's weights.

    Args:
        checkpoint: A file, a URL or ``torchvision://vgg16``, in any library's layout; None switches
            the hook off.
        require_fc: Refuse a checkpoint of convolutions alone if the model has fc6 or fc7, which
            would stay as initialised.

    Raises:
        OSError: in one line, if the checkpoint cannot be had.
        ValueError: in one line, if it does not fit, or the run has other weights to start from
            (``load_from``, ``runner.load_checkpoint``).
    """

    priority = 'HIGH'

    def __init__(self, checkpoint: Union[str, os.PathLike, None], require_fc: bool = False):
        self.checkpoint = checkpoint
        self.require_fc = require_fc
        self._done = False

    def before_train(self, runner: Runner) -> None:
        if self.checkpoint is None or self._done or is_resumed(runner):
            return
        self._done = True
        name = type(self).__name__
        check_nothing_is_loaded(runner, name, self.checkpoint, 'classifier_init')
        parts = pretrained_parts(runner.model)
        weights = whole_weights(runner.model)
        if parts and all(name.startswith(tuple(parts)) for name in layers_of_vgg(weights)):
            self._say_what_is_spared(runner, parts, others=False)
            return
        loaded = load_by_name(self.checkpoint)
        where = f'ClassifierInitHook: {self.checkpoint}'
        found = self._for_images_of(runner, loaded)
        if self.require_fc:
            _check_fc(found, [n for n in weights if not n.startswith(tuple(parts))], where)
        transfer = transfer_classifier(found, weights, where)
        spared = {name for name in transfer.weights if name.startswith(tuple(parts))}
        for name in transfer.weights.keys() - spared:
            weights[name].copy_(transfer.weights[name])
        load_if_sharded(runner.model, weights)
        lines = [line for line in transfer.lines if not line.startswith(_layers(spared))]
        report = '\n'.join(f'  {line}' for line in lines)
        runner.logger.info(f'initialised from the classifier {self.checkpoint}:\n{report}')
        for notice in transfer.notices:
            runner.logger.warning(notice)
        if spared:
            self._say_what_is_spared(runner, parts, others=len(spared) < len(transfer.weights))

    def _for_images_of(self, runner: Runner, loaded: dict) -> dict[str, torch.Tensor]:
        """The weights, for images that are divided by more than those they were trained on."""
        weights, expected = weights_of(loaded), noted_preprocessing(loaded)
        found = differing_preprocessing(runner, expected)
        by = found.quotient(expected) if found is not None and expected is not None else None
        if by is None or not _is_homogeneous(unwrap(runner.model)):
            warn_of_other_preprocessing(runner, expected, self.checkpoint)
            return weights
        runner.logger.info(
            f'{self.checkpoint} expects std {expected.std[0]:g}, the config has '
            f'{found.std[0]:g}: biases of convolutions are divided by {by:g} and the weights of '
            f'fc6 multiplied, so that maps are {by:g} times smaller and all else stays'
        )
        return with_divided_images(weights, by)

    def _say_what_is_spared(self, runner: Runner, parts: dict[str, str], others: bool) -> None:
        """That ``Pretrained``, which somebody asked for, goes before a config's default."""
        given = ', '.join(f'{part.rstrip(".") or "the model"} ({f})' for part, f in parts.items())
        mixed = ''
        if others and set(parts.values()) != {str(self.checkpoint)}:
            mixed = (
                f'; the other layers of VGG are of {self.checkpoint}, another net: give this hook '
                'the same file, or checkpoint=None'
            )
        runner.logger.warning(f'ClassifierInitHook leaves what Pretrained gave: {given}{mixed}')


def _is_homogeneous(model: nn.Module) -> bool:
    """Whether maps become smaller as images do: without norms, whatever the weights."""
    norms = (nn.LocalResponseNorm, nn.modules.batchnorm._BatchNorm)
    backbone = getattr(model, 'backbone', model)
    return not any(isinstance(module, norms) for module in backbone.modules())


def _layers(names: set[str]) -> tuple[str, ...]:
    """How the report's lines of these weights begin."""
    return tuple({f'{name.rpartition(".")[0]} <-' for name in names})


def _check_fc(found: dict, wanted: list[str], where: str) -> None:
    """Refuse convolutions alone for a model with fc6 or fc7."""
    missing = sorted(_fc_layers(wanted) - _fc_layers(found))
    if missing:
        raise ValueError(
            f'{where} has no {" and ".join(missing)}, which this config starts from: give a whole '
            'classifier, or default_hooks.classifier_init.require_fc=False, which leaves them as '
            'initialised'
        )


def _fc_layers(names: Iterable[str]) -> set[str]:
    return {n.split('.')[-2] for n in names if n.endswith('.weight')} & {'fc6', 'fc7'}
