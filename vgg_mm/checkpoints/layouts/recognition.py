"""Which layout weights are in, and the same weights in this package's."""

from collections.abc import Iterator
from typing import Any, NamedTuple, Optional

from vgg_mm.architectures import ARCHITECTURES

from ..known_weights import identify
from ..preprocessing import META_KEY, Preprocessing, note_preprocessing
from ..weights import weights_of
from .caffe import CAFFE
from .keras import KERAS
from .layout import Layout, Table, Weights, conv_names
from .mmpretrain import MMPRETRAIN
from .own import BARE, has_own_names
from .timm import TIMM
from .torchvision import TORCHVISION, TORCHVISION_FEATURES

#: Those of other libraries; where two fit equally, the first is meant.
LAYOUTS = (TORCHVISION, TORCHVISION_FEATURES, TIMM, MMPRETRAIN, CAFFE, KERAS, BARE)

OWN_LOOKS_LIKE = 'backbone.conv1_1.weight'

#: How many of the names that were found an error shows, and how much of each.
SHOWN, LONGEST_NAME = 3, 40


class Recognised(NamedTuple):
    """Weights in a known layout.

    Args:
        layout: The layout they were in.
        arch: One of :data:`ARCHITECTURES`; A and A-LRN have the same weights.
        weights: In this package's layout.
        sources: Names in :attr:`weights` -> names in the file.
        left_out: Names in the file that are of no layer of the net.
    """

    layout: Layout
    arch: str
    weights: Weights
    sources: dict[str, str]
    left_out: list[str]


class _Match(NamedTuple):
    layout: Layout
    arch: str
    table: Table
    layers: dict[str, dict[str, str]]  # layer of the file -> 'weight' ... -> full name

    @property
    def found(self) -> int:
        """How many layers of the table the file has."""
        return len(self.table.keys() & self.layers.keys())


def recognise(weights: Weights) -> Optional[Recognised]:
    """Find the layout by the weights' names and shapes; None if there is none that fits.

    Raises:
        ValueError: in one line, if a layer has a shape that it cannot have.
    """
    matches = [
        match
        for layout in LAYOUTS
        if layout.applies(weights)
        for match in _matches(layout, weights)
        if _kernels_fit(match, weights)
    ]
    return _convert(max(matches, key=lambda match: match.found), weights) if matches else None


def _matches(layout: Layout, weights: Weights) -> Iterator[_Match]:
    """The tables whose convolutions are exactly those in the file."""
    layers: dict[str, dict[str, str]] = {}
    for name, tensor in weights.items():
        if found := layout.layer_of(name, tensor):
            layers.setdefault(found[0], {})[found[1]] = name
    tables = [(arch, table) for arch in ARCHITECTURES for table in layout.tables(arch)]
    possible = {layer for _, table in tables for layer in _convs(table)}
    # Where one net has a convolution, another may have a norm: its weight has no kernel.
    present = {
        layer
        for layer in possible & layers.keys()
        if 'weight' in layers[layer] and weights[layers[layer]['weight']].ndim == 4
    }
    for arch, table in tables:
        if present and present == _convs(table):
            yield _Match(layout, arch, table, layers)


def _convs(table: Table) -> set[str]:
    return {layer for layer, own in table.items() if own.startswith('conv')}


def _kernels_fit(match: _Match, weights: Weights) -> bool:
    """Whether the kernels have the sizes of the net, which tells C from D."""
    by_own_name = {own: layer for layer, own in match.table.items()}
    for names, kernels in zip(conv_names(match.arch), ARCHITECTURES[match.arch].kernels):
        for name, kernel in zip(names, kernels):
            tensor = weights[match.layers[by_own_name[f'conv{name}']]['weight']]
            tensor = match.layout.tensor_of(f'conv{name}', 'weight', tensor, 1)
            if tensor.shape[2:] != (kernel, kernel):
                return False
    return True


def _convert(match: _Match, weights: Weights) -> Recognised:
    converted, sources = {}, {}
    channels = 1
    # In the order of the table: convolutions first, so that fc6 can be told how wide the last is.
    for layer, own in match.table.items():
        for kind, name in match.layers.get(layer, {}).items():
            tensor = weights[name]
            _check(own, kind, name, tensor)
            tensor = match.layout.tensor_of(own, kind, tensor, channels)
            part = 'head' if own.startswith('fc') else 'backbone'
            converted[f'{part}.{own}.{kind}'] = tensor
            sources[f'{part}.{own}.{kind}'] = name
            if own.startswith('conv') and kind == 'weight':
                channels = len(tensor)
    used = set(sources.values())
    left_out = [name for name in weights if name not in used]
    return Recognised(match.layout, match.arch, converted, sources, left_out)


def _check(own: str, kind: str, name: str, tensor: Any) -> None:
    shape = tuple(tensor.shape)
    if kind == 'weight' and own.startswith('fc') and len(shape) not in (2, 4):
        raise ValueError(f'{name} is {shape}: a fully-connected layer has 2 dimensions, or 4')
    if tensor.numel() == 0:
        raise ValueError(f'{name} is {shape}: there is nothing in it')


def to_own_layout(checkpoint: dict) -> dict:
    """A checkpoint with its weights in this package's layout.

    Weights that are in it already, and those of other models, are left as they are: whoever needs
    a VGG's weights asks :func:`unknown_layout` for the error.

    Args:
        checkpoint: With a ``state_dict`` (or ``model``), or a state dict itself.

    Returns:
        The same object, or a new one with, in its ``meta``, ``layout`` (the library) and
        ``preprocessing`` (see :class:`~vgg_mm.checkpoints.preprocessing.Preprocessing`); what was
        done is its ``conversion``, the weights by their old names its ``source_state_dict``.

    Raises:
        ValueError: in one line, if a layer has a shape that it cannot have.
    """
    weights = weights_of(checkpoint, required=False)
    if has_own_names(weights):
        return checkpoint
    found = recognise(weights)
    if found is None:
        return checkpoint
    meta = dict(checkpoint.get('meta') or {}, layout=found.layout.name)
    expected = _preprocessing(found)
    if expected is not None and META_KEY not in meta:
        note_preprocessing(meta, expected)
    rest = checkpoint if 'state_dict' in checkpoint else {}
    conversion = dict(arch=found.arch, sources=found.sources, left_out=found.left_out)
    return {
        **rest,
        'state_dict': found.weights,
        'meta': meta,
        'conversion': conversion,
        'source_state_dict': weights,
    }


def _preprocessing(found: Recognised) -> Optional[Preprocessing]:
    """What the weights expect: by their numbers, or else what those published in the layout do."""
    weight, bias = (found.weights.get(f'backbone.conv1_1.{kind}') for kind in ('weight', 'bias'))
    identity = identify(weight, bias)
    if identity is not None:
        return identity.preprocessing
    usual = found.layout.preprocessing
    return usual and usual._replace(
        origin=f'assumed: as of published weights of {found.layout.name}'
    )


def unknown_layout(weights: Weights, where: str) -> ValueError:
    """The error for weights in which no VGG can be found."""
    names = [repr(name[:LONGEST_NAME]) for name in weights]
    more = f', ... ({len(names)} in all)' if len(names) > SHOWN else ''
    examples = {OWN_LOOKS_LIKE: 'vgg_mm'}
    for layout in LAYOUTS:
        examples.setdefault(layout.looks_like, layout.name)
    expected = '; '.join(f'{name} ({example})' for example, name in examples.items())
    return ValueError(
        f'{where}: no VGG found in any known layout; found {", ".join(names[:SHOWN])}{more}; '
        f'expected the convolutions of A to E, named as by {expected}'
    )
