"""Hooks that initialise a net from the checkpoint of another one."""

import os
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Union

import torch.nn as nn
from mmengine.hooks import Hook
from mmengine.runner import Runner

from vgg_mm.architectures import STAGED_LAYERS
from vgg_mm.checkpoints import (
    fits,
    has_own_names,
    layers_of_vgg,
    load_by_name,
    noted_preprocessing,
    transfer_classifier,
    unknown_layout,
    weights_of,
)
from vgg_mm.checkpoints.from_classifier import difference, norms_in
from vgg_mm.checkpoints.weights import Weights, colours_in_bgr, with_divided_images
from vgg_mm.registry import HOOKS

from ..unwrap import load_if_sharded, unwrap, whole_weights
from .preprocessing_hook import differing_preprocessing, warn_of_other_preprocessing


class InitHook(Hook):
    """Replaces weights by a checkpoint's once, before the first iteration; not in a resumed run.

    Other initial weights of the run (``load_from``, ``runner.load_checkpoint``) are an error.
    """

    priority = 'HIGH'

    #: Of the hook in ``default_hooks``.
    key: str

    def __init__(self, checkpoint: Union[str, os.PathLike, None]):
        self.checkpoint: Any = checkpoint
        self._done = False

    def before_train(self, runner: Runner) -> None:
        loaded = getattr(runner, '_has_loaded', False)
        # Also from a checkpoint before the first iteration.
        is_resumed = runner.iter > 0 or (getattr(runner, '_resume', False) and loaded)
        if self.checkpoint is None or self._done or is_resumed:
            return
        self._done = True
        loaded_from = getattr(runner, '_load_from', None)
        if loaded_from is not None or loaded:
            source = 'runner.load_checkpoint' if loaded_from is None else f'load_from={loaded_from}'
            raise self._conflict(runner, f'the weights of {source}')
        weights = whole_weights(runner.model)
        chosen = self._choose(runner, weights)
        for name, tensor in chosen.items():
            weights[name].copy_(tensor.reshape(weights[name].shape))
        load_if_sharded(runner.model, weights)

    def _conflict(self, runner: Runner, other: str) -> ValueError:
        return ValueError(
            f'{type(self).__name__}: {self.checkpoint} would replace {other}: remove one of them '
            f'(--cfg-options {self._place(runner)}.checkpoint=None)'
        )

    def _place(self, runner: Runner) -> str:
        """The hook's place in the config."""
        config = getattr(runner, 'cfg', None) or {}
        for number, hook in enumerate(config.get('custom_hooks') or []):
            kind = hook.get('type') if isinstance(hook, Mapping) else None
            if str(getattr(kind, '__name__', kind)).split('.')[-1] == type(self).__name__:
                return f'custom_hooks.{number}'
        return f'default_hooks.{self.key}'

    @abstractmethod
    def _choose(self, runner: Runner, weights: Weights) -> Weights:
        """The new values of the model's weights, by name."""


