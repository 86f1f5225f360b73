"""A classifier's weights for a net that uses its layers in another form.

Detectors and segmentors carry fc6 and fc7 along in one of three forms: kept (a RoI head's two
fully-connected layers), folded into convolutions (FCN: 7x7 and 1x1), or folded and sub-sampled
(SSD, DeepLab-LargeFOV: of a 7x7 kernel every third row and column, of 4096 filters every fourth).
The shape of the layer to be initialised decides which.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple, Optional

import torch

from .layouts import has_own_names, unknown_layout
from .weights import Weights, first_of, fits, takes_other_channels, with_input_channels

#: Norms of a convolution, conv1_1's is bn1_1: mmcv's abbreviations -> their names.
NORMS = {'bn': 'batch norms', 'gn': 'group norms', 'in': 'instance norms', 'ln': 'layer norms'}

#: The layers of a classifier that other nets use, by the authors' names; fc8 is its own.
_LAYER = re.compile(rf'(conv|{"|".join(NORMS)})[1-5]_\d+|fc[67]')

_OF_BLOCK = re.compile(r'([a-z]+)([1-5]_\d+)\.weight')


class Transfer(NamedTuple):
    """The transfer of a classifier's layers to another net."""

    weights: Weights  # name in the model -> its new value
    lines: list[str]  # for every layer of the model and every unused one of the classifier
    notices: list[str] = []  # for each layer of VGG that stays as initialised


def transfer_classifier(source: Weights, target: Weights, where: str) -> Transfer:
    """Find the classifier's weights for each VGG layer of a model, anywhere in its tree.

    A layer is the same if the last part of its module's name is: ``backbone.conv1_1`` and
    ``roi_head.bbox_head.fc6`` come from ``conv1_1`` and ``fc6``. Where the classifier is
    convolutions alone, fc6 and fc7 stay as initialised.

    Args:
        source: The classifier's weights, in this package's names.
        target: The model's state dict.
        where: The checkpoint's name, for errors and the report.

    Raises:
        ValueError: in one line, if there is no VGG in the classifier, no VGG layer in the model,
            or a layer cannot be derived from the other: another width, a kernel that is no
            multiple, norms on one side only.
    """
    if not has_own_names(f'.{name}' for name in source):
        raise unknown_layout(source, where)
    sources = by_layer(source)
    wanted = layers_of_vgg(target)
    if not wanted:
        raise ValueError(
            f'{where}: the model has no layer of a VGG to initialise (conv1_1 ... fc7); '
            f'its first is {next(iter(target), None)!r}'
        )
    if other := difference(source, target):
        raise ValueError(f'{where} {other}')
    convolutions_alone = not any(name.startswith('fc') for name in sources)
    weights, forms, problems = {}, {}, []
    for name, tensor in wanted.items():
        short = last_two(name)
        may_shrink = short.startswith('fc')
        if short not in sources:
            optional = may_shrink and convolutions_alone or short.endswith('num_batches_tracked')
            problems += [] if optional else [f'it has no {short}']
            continue
        source_name, found = sources[short]
        if source_name is None:
            problems.append(f'it has more than one {short}')
            continue
        value, form = _fitted(short, found, tensor.shape)
        if value is None:
            problems.append(f'{short} is {_shape(found)}, the model expects {_shape(tensor)}')
            continue
        weights[name] = value
        if short.endswith('.weight'):
            forms[name.removesuffix('.weight')] = f'{form} {_shape(tensor)}'
    if problems:
        raise ValueError(f'{where} does not fit the model: {first_of(problems)}')
    if not weights:
        raise ValueError(f'{where} has only convolutions, the model needs fc6 and fc7')
    notices = []
    if left := sorted({name.rpartition('.')[0] for name in wanted if _is_fc(name)} - forms.keys()):
        notices.append(f'{where} has only convolutions: {", ".join(left)} left as initialised')
    return Transfer(weights, _report(forms, sources, target, weights), notices)


def transfer_to_part(source: Weights, target: Weights, where: str) -> Transfer:
    """:func:`transfer_classifier` for a backbone or a head, including its other layers.

    Those are fc8 and further layers of a detector's or segmentor's head: copied where names and
    shapes are the same, else left as initialised, with a notice. ``source`` is of the part or of a
    whole classifier, ``target`` the part's state dict.
    """
    weights, lines, notices = transfer_classifier(source, target, where)
    sources = by_layer(source)
    for name in target.keys() - weights.keys():
        _, tensor = sources.get(last_two(name), (None, None)) if _is_fc(name) else (None, None)
        tensor = source.get(name, tensor)
        if tensor is None:
            if last_two(name) == 'fc8.weight':
                notices.append(f'{name} is left as initialised: {where} has none')
            continue
        if fits(tensor.shape, target[name].shape):
            weights[name] = tensor.reshape(target[name].shape)
        else:
            notices.append(
                f'{name} is left as initialised: it is {_shape(target[name])}, in {where} '
                f'{_shape(tensor)}'
            )
    return Transfer(weights, lines, notices)


def by_layer(weights: Weights) -> dict[str, tuple[Optional[str], torch.Tensor]]:
    """'conv1_1.weight' -> (full name, tensor); the full name is None if there are several."""
    found: dict[str, tuple[Optional[str], torch.Tensor]] = {}
    for name, tensor in weights.items():
        short = last_two(name)
        found[short] = (None if short in found else name, tensor)
    return found


def last_two(name: str) -> str:
    """'backbone.conv1_1.weight' -> 'conv1_1.weight'"""
    return '.'.join(name.split('.')[-2:])


