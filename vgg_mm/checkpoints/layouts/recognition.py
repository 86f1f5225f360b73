"""Recognising the layout of weights, and converting them to this package's."""

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from os.path import commonprefix
from typing import Any, NamedTuple, Optional

import torch
from mmengine.logging import print_log

from vgg_mm.architectures import ARCHITECTURES
from vgg_mm.text import first_few

from ..known_weights import identify
from ..preprocessing import META_KEY, Preprocessing, note_preprocessing
from ..weights import FIRST_WEIGHT, Weights, averaged_weights, is_averaged, state_dicts, weights_of
from .layout import Layout, Table, conv_names, without_head
from .libraries import LAYOUTS

#: This package's own names of a backbone's first layer or a head's, or alone after a dot.
_OWN = re.compile(r'((.*\.)?(backbone\.conv1_1|\w*head\.fc6)|\.(conv1_1|fc6))\.weight')

#: fc6, fc7 and fc8 as this package's ONNX files name them.
_EXPORTED = re.compile(r'^(fc[678]\.)')

#: Maximum number of found names in an error, and maximum length of each.
MAX_SHOWN, MAX_NAME_LENGTH = 3, 40


def has_own_names(names: Iterable[str]) -> bool:
    """Whether weights are named as this package names them: ``backbone.conv1_1``, ``head.fc6``.

    They may be anywhere in the tree: detectors have further weights. Those of a backbone or head
    alone count if the names are given with a dot before them.
    """
    return any(_OWN.fullmatch(name) for name in names)


class Recognised(NamedTuple):
    """Weights that were in a known layout."""

    layout: Layout
    arch: str  # of ARCHITECTURES; A and A-LRN have the same weights
    weights: Weights  # in this package's layout
    sources: dict[str, str]  # names in weights -> names in the file
    left_out: list[str]  # names in the file that are of no layer of the net

    @property
    def preprocessing(self) -> Optional[Preprocessing]:
        """What the weights expect, by their numbers, or else as those published in the layout."""
        known = _by_numbers(self.weights)
        usual = self.layout.preprocessing
        origin = f'assumed: as of published weights of {self.layout.name}'
        return known or (usual and usual._replace(origin=origin))


class _Match(NamedTuple):
    layout: Layout
    prefix: str  # of the names in the file, before the layout's
    arch: str
    table: Table
    layers: dict[str, dict[str, str]]  # layer of the file -> 'weight' ... -> full name

    @property
    def found(self) -> int:
        """How many layers of the table the file has."""
        return len(self.table.keys() & self.layers.keys())


def recognise(weights: Weights, meta: Optional[dict] = None) -> Optional[Recognised]:
    """Find the layout by the weights' names and shapes; None if there is none that fits.

    The names may have any prefix before a layout's own; ``meta`` is the file's metadata.

    Raises:
        ValueError: in one line, if a layer has a shape that it cannot have, or the names leave
            open what the layers are.
    """
    matches = _best_matches(weights)
    return _convert(matches[0], weights, meta or {}) if len(matches) == 1 else None


def _best_matches(weights: Weights) -> list[_Match]:
    """The matches with most layers; several if the file holds several nets."""
    matches = [
        match
        for layout in LAYOUTS
        for prefix in _prefixes(layout, weights)
        for match in _matches(layout, prefix, weights)
        if _kernels_fit(match, weights)
    ]
    if not matches:
        return []
    kinds = [match for match in matches if not is_averaged(match.prefix)] or matches
    best = max(kinds, key=lambda match: match.found)
    nets: dict[str, _Match] = {}
    for match in kinds:
        if match.layout is best.layout and match.found == best.found:
            nets.setdefault(match.prefix, match)
    return list(nets.values())


def _prefixes(layout: Layout, weights: Weights) -> list[str]:
    """The prefix of the layout's names: 'model.' in 'model.features.0.weight'."""
    tables = [table for arch in ARCHITECTURES for table in layout.tables(arch)]
    first = {layer for table in tables for layer, own in table.items() if own == 'conv1_1'}
    prefixes: dict[str, None] = {}
    for name, tensor in weights.items():
        parts = name.split('.') if tensor.ndim == 4 else []
        for i in range(len(parts)):
            found = layout.layer_of('.'.join(parts[i:]), tensor)
            if found and found[0] in first and found[1] == 'weight':
                prefixes['.'.join([*parts[:i], ''])] = None
                break
    return list(prefixes)


def _matches(layout: Layout, prefix: str, weights: Weights) -> Iterator[_Match]:
    """The tables whose convolutions are those in the file."""
    bare = {n.removeprefix(prefix): t for n, t in weights.items() if n.startswith(prefix)}
    if not layout.applies(bare):
        return
    layers: dict[str, dict[str, str]] = {}
    for name, tensor in bare.items():
        if found := layout.layer_of(name, tensor):
            layers.setdefault(found[0], {})[found[1]] = prefix + name
    tables = [(arch, table) for arch in ARCHITECTURES for table in layout.tables(arch)]
    possible = {layer for _, table in tables for layer in _convs(table)}
    # Where one net has a convolution, another may have a norm: its weight has no kernel.
    present = {
        layer
        for layer in possible & layers.keys()
        if 'weight' in layers[layer] and weights[layers[layer]['weight']].ndim == 4
    }
    for arch, table in tables:
        # SSD's fc6 and fc7 are at the places of a deeper net's convolutions.
        if _convs(table) <= present <= table.keys():
            yield _Match(layout, prefix, arch, table, layers)


