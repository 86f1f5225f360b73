"""What ``tools/export.py`` does: read, write in another form, check, report."""

import os
from importlib.util import find_spec
from typing import Any, NamedTuple, Optional

import torch

from vgg_mm.checkpoints import write_atomically

from ..net_table import CROP
from . import formats
from .check import RUNS, Reference, compare, shapes_to_check, times
from .formats import Run, Size
from .graph import IMAGE, OUTPUTS, ExportGraph
from .source import Classifier, load_classifier
from .torchvision_layout import notice, torchvision_function

TORCHVISION, SAFETENSORS = 'torchvision', 'safetensors'

#: Kinds of files that hold a graph: what writes one, what runs it.
GRAPHS = {
    'onnx': (formats.onnx_bytes, formats.run_onnx),
    'torchscript': (formats.torchscript_bytes, formats.run_torchscript),
    'torch-export': (formats.torch_export_bytes, formats.run_torch_export),
}

SUFFIXES = {
    '.pth': TORCHVISION,
    '.safetensors': SAFETENSORS,
    '.onnx': 'onnx',
    '.ts': 'torchscript',
    '.torchscript': 'torchscript',
    '.pt2': 'torch-export',
}

NAMES = ('own', TORCHVISION)


class GraphOptions(NamedTuple):
    """What the exported graph takes and gives."""

    output: str
    size: Size
    preprocessing: bool


def export(
    checkpoint: str,
    out: str,
    config: Optional[str] = None,
    to: Optional[str] = None,
    output: Optional[str] = None,
    size: Optional[int] = None,
    dynamic: bool = False,
    preprocessing: Optional[bool] = None,
    names: Optional[str] = None,
) -> None:
    """Write a trained net in another program's form, and say what is in the file.

    A graph is compared with the net before the file is written.

    Args:
        checkpoint, config: As :func:`load_classifier` takes them.
        out: The file to write.
        to: Kind of file: 'torchvision', 'safetensors', 'onnx', 'torchscript' or 'torch-export'; by
            default what ``out``'s suffix says.
        output: 'scores' (default), 'posterior' or 'score_map'; graphs only.
        size: Height and width in pixels, default: 224, or the crop that the net was made for;
            graphs only, without ``dynamic``.
        dynamic: Any height and width from the smallest on; graphs only.
        preprocessing: Whether mean and standard deviation are in the graph (default: yes).
        names: 'own' (default) or 'torchvision'; safetensors only.

    Raises:
        ValueError: in one line, if options do not go together, the net has no such form, or the
            exported graph does not agree with the net.
        ImportError: in one line, if a package is missing.
        OSError: if a file is missing or cannot be written.
    """
    kind = _kind(out, to)
    if size is not None and dynamic:
        raise ValueError('give either --size or --dynamic')
    graph_only = dict(
        output=output, size=size, dynamic=dynamic or None, preprocessing=preprocessing
    )
    _refuse(kind, GRAPHS, graph_only)
    _refuse(kind, (SAFETENSORS,), dict(names=names))
    classifier = load_classifier(checkpoint, config)
    if kind in GRAPHS:
        given = GraphOptions(
            output or 'scores',
            None if dynamic else size or classifier.crop,
            preprocessing is not False,
        )
        _export_graph(classifier, out, kind, given)
    elif kind == TORCHVISION:
        function = torchvision_function(classifier)
        _write(out, formats.torchvision_bytes(classifier), f'weights of torchvision {function}')
        print(f'notice: {notice(classifier)}')
    else:
        content = formats.safetensors_bytes(classifier, names or 'own')
        _write(out, content, f'weights, {names or "own"} names, as safetensors')
        if names == TORCHVISION:
            print(f'notice: {notice(classifier)}')


def _kind(out: str, to: Optional[str]) -> str:
    if to is not None:
        return to
    suffix = os.path.splitext(out)[1].lower()
    if suffix not in SUFFIXES:
        known = ', '.join(f'{end} ({kind})' for end, kind in SUFFIXES.items())
        raise ValueError(f'what is {out} to be? Give --to, or one of these suffixes: {known}')
    return SUFFIXES[suffix]


def _refuse(kind: str, kinds: Any, options: dict[str, Any]) -> None:
    for name, value in options.items():
        if value is not None and kind not in kinds:
            raise ValueError(f'--{name} is for {", ".join(kinds)}, not for {kind}')


def _export_graph(classifier: Classifier, out: str, kind: str, given: GraphOptions) -> None:
    if given.size is not None and given.size < classifier.smallest:
        raise ValueError(f'--size must be at least {classifier.smallest}, got {given.size}')
    write, read = GRAPHS[kind]
    graph = ExportGraph(classifier, given.output, given.preprocessing)
    facts = {**classifier.metadata(), **_facts(classifier, given)}
    content = write(graph, classifier.smallest, given.size, facts)
    run = None
    if kind != 'onnx' or find_spec('onnxruntime'):
        run = read(content)
        shapes = shapes_to_check(classifier.smallest, given.size, classifier.in_channels)
        found = compare(run, Reference(classifier, given.output), shapes, given.preprocessing)
    _write(out, content, kind)
    print(f'input   {IMAGE}: {facts["input"]}')
    if given.preprocessing:
        print(f'        normalised in the graph: {classifier.preprocessing}')
    print(f'output  {given.output}: {facts["output"]}')
    if run is None:
        print('not checked: onnxruntime is not installed (pip install onnxruntime)')
        return
    print(
        f'largest difference from the net at {len(found.shapes)} shapes: {found.largest:.1e} '
        f'(values up to {found.value:.3g})'
    )
    _print_times(run, graph, kind, given.size or max(classifier.smallest, CROP))


def _facts(classifier: Classifier, given: GraphOptions) -> dict[str, str]:
    """What is said of the graph, on the screen and in the file."""
    if given.size is None:
        sides = f'H and W from {classifier.smallest} on'
    else:
        sides = f'H = W = {given.size}'
    if given.preprocessing:
        values = f'{classifier.channel_order}, 0 to 255'
    else:
        values = f'normalised from 0 to 255: {classifier.preprocessing}'
    return dict(
        input=f'(N, {classifier.in_channels}, H, W) float32, {values}; N is free, {sides}',
        output=OUTPUTS[given.output],
        preprocessing=f'{"" if given.preprocessing else "not "}in the graph',
    )


def _write(out: str, content: bytes, what: str) -> None:
    write_atomically(out, content)
    print(f'{out}: {what}, {len(content) / 1e6:.1f} MB')


def _print_times(run: Run, graph: ExportGraph, kind: str, side: int) -> None:
    found = times(run, graph, side)
    found = {'onnxruntime' if kind == 'onnx' else kind: found.pop('exported'), **found}
    texts = [f'{name} {value:.1f}' for name, value in found.items()]
    print(
        f'ms an image of {side}x{side} on this CPU, median of {RUNS}, indicative: '
        f'{"; ".join(texts)} ({torch.get_num_threads()} threads)'
    )