def layers_of_vgg(target: Weights) -> Weights:
    """Of a model's weights those of layers that a classifier can give."""
    return {
        name: tensor
        for name, tensor in target.items()
        if _LAYER.fullmatch(last_two(name).partition('.')[0])
    }


def _is_fc(name: str) -> bool:
    return last_two(name).startswith('fc')


def difference(source: Iterable[str], target: Iterable[str]) -> str:
    """In what the convolutions of a checkpoint are of another net than a model; '' if in nothing.

    They are if either has norms that the other has not, or if the checkpoint has a convolution more
    in one of the model's blocks. What the model has more is not examined here.

    Args:
        source, target: Names of the weights in checkpoint and model, in this package's layout.
    """
    theirs, ours = _layers(source)['conv'], _layers(target)['conv']
    if not theirs or not ours:
        return ''
    norms, wanted = norms_in(source), norms_in(target)
    if norms != wanted:
        if not norms:
            return f'has no {NORMS[wanted]}, the model has them: ' + _advice('')
        lack = f'has {NORMS[wanted]}' if wanted else 'has none'
        return f'has {NORMS[norms]}, the model {lack}: ' + _advice(norms)
    blocks = {place[0] for place in ours}
    more = sorted(f'conv{place}' for place in theirs - ours if place[0] in blocks)
    return f'is of a deeper net: it has {", ".join(more)}, the model has not' if more else ''


def _advice(norms: str) -> str:
    given = {'': 'None', 'gn': "dict(type='GN', num_groups=...)"}
    norm_cfg = given.get(norms, f"dict(type='{norms.upper()}')")
    return f'give the backbone norm_cfg={norm_cfg}, or a checkpoint of a net of its kind'


def norms_in(names: Iterable[str]) -> str:
    """Which of :data:`NORMS` a net has, by the names of its weights; '' if it has none."""
    layers = _layers(names)
    return next((norm for norm in NORMS if layers[norm]), '')


def _layers(names: Iterable[str]) -> dict[str, set[str]]:
    """'conv' and 'bn' -> {'1_1', ...}, the layers in blocks that have weights."""
    found: dict[str, set[str]] = defaultdict(set)
    for name in names:
        if match := _OF_BLOCK.fullmatch(last_two(name)):
            found[match[1]].add(match[2])
    return found


def _fitted(
    name: str, source: torch.Tensor, shape: torch.Size
) -> tuple[Optional[torch.Tensor], str]:
    """The tensor in the shape, and in which of the forms; None if it has no such form."""
    may_shrink = _is_fc(name)
    if source.shape == shape:
        return source, 'kept' if may_shrink else 'copied'
    if takes_other_channels('conv1_1.weight', source.shape, shape) and not may_shrink:
        how = 'summed over the colours' if shape[1] == 1 else 'zeros for more channels'
        return with_input_channels(source, shape[1]), how
    if may_shrink and len(shape) == source.ndim == 1:
        step = _step(len(source), shape[0])
        return (source[::step] if step else None), ''
    if fits(source.shape, shape):
        return source.reshape(shape), 'folded' if len(shape) == 4 else 'kept'
    if may_shrink and len(shape) == 4 and source.ndim in (2, 4):
        return _sub_sampled(name, source, shape)
    return None, ''


def _sub_sampled(
    name: str, source: torch.Tensor, shape: torch.Size
) -> tuple[Optional[torch.Tensor], str]:
    """Every nth filter, input, row and column.

    fc7's inputs are fc6's outputs, which were sub-sampled in the same way. Rows and columns run
    from edge to edge: of 7, the first, the middle one and the last make 3.
    """
    out_channels, in_channels, height, width = shape
    if source.ndim == 2:
        # fc6 sees all of its inputs, of any kernel; fc7 sees single positions.
        side = math.isqrt(source.shape[1] // in_channels) if name.startswith('fc6') else 1
        if name.startswith('fc6') and in_channels * side**2 != source.shape[1]:
            return None, ''
        source = source.reshape(len(source), -1, side, side)
    out_step, in_step = _step(len(source), out_channels), _step(source.shape[1], in_channels)
    rows, columns = _spread(source.shape[2], height), _spread(source.shape[3], width)
    if not (out_step and in_step and rows and columns):
        return None, ''
    chosen = source[::out_step, ::in_step][:, :, rows][:, :, :, columns]
    every = [f'filter {out_step}'] if out_step > 1 else []
    every += [f'input {in_step}'] if in_step > 1 else []
    every += [f'row and column {rows[1] - rows[0]}'] if height != source.shape[2] else []
    return chosen, f'folded, sub-sampled (every: {", ".join(every)})'


def _step(have: int, want: int) -> Optional[int]:
    return have // want if have % want == 0 else None


def _spread(have: int, want: int) -> Optional[list[int]]:
    """``want`` positions of ``have``, from edge to edge and equally far apart."""
    if want == have:
        return list(range(have))
    if want < 2 or want > have or (have - 1) % (want - 1):
        return None
    return list(range(0, have, (have - 1) // (want - 1)))


def _report(forms: dict, sources: dict, target: Weights, weights: Weights) -> list[str]:
    lines = [f'{name} <- {name.split(".")[-1]}, {form}' for name, form in forms.items()]
    rest = {name.rpartition('.')[0] for name in target if name not in weights}
    lines += [f'{name}: as initialised' for name in sorted(rest)]
    used = {name.split('.')[-2] for name in weights}
    unused = {name.split('.')[0] for name in sources} - used
    return lines + [f'not used: {name}' for name in sorted(unused)]


def _shape(tensor: torch.Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)