def _convs(table: Table) -> set[str]:
    return {layer for layer, own in table.items() if own.startswith('conv')}


def _kernels_fit(match: _Match, weights: Weights) -> bool:
    """Whether the kernels have the sizes of the net, which distinguishes C from D."""
    kernels = chain.from_iterable(ARCHITECTURES[match.arch].kernels)
    for name, kernel in zip(conv_names(match.arch), kernels):
        stored = weights[match.layers[_layer(match.table, f'conv{name}')]['weight']]
        tensor = match.layout.tensor_of(f'conv{name}', 'weight', stored, 1)
        if tensor.shape[2:] != (kernel, kernel):
            return False
    return True


def _convert(match: _Match, weights: Weights, meta: dict) -> Recognised:
    layout, converted, sources = match.layout, {}, {}
    channels = 1

    def add(layer: str, own: str) -> None:
        for kind, name in match.layers.get(layer, {}).items():
            _check(own, kind, name, weights[name])
            part = 'head' if own.startswith('fc') else 'backbone'
            tensor = layout.tensor_of(own, kind, weights[name], channels)
            converted[f'{part}.{own}.{kind}'] = tensor
            sources[f'{part}.{own}.{kind}'] = name

    # In the order of the table: convolutions first, since fc6 depends on the width of the last one.
    for layer, own in match.table.items():
        add(layer, own)
        if own.startswith('conv'):
            channels = len(converted[f'backbone.{own}.weight'])
    if 'head.fc8.weight' not in converted:
        if (last := _renamed_fc8(match, converted, weights)) is not None:
            add(last, 'fc8')
        elif layout.positional and not _is_square(converted.get('head.fc7.weight')):
            # Two layers of a list may be any classifier; VGG's fc7 has as many inputs as outputs.
            converted = without_head(converted)
    if _goes_on_after_fc8(match, converted, sources, weights):
        converted = {name: t for name, t in converted.items() if not name.startswith('head.fc8.')}
    if layout.positional and _has_norms_between(match, weights):
        converted = without_head(converted)
    converted = layout.finish(converted, meta, sources)
    sources = {name: sources[name] for name in converted}
    used = set(sources.values())
    left_out = [name for name in weights if name not in used]
    return Recognised(layout, match.arch, converted, sources, left_out)


def _renamed_fc8(match: _Match, converted: Weights, weights: Weights) -> Optional[str]:
    """The layer that takes fc7's outputs under another name, as ``fc8a`` of Places365.

    None if several do, as in detectors, or fc6 is SSD's or DeepLab's: there, fc7 is followed by
    something else.
    """
    fc6, fc7 = (match.layers.get(_layer(match.table, own), {}) for own in ('fc6', 'fc7'))
    if 'weight' not in fc6 or 'weight' not in fc7 or weights[fc6['weight']].shape[2:] == (3, 3):
        return None
    found = _others_that_take(len(converted['head.fc7.weight']), match, weights)
    return found[0] if len(found) == 1 else None


def _goes_on_after_fc8(
    match: _Match, converted: Weights, sources: dict[str, str], weights: Weights
) -> bool:
    """Whether another layer takes fc8's outputs, which then are no scores of classes.

    So it is where the last layer of a classifier was replaced by several, or one was appended.
    """
    if 'head.fc8.weight' not in converted:
        return False
    found = _others_that_take(len(converted['head.fc8.weight']), match, weights)
    own = sources['head.fc8.weight']
    return any(match.layers[layer]['weight'] != own for layer in found)


def _others_that_take(inputs: int, match: _Match, weights: Weights) -> list[str]:
    """The fully-connected layers (or 1x1 convolutions) outside the table with so many inputs."""
    found = []
    for layer, kinds in match.layers.items():
        tensor = weights.get(kinds.get('weight', ''))
        if layer not in match.table and tensor is not None and tensor.ndim in (2, 4):
            shape = match.layout.tensor_of('fc8', 'weight', tensor, inputs).shape
            found += [layer] if shape[1:] == (inputs,) else []
    return found


def _has_norms_between(match: _Match, weights: Weights) -> bool:
    """Whether there are norms in the list of fully-connected layers, which VGG has none of."""
    fc = {layer.rpartition('.')[0] for layer, own in match.table.items() if own.startswith('fc')}
    return any(
        layer not in match.table
        and layer.rpartition('.')[0] in fc
        and 'weight' in kinds
        and weights[kinds['weight']].ndim == 1
        for layer, kinds in match.layers.items()
    )


def _layer(table: Table, own: str) -> str:
    return next((layer for layer, name in table.items() if name == own), '')


