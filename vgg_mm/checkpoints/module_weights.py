"""Any library's weights for the modules of this package: from a state dict, or by ``Pretrained``.

In any program (mmengine, MMPretrain, MMDetection, MMSegmentation, plain torch) a module finally
loads a state dict. :class:`vgg_mm.models.foreign_weights.ForeignWeights` lets the modules
of this package convert it first, by the functions here.
"""

import logging
import re
from collections.abc import Iterable
from typing import Any, Optional

import torch
import torch.nn as nn
from mmengine.logging import print_log
from mmengine.model.weight_init import PretrainedInit, update_init_info
from mmengine.runner import load_state_dict
from torch.distributed.fsdp import FullyShardedDataParallel

from vgg_mm.installation import command
from vgg_mm.registry import WEIGHT_INITIALIZERS

from .from_classifier import last_two, transfer_to_part
from .layouts import has_own_names, recognise, unknown_layout
from .preprocessing import Preprocessing, noted_preprocessing
from .schemes import load_by_name
from .weights import FIRST_WEIGHT, Weights, colours_in_bgr, weights_of

#: Before the names of a whole model's weights, until its parts convert them.
_TEMPORARY = 'vgg'

#: Part of the names of modules wrapped by FSDP.
_SHARDED = '_fsdp_wrapped_module.'

#: A convolution of VGG by the name that some library gives it.
_CONVOLUTION = re.compile(r'(^|[./])(features\.\d+\.|conv\d_\d[./]|block\d_conv\d/|layers/conv2d)')


def convert_part(module: Any, state_dict: dict, prefix: str, unexpected: Iterable[str]) -> None:
    """Convert a module's part of a state dict to the module's names and shapes, in place.

    Weights that already have them are not changed; neither is a state dict without any.

    Args:
        module: With layers of VGG.
        state_dict, prefix: As the module's ``_load_from_state_dict`` gets them.
        unexpected: Names for which no module was found until now.

    Raises:
        ValueError: in one line, if they are weights of something else, or of another net; or if the
            module is sharded (FSDP).
    """
    given = _tensors(state_dict, prefix)
    if any(_is_name_in(module, name) for name in given):
        return
    where = f'{prefix.rstrip(".") or "the net"} ({type(module).__name__})'
    if not given:
        _check_elsewhere(where, prefix, list(unexpected), module)
        return
    own, preprocessing = _own_layout(given, f'what {where} was given')
    _check_whole(module, prefix)
    weights = _of_module(module, own, preprocessing, f'what {where} was given')
    for name in given:
        del state_dict[prefix + name]
    state_dict.update({prefix + name: tensor for name, tensor in weights.items()})


def convert_classifier(backbone: Any, state_dict: dict, prefix: str) -> None:
    """Split another library's whole net into a classifier's backbone and head, in place.

    Args:
        backbone: The model's VGG.
        state_dict, prefix: As the model's ``_load_from_state_dict`` gets them.

    Raises:
        ValueError: in one line, if they are weights of something else, or the model is sharded.
    """
    if f'{prefix}{FIRST_WEIGHT}' in state_dict:
        return
    given = _tensors(state_dict, prefix)
    if not given or _has_parts(given):
        return
    own, preprocessing = _own_layout(given, f'what {prefix.rstrip(".") or "the model"} was given')
    _check_whole(backbone, prefix)
    with_classifier = hasattr(backbone, 'classifier')
    for name in given:
        del state_dict[prefix + name]
    for name, tensor in own.items():
        is_fc = last_two(name).startswith('fc')
        part = 'head' if is_fc and not with_classifier else 'backbone'
        state_dict[f'{prefix}{part}.{_TEMPORARY}.{name}'] = tensor
    if preprocessing is not None:
        backbone.pretrained_preprocessing = preprocessing


def _of_module(
    module: Any, weights: Weights, preprocessing: Optional[Preprocessing], where: str
) -> Weights:
    """Weights of a net by the names and in the shapes of one of its modules."""
    target = module.state_dict()
    is_rgb = preprocessing is not None and preprocessing.to_rgb
    turned = colours_in_bgr(weights, target) if is_rgb else []
    transfer = transfer_to_part(weights, target, where)
    for notice in [*turned, *transfer.notices]:
        print_log(notice, logger='current', level=logging.WARNING)
    if preprocessing is not None:
        # PreprocessingHook compares it with the model's.
        module.pretrained_preprocessing = preprocessing
    return transfer.weights


def _tensors(state_dict: dict, prefix: str) -> Weights:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in state_dict.items()
        if name.startswith(prefix) and isinstance(tensor, torch.Tensor)
    }


