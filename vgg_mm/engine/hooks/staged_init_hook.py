"""Initialisation of a deep net from a trained shallower one (paper, Section 3.1)."""

import os
from collections.abc import Sequence
from typing import Any, NamedTuple, Optional, Union

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from vgg_mm.architectures import STAGED_LAYERS
from vgg_mm.checkpoints import (
    fits,
    has_own_names,
    load_by_name,
    noted_preprocessing,
    unknown_layout,
    weights_of,
)
from vgg_mm.registry import HOOKS

from ..given_weights import check_nothing_is_loaded, is_resumed, pretrained_parts
from ..preprocessing import warn_of_other_preprocessing
from ..unwrap import load_if_sharded, whole_weights


class _Copy(NamedTuple):
    name: str  # of the target
    target: torch.Tensor
    source: torch.Tensor
    line: str  # what the report says


@HOOKS.register_module()
class StagedInitHook(Hook):
    """Copy layers of a shallower net's checkpoint to the layers of the same names.

    By default the paper's: "the first four convolutional layers and the last three fully-connected
    layers" of net A. The rest stays as initialised. It acts once, before the first iteration, after
    the model's own initialisation; never when a run is resumed. Nothing is copied unless everything
    fits. A norm of a copied convolution (``bn1_1`` of ``conv1_1``) goes with it if both nets have
    one. fc8 is left out, with a notice, if the number of classes differs.

    Args:
        checkpoint: The shallower net's checkpoint: a file, a URL or ``torchvision://vgg11``, in any
            library's layout; None switches the hook off.
        layers: Names of the layers to copy.

    Raises:
        FileNotFoundError: if the checkpoint is missing.
        ValueError: in one line, if the run has other weights to start from (``load_from``,
            ``runner.load_checkpoint``, ``Pretrained``), a layer is missing on either side or has
            another shape, or the checkpoint is of no known layout.
    """

    priority = 'HIGH'

    def __init__(
        self,
        checkpoint: Union[str, os.PathLike, None],
        layers: Sequence[str] = STAGED_LAYERS,
    ):
        if isinstance(layers, str) or not layers or not all(isinstance(n, str) for n in layers):
            raise ValueError(
                f"StagedInitHook: layers must be a list of names like 'conv1_1', got {layers!r}"
            )
        self.checkpoint = checkpoint
        self.layers = tuple(layers)
        self._done = False

    def before_train(self, runner: Runner) -> None:
        if self.checkpoint is None or self._done or is_resumed(runner):
            return
        self._done = True
        check_nothing_is_loaded(runner, 'StagedInitHook', self.checkpoint, 'staged_init')
        weights = whole_weights(runner.model)
        loaded = load_by_name(self.checkpoint)
        source = weights_of(loaded)
        if not has_own_names(f'.{name}' for name in source):
            raise unknown_layout(source, f'StagedInitHook: {self.checkpoint}')
        warn_of_other_preprocessing(runner, noted_preprocessing(loaded), self.checkpoint)
        copies = []
        for layer in self.layers:
            copies += self._plan(layer, weights, source, runner)
        _check_not_pretrained(runner, self.checkpoint, copies)
        with torch.no_grad():
            for copy in copies:
                copy.target.copy_(copy.source.reshape(copy.target.shape))
        load_if_sharded(runner.model, weights)
        report = '\n'.join(f'  {copy.line}' for copy in copies)
        runner.logger.info(f'staged initialisation from {self.checkpoint}:\n{report}')

    def _plan(self, layer: str, weights: dict, source: dict, runner: Runner) -> list[_Copy]:
        """What to copy for one layer, checked."""
        targets = _tensors_of(layer, weights)
        sources = _tensors_of(layer, source)
        if not targets:
            raise ValueError(
                f'StagedInitHook: the model has no layer {layer}; it has '
                f'{", ".join(_layer_names(weights))}'
            )
        if not sources:
            raise ValueError(f'StagedInitHook: {self.checkpoint} has no layer {layer}')
        if layer == 'fc8' and len(sources['weight'][1]) != len(targets['weight'][1]):
            runner.logger.info(
                f'staged initialisation leaves fc8 as initialised: {self.checkpoint} has '
                f'{len(sources["weight"][1])} classes, the model {len(targets["weight"][1])}'
            )
            return []
        copies = [self._checked(layer, targets[k], sources.get(k)) for k in targets]
        norm = _norm_of(layer)
        if norm is not None:
            norm_targets, norm_sources = _tensors_of(norm, weights), _tensors_of(norm, source)
            if norm_targets and norm_sources:
                copies += [
                    self._checked(norm, t, norm_sources.get(k)) for k, t in norm_targets.items()
                ]
        return copies

    def _checked(self, layer: str, target: tuple, source: Optional[tuple]) -> _Copy:
        target_name, parameter = target
        if source is None:
            raise ValueError(f'StagedInitHook: {self.checkpoint} has no {target_name}')
        source_name, tensor = source
        if not fits(tensor.shape, parameter.shape):
            raise ValueError(
                f'StagedInitHook: {source_name} of {self.checkpoint} is {tuple(tensor.shape)}, '
                f'but {target_name} of the model is {tuple(parameter.shape)}: copy from a net of '
                'the same width and kernel size, or leave the layer out of `layers`'
            )
        line = f'{source_name} -> {target_name} {tuple(parameter.shape)}'
        return _Copy(target_name, parameter, tensor, line)


def _check_not_pretrained(runner: Runner, checkpoint: Any, copies: list[_Copy]) -> None:
    for part, other in pretrained_parts(runner.model).items():
        if any(copy.name.startswith(part) for copy in copies):
            raise ValueError(
                f'StagedInitHook: {checkpoint} would replace what Pretrained ({other}) gave '
                f'{part.rstrip(".") or "the model"}: leave out the one or the other '
                '(--cfg-options default_hooks.staged_init.checkpoint=None)'
            )


def _tensors_of(layer: str, tensors: dict) -> dict[str, tuple[str, torch.Tensor]]:
    """{'weight': (full name, tensor), 'bias': ...} of the layer, wherever it is in the tree."""
    found = {}
    for name, tensor in tensors.items():
        *path, kind = name.split('.')
        if path[-1:] == [layer]:
            found[kind] = (name, tensor)
    return found


def _norm_of(layer: str) -> Optional[str]:
    return layer.replace('conv', 'bn') if layer.startswith('conv') else None


def _layer_names(weights: dict) -> list[str]:
    names = {name.split('.')[-2] for name in weights if '.' in name}
    return sorted(names)