@HOOKS.register_module()
class StagedInitHook(InitHook):
    """Copy layers of a shallower net's checkpoint to the layers of the same names.

    By default the paper's (Section 3.1): "the first four convolutional layers and the last three
    fully-connected layers" of net A. The rest stays as initialised. It acts once, before the first
    iteration, after the model's own initialisation; never when a run is resumed. Nothing is copied
    unless everything fits. A norm of a copied convolution (``bn1_1`` of ``conv1_1``) goes with it
    if both nets have one. fc8 is left out, with a notice, if the number of classes differs.

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

    key = 'staged_init'

    def __init__(
        self, checkpoint: Union[str, os.PathLike, None], layers: Sequence[str] = STAGED_LAYERS
    ):
        if isinstance(layers, str) or not layers or not all(isinstance(n, str) for n in layers):
            raise ValueError(
                f"StagedInitHook: layers must be a list of names like 'conv1_1', got {layers!r}"
            )
        super().__init__(checkpoint)
        self.layers = tuple(layers)

    def _choose(self, runner: Runner, weights: Weights) -> Weights:
        loaded = load_by_name(self.checkpoint)
        source = weights_of(loaded)
        if not has_own_names(f'.{name}' for name in source):
            raise unknown_layout(source, f'StagedInitHook: {self.checkpoint}')
        warn_of_other_preprocessing(runner, noted_preprocessing(loaded), self.checkpoint)
        names: dict[str, str] = {}
        for layer in self.layers:
            names |= self._names_for(layer, weights, source, runner)
        for part, other in pretrained_parts(runner.model).items():
            if any(name.startswith(part) for name in names):
                gave = part.rstrip('.') or 'the model'
                raise self._conflict(runner, f'the weights that Pretrained ({other}) gave {gave}')
        report = '\n'.join(
            f'  {theirs} -> {ours} {tuple(weights[ours].shape)}' for ours, theirs in names.items()
        )
        runner.logger.info(f'staged initialisation from {self.checkpoint}:\n{report}')
        return {ours: source[theirs] for ours, theirs in names.items()}

    def _names_for(
        self, layer: str, weights: Weights, source: Weights, runner: Runner
    ) -> dict[str, str]:
        """Names of a layer's weights, and its norm's, in the model -> in the checkpoint."""
        ours, theirs = _names_in(layer, weights), _names_in(layer, source)
        if not ours:
            layers = sorted({name.split('.')[-2] for name in weights if '.' in name})
            raise ValueError(
                f'StagedInitHook: the model has no layer {layer}; it has {", ".join(layers)}'
            )
        if not theirs:
            raise ValueError(f'StagedInitHook: {self.checkpoint} has no layer {layer}')
        if layer == 'fc8':
            classes, found = len(weights[ours['weight']]), len(source[theirs['weight']])
            if classes != found:
                runner.logger.info(
                    f'staged initialisation leaves fc8 as initialised: {self.checkpoint} has '
                    f'{found} classes, the model {classes}'
                )
                return {}
        names: dict[str, Any] = {ours[kind]: theirs.get(kind) for kind in ours}
        if layer.startswith('conv') and (norm := norms_in(source)):
            if norms_in(weights) != norm:
                raise ValueError(f'StagedInitHook: {self.checkpoint} {difference(source, weights)}')
            norm = layer.replace('conv', norm)
            of_norm = _names_in(norm, source)
            names |= {name: of_norm.get(kind) for kind, name in _names_in(norm, weights).items()}
        for name, other in names.items():
            if other is None:
                raise ValueError(f'StagedInitHook: {self.checkpoint} has no {name}')
            if not fits(source[other].shape, weights[name].shape):
                raise ValueError(
                    f'StagedInitHook: {other} of {self.checkpoint} is '
                    f'{tuple(source[other].shape)}, but {name} of the model is '
                    f'{tuple(weights[name].shape)}: copy from a net of the same width and kernel '
                    'size, or leave the layer out of `layers`'
                )
        return names


def _names_in(layer: str, tensors: Weights) -> dict[str, str]:
    """{'weight': full name, 'bias': ...} of the layer, anywhere in the tree."""
    return {name.split('.')[-1]: name for name in tensors if name.split('.')[-2:-1] == [layer]}


@HOOKS.register_module()
class ClassifierInitHook(InitHook):
    """Copy a classification checkpoint's layers into a model that uses them in any form.

    The backbone's convolutions as they are; fc6 and fc7 kept (``vgg_mm.VGGBBoxHead``), folded into
    convolutions (``vgg_mm.FCNHead``) or sub-sampled (``vgg_mm.SSDVGG``, LargeFOV), as the shape of
    the model's layer requires; see :mod:`vgg_mm.checkpoints.from_classifier`. The log gets one line
    a layer. A part of the model initialised by ``init_cfg`` of type 'Pretrained' stays, with a
    warning. It acts once, before the first iteration, after the model's own initialisation; never
    when a run is resumed.

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
        OSError: in one line, if the checkpoint cannot be read.
        ValueError: if it does not match, or the run has other weights to start from
            (``load_from``, ``runner.load_checkpoint``).
    """

    key = 'classifier_init'

    def __init__(self, checkpoint: Union[str, os.PathLike, None], require_fc: bool = False):
        super().__init__(checkpoint)
        self.require_fc = require_fc

    def _choose(self, runner: Runner, weights: Weights) -> Weights:
        parts = pretrained_parts(runner.model)
        given = tuple(parts)
        if parts and all(name.startswith(given) for name in layers_of_vgg(weights)):
            self._warn_of_pretrained(runner, parts, others=False)
            return {}
        loaded = load_by_name(self.checkpoint)
        where = f'ClassifierInitHook: {self.checkpoint}'
        found = self._for_images_of(runner, loaded, weights)
        if self.require_fc:
            wanted = [n for n in weights if not n.startswith(given)]
            _check_fc(found, wanted, where, self._place(runner))
        transfer = transfer_classifier(found, weights, where)
        chosen = {n: tensor for n, tensor in transfer.weights.items() if not n.startswith(given)}
        spared = transfer.weights.keys() - chosen.keys()
        # The beginning of the report's lines of these weights.
        layers = tuple({f'{name.rpartition(".")[0]} <-' for name in spared})
        report = '\n'.join(f'  {line}' for line in transfer.lines if not line.startswith(layers))
        runner.logger.info(f'initialised from the classifier {self.checkpoint}:\n{report}')
        for notice in transfer.notices:
            runner.logger.warning(notice)
        if spared:
            self._warn_of_pretrained(runner, parts, others=bool(chosen))
        return chosen

    def _for_images_of(self, runner: Runner, loaded: dict, target: Weights) -> Weights:
        """The weights for the run's images: with colours in the model's order, and divided by more
        than those that they were trained on.
        """
        weights, expected = weights_of(loaded), noted_preprocessing(loaded)
        if expected is not None and expected.to_rgb:
            for notice in colours_in_bgr(weights, target):
                runner.logger.info(notice)
        found = differing_preprocessing(runner, expected)
        by = found.quotient(expected) if found is not None and expected is not None else None
        if by is None or not _is_homogeneous(unwrap(runner.model)):
            warn_of_other_preprocessing(runner, expected, self.checkpoint)
            return weights
        runner.logger.info(
            f'{self.checkpoint} expects std {expected.std[0]:g}, the config has '
            f'{found.std[0]:g}: biases of convolutions are divided by {by:g} and the weights of '
            f'fc6 multiplied, so that maps are {by:g} times smaller and all else is the same'
        )
        return with_divided_images(weights, by)

    def _warn_of_pretrained(self, runner: Runner, parts: dict[str, str], others: bool) -> None:
        """Warn that ``Pretrained``, set by the user, overrides a config's default."""
        given = ', '.join(f'{part.rstrip(".") or "the model"} ({f})' for part, f in parts.items())
        mixed = ''
        if others and set(parts.values()) != {str(self.checkpoint)}:
            mixed = (
                f'; the other layers of VGG are of {self.checkpoint}, another net: give this hook '
                'the same file, or checkpoint=None'
            )
        runner.logger.warning(f'ClassifierInitHook keeps the weights of Pretrained: {given}{mixed}')


