"""Initialisation of a detector or segmentor from a classifier, fc6 and fc7 included."""

import os
from typing import Union

from mmengine.hooks import Hook
from mmengine.runner import Runner

from vgg_mm.checkpoints import (
    load_by_name,
    recorded_preprocessing,
    transfer_classifier,
    weights_of,
)
from vgg_mm.registry import HOOKS

from ..preprocessing import warn_of_other_preprocessing
from ..unwrap import load_if_sharded, whole_weights


@HOOKS.register_module()
class ClassifierInitHook(Hook):
    """Copy a classification checkpoint's layers into a model that uses them in whatever form.

    The backbone's convolutions as they are; fc6 and fc7 kept (``vgg_mm.VGGBBoxHead``), folded into
    convolutions (``vgg_mm.FCNHead``) or sub-sampled (``vgg_mm.SSDVGG``, LargeFOV), as the shape of
    the model's layer asks; see :mod:`vgg_mm.checkpoints.from_classifier`. The log gets one line a
    layer. It acts once, before the first iteration, after the model's own initialisation; never
    when a run is resumed.

    Args:
        checkpoint: A file, a URL or ``torchvision://vgg16``, in any library's layout; None switches
            the hook off.

    Raises:
        OSError: in one line, if the checkpoint cannot be had.
        ValueError: in one line, if it does not fit, or the run has other weights to start from
            (``load_from``).
    """

    priority = 'HIGH'

    def __init__(self, checkpoint: Union[str, os.PathLike, None]):
        self.checkpoint = checkpoint
        self._done = False

    def before_train(self, runner: Runner) -> None:
        if self.checkpoint is None or self._done or runner.iter > 0:
            return
        self._done = True
        started_from = getattr(runner, '_load_from', None)
        if started_from is not None:
            raise ValueError(
                f'ClassifierInitHook: {self.checkpoint} would replace what load_from='
                f'{started_from} gave: leave out the one or the other (--cfg-options '
                'default_hooks.classifier_init.checkpoint=None)'
            )
        loaded = load_by_name(self.checkpoint)
        warn_of_other_preprocessing(runner, recorded_preprocessing(loaded), self.checkpoint)
        weights = whole_weights(runner.model)
        where = f'ClassifierInitHook: {self.checkpoint}'
        transfer = transfer_classifier(weights_of(loaded), weights, where)
        for name, value in transfer.weights.items():
            weights[name].copy_(value)
        load_if_sharded(runner.model, weights)
        report = '\n'.join(f'  {line}' for line in transfer.lines)
        runner.logger.info(f'initialised from the classifier {self.checkpoint}:\n{report}')