def _is_square(tensor: Optional[torch.Tensor]) -> bool:
    return tensor is not None and len(tensor) == tensor[0].numel()


def _check(own: str, kind: str, name: str, tensor: Any) -> None:
    shape = tuple(tensor.shape)
    if kind == 'weight' and own.startswith('fc') and len(shape) not in (2, 4):
        raise ValueError(f'{name} is {shape}: a fully-connected layer has 2 dimensions, or 4')
    if tensor.numel() == 0:
        raise ValueError(f'{name} is {shape}: it is empty')


def to_own_layout(checkpoint: dict, averaged: bool = False) -> dict:
    """A checkpoint with its weights in this package's layout.

    Weights of other models are not changed: where a VGG's weights are required,
    :func:`unknown_layout` gives the error.

    Args:
        checkpoint: With a ``state_dict``, or one in another container (see
            :func:`~vgg_mm.checkpoints.weights.weights_of`), or a state dict itself.
        averaged: Use the EMA weights if the file contains both. Otherwise the log mentions
            them.

    Returns:
        The same object, or a new one with, in its ``meta``, ``layout`` (the library) and
        ``preprocessing`` (see :class:`~vgg_mm.checkpoints.preprocessing.Preprocessing`); what was
        done is its ``conversion``.

    Raises:
        ValueError: in one line, if a layer has a shape that it cannot have, or the names leave
            open what the layers are.
    """
    name, average = averaged_weights(checkpoint)
    if name and averaged:
        return to_own_layout({'state_dict': average, 'meta': checkpoint.get('meta') or {}})
    first = weights_of(checkpoint, required=False)
    others = [one for key, one in state_dicts(checkpoint).items() if not is_averaged(key)]
    meta = dict(checkpoint.get('meta') or {})
    for weights in [first, *others]:
        if has_own_names(weights):
            return _with_own_names(checkpoint, weights, meta)
        found = recognise(weights, meta)
        if found is not None:
            break
    else:
        return checkpoint
    meta['layout'] = found.layout.name
    expected = found.preprocessing
    if expected is not None and META_KEY not in meta:
        note_preprocessing(meta, expected)
    rest = checkpoint if 'state_dict' in checkpoint else {}
    if name:
        print_log(f'plain weights are used; the file also contains EMA weights: {name}', 'current')
    conversion = dict(arch=found.arch, sources=found.sources, left_out=found.left_out)
    return {**rest, 'state_dict': found.weights, 'meta': meta, 'conversion': conversion}


def _with_own_names(checkpoint: dict, weights: Weights, meta: dict) -> dict:
    """The same checkpoint, or one with the weights where mmengine looks for them.

    Something before all of the names, such as ``model.`` of a training framework, is left out.
    """
    state = checkpoint.get('state_dict', checkpoint)
    taken = all(state.get(name) is tensor for name, tensor in weights.items())
    before = _before_own_names(weights)
    own = {_EXPORTED.sub(r'head.\1', n.removeprefix(before)): t for n, t in weights.items()}
    # A config in the checkpoint contains it, too.
    expected = None if META_KEY in meta or 'cfg' in meta else _by_numbers(own)
    if expected is not None:
        note_preprocessing(meta, expected)
    elif taken and own.keys() == weights.keys():
        return checkpoint
    rest = checkpoint if 'state_dict' in checkpoint else {}
    return {**rest, 'state_dict': own, 'meta': meta}


def _before_own_names(weights: Weights) -> str:
    """'model.' if that is before each of the names, and a classifier's follow."""
    common = f'.{commonprefix(list(weights))}'
    for part in ('.backbone.', '.head.'):
        common = common[: common.index(part) + 1] if part in common else common
    before = common[1 : common.rfind('.') + 1]
    parts = (f'{before}backbone.', f'{before}head.')
    return before if any(name.startswith(parts) for name in weights) else ''


def _by_numbers(weights: Weights) -> Optional[Preprocessing]:
    weight, bias = (weights.get(f'backbone.conv1_1.{kind}') for kind in ('weight', 'bias'))
    identity = None if weight is None else identify(weight, bias)
    return identity and identity.preprocessing


def unknown_layout(weights: Weights, where: str) -> ValueError:
    """The error for weights in which no VGG can be found, or several."""
    several = [match.prefix or 'without a prefix' for match in _best_matches(weights)]
    if len(several) > 1:
        return ValueError(
            f'{where} contains several nets ({", ".join(several)}): give a file with one of them'
        )
    found = first_few([repr(name[:MAX_NAME_LENGTH]) for name in weights], MAX_SHOWN)
    examples = {'vgg_mm': {FIRST_WEIGHT: None}}
    for layout in LAYOUTS:
        library = layout.name.split()[0].rstrip(',')
        examples.setdefault(library, {})[layout.looks_like] = None
    expected = '; '.join(f'{library} ({", ".join(names)})' for library, names in examples.items())
    return ValueError(
        f'{where}: no VGG found in any known layout; found {found}; '
        f'expected the convolutions of A to E, named as by {expected}'
    )