def pretrained_parts(model: nn.Module) -> dict[str, str]:
    """Parts of a net that ``init_cfg=dict(type='Pretrained', ...)`` initialised: beginning of the
    names of their weights ('backbone.', '' for all) -> checkpoint.
    """
    found = {}
    for name, module in unwrap(model).named_modules():
        configs = getattr(module, 'init_cfg', None) or []
        for cfg in configs if isinstance(configs, list) else [configs]:
            kind = getattr(cfg.get('type'), '__name__', cfg.get('type'))
            if str(kind).split('.')[-1] in ('Pretrained', 'PretrainedInit'):
                found[f'{name}.' if name else ''] = str(cfg.get('checkpoint'))
    return found


def _is_homogeneous(model: nn.Module) -> bool:
    """Whether maps scale with the images, for any weights: no norms, and activations like ReLU."""
    layers = (nn.Conv2d, nn.ReLU, nn.LeakyReLU, nn.MaxPool2d, nn.Dropout, nn.Identity)
    backbone = getattr(model, 'backbone', model)
    leaves = (module for module in backbone.modules() if not list(module.children()))
    return all(isinstance(leaf, layers) for leaf in leaves)


def _check_fc(found: Weights, wanted: list[str], where: str, place: str) -> None:
    """Refuse convolutions alone for a model with fc6 or fc7."""
    missing = sorted(_fc_layers(wanted) - _fc_layers(found))
    if missing:
        raise ValueError(
            f'{where} has no {" and ".join(missing)}, which this config starts from: give a whole '
            f'classifier, or {place}.require_fc=False, which leaves them as initialised'
        )


def _fc_layers(names: Iterable[str]) -> set[str]:
    return {n.split('.')[-2] for n in names if n.endswith('.weight')} & {'fc6', 'fc7'}