def _is_name_in(module: Any, name: str) -> bool:
    """Whether it is a name in the module, possibly inside wrappers (FSDP)."""
    first, *rest = name.split('.')
    if first.startswith('_'):
        return True
    if not rest:
        return first in module._parameters or first in module._buffers
    child = module._modules.get(first)
    return child is not None and (len(rest) == 1 or rest[0] in child._modules)


def _has_parts(given: Weights) -> bool:
    """Whether weights are a classifier's in this package's form, or of other parts of a model."""
    if has_own_names(given):
        return any(name.startswith(('backbone.', 'head.')) for name in given)
    return recognise(given) is None and any(
        name.startswith(('backbone.', 'neck.', 'head.')) for name in given
    )


def _own_layout(given: Weights, where: str) -> tuple[Weights, Optional[Preprocessing]]:
    """The same in this package's layout, and its pre-processing if known."""
    if has_own_names(given):
        return given, None
    try:
        found = recognise(given)
    except ValueError as error:
        raise ValueError(f'{where}: {error}') from error
    if found is None:
        raise unknown_layout(given, where)
    expected = found.preprocessing
    text = f'weights of net {found.arch} in the layout of {found.layout.name}'
    if expected is not None:
        text += f'; they expect images as {expected}'
    print_log(f'{where}: {text}', logger='current')
    return found.weights, expected


def _check_whole(module: nn.Module, prefix: str) -> None:
    """Refuse a sharded module, of whose layers no process has all shapes."""
    if _SHARDED in prefix or any(isinstance(m, FullyShardedDataParallel) for m in module.modules()):
        raise ValueError(
            'the net is sharded (FSDP) and accepts weights in its own names only: convert the file '
            f'with {command("convert")}, give it to {command("train")} as load_from, or load it '
            'before the net is wrapped'
        )


def _check_elsewhere(where: str, prefix: str, unexpected: list[str], module: nn.Module) -> None:
    """Refuse a state dict with names of no part of the model, and none where the module's are."""
    if not any('conv1_1' in name for name in module._modules):
        return  # a head may be new
    found = next(filter(_CONVOLUTION.search, unexpected), None)
    if found is not None:
        raise ValueError(
            f'the state dict has weights of a VGG ({found!r}, ...), but none begins with '
            f'{prefix!r}, so that {where} would stay as initialised: give the backbone '
            "init_cfg=dict(type='Pretrained', checkpoint=FILE), or use vgg_mm.ClassifierInitHook"
        )
    if unexpected:
        raise ValueError(
            f'the state dict is of another model ({unexpected[0]!r}, ...): none of its names '
            f'begins with {prefix!r}, so that {where} would stay as initialised'
        )


@WEIGHT_INITIALIZERS.register_module()
class Pretrained(PretrainedInit):
    """mmengine's initialisation by a checkpoint, for this package's modules, in any program.

    mmengine's copies what has the same name and shape and warns about the rest in a long list, so
    that a wrong checkpoint initialises nothing. This one takes weights in any library's layout, no
    code from the file is run, of a whole classifier each module takes its part (fc6 and fc7 in the
    form that the module has), and wrong shapes are refused. Layers that depend on the classes
    (fc8, a detector's predictors) stay as initialised, with a notice, if their number differs.

    Args:
        checkpoint: A file, a URL or a name such as ``torchvision://vgg16``.
        prefix: Part of the checkpoint, in this package's names: 'backbone.', 'head'. Not needed
            for a classifier's.
        map_location: As in :func:`torch.load`.

    Raises:
        OSError, ValueError: in one line, if the checkpoint cannot be read or does not match.
    """

    def __call__(self, module: Any) -> None:
        checkpoint = load_by_name(self.checkpoint, self.map_location)
        where = f'Pretrained: {self.checkpoint}'
        source = self._part(weights_of(checkpoint))
        if not has_own_names(f'.{name}' for name in source):
            raise unknown_layout(source, where)
        expected = noted_preprocessing(checkpoint)
        weights = _of_module(module, source, expected, where)
        print_log(f'load model from: {self.checkpoint}', logger='current')
        load_state_dict(module, weights, strict=False, logger='current')
        if expected is not None:
            print_log(f'{self.checkpoint} expects images as {expected}', logger='current')
        if hasattr(module, '_params_init_info'):
            update_init_info(module, init_info=self._get_init_info())

    def _part(self, weights: Weights) -> Weights:
        """The weights below ``prefix``; all without one."""
        if self.prefix is None:
            return weights
        start = f'{self.prefix.rstrip(".")}.'
        part = {n.removeprefix(start): t for n, t in weights.items() if n.startswith(start)}
        if not part:
            raise ValueError(
                f'Pretrained: nothing in {self.checkpoint} begins with prefix={self.prefix!r}; '
                f'the first is {next(iter(weights), None)!r}'
            )
        return part
