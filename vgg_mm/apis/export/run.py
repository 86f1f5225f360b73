"""What ``tools/export.py`` does: read, write in another form, check, report."""

import os
from importlib.util import find_spec
from typing import Any, NamedTuple, Optional, Union

import torch

from vgg_mm.checkpoints import write_atomically
from vgg_mm.installation import argument
from vgg_mm.progress import to_stderr

from ..inference.load import NotAClassifier
from ..net_table import CROP
from . import formats
from .check import RUNS, ObjectReference, Reference, compare, shapes_to_check, times
from .downstream import ObjectGraph, ObjectNet, load_object_net
from .formats import Run, Size
from .graph import IMAGE, OUTPUTS, Classifier, ExportGraph, load_classifier
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


#: What can be exported.
Net = Union[Classifier, ObjectNet]


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
        output: 'scores' (default), 'posterior' or 'score_map'; of segmentors there are the first
            two, of SSD 'boxes'; graphs only.
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
        raise ValueError(f'give either {argument("size")} or {argument("dynamic")}')
    graph_only = dict(
        output=output, size=size, dynamic=dynamic or None, preprocessing=preprocessing
    )
    _refuse(kind, GRAPHS, graph_only)
    _refuse(kind, (SAFETENSORS,), dict(names=names))
    net = _load(checkpoint, config)
    if kind in GRAPHS:
        _export_graph(net, out, kind, _graph_options(net, output, size, dynamic, preprocessing))
        return
    if isinstance(net, ObjectNet):
        if kind == TORCHVISION or names == TORCHVISION:
            raise ValueError(f'{checkpoint} is no classifier: torchvision has no such net')
        content = formats.safetensors_bytes(net, 'own')
        _write(out, content, 'weights, own names, as safetensors')
        return
    classifier = net
    if kind == TORCHVISION:
        function = torchvision_function(classifier)
        _write(out, formats.torchvision_bytes(classifier), f'weights of torchvision {function}')
        print(f'notice: {notice(classifier)}')
    else:
        content = formats.safetensors_bytes(classifier, names or 'own')
        _write(out, content, f'weights, {names or "own"} names, as safetensors')
        if names == TORCHVISION:
            print(f'notice: {notice(classifier)}')


def _load(checkpoint: str, config: Optional[str]) -> Net:
    try:
        return load_classifier(checkpoint, config)
    except NotAClassifier as found:
        return load_object_net(checkpoint, found.content, found.cfg)


def _graph_options(
    net: Net,
    output: Optional[str],
    size: Optional[int],
    dynamic: bool,
    preprocessing: Optional[bool],
) -> GraphOptions:
    known = _outputs(net)
    if output is not None and output not in known:
        raise ValueError(f'{argument("output", output)}: of this net there is {", ".join(known)}')
    if isinstance(net, ObjectNet) and net.fixed and (dynamic or size not in (None, net.crop)):
        raise ValueError(
            f'{argument("dynamic" if dynamic else "size")}: the boxes of this net are for images '
            f'of {net.crop}x{net.crop}'
        )
    side = None if dynamic else size or net.crop
    return GraphOptions(output or next(iter(known)), side, preprocessing is not False)


def _outputs(net: Net) -> dict[str, str]:
    """What the net's graph can compute, with its shape; the first by default."""
    return net.outputs if isinstance(net, ObjectNet) else OUTPUTS


def _kind(out: str, to: Optional[str]) -> str:
    if to is not None:
        return to
    suffix = os.path.splitext(out)[1].lower()
    if suffix not in SUFFIXES:
        known = ', '.join(f'{end} ({kind})' for end, kind in SUFFIXES.items())
        raise ValueError(
            f'what is {out} to be? Give {argument("to", "KIND")}, or one of these suffixes: {known}'
        )
    return SUFFIXES[suffix]


def _refuse(kind: str, kinds: Any, options: dict[str, Any]) -> None:
    for name, value in options.items():
        if value is not None and kind not in kinds:
            raise ValueError(f'{argument(name)} is for {", ".join(kinds)}, not for {kind}')


def _export_graph(classifier: Net, out: str, kind: str, given: GraphOptions) -> None:
    if given.size is not None and given.size < classifier.smallest:
        raise ValueError(
            f'{argument("size")} must be at least {classifier.smallest}, got {given.size}'
        )
    write, read = GRAPHS[kind]
    graph: formats.Graph
    reference: Reference
    if isinstance(classifier, ObjectNet):
        graph = ObjectGraph(classifier, given.output, given.preprocessing)
        reference = ObjectReference(classifier, given.output)
    else:
        graph = ExportGraph(classifier, given.output, given.preprocessing)
        reference = Reference(classifier, given.output)
    facts = {**classifier.metadata(), **_facts(classifier, given)}
    to_stderr(f'making the graph for {kind}')
    content = write(graph, classifier.smallest, given.size, facts)
    run = None
    if kind != 'onnx' or find_spec('onnxruntime'):
        run = read(content)
        shapes = shapes_to_check(classifier.smallest, given.size, graph.in_channels, graph.multiple)
        to_stderr(f'comparing it with the net at {len(shapes)} shapes')
        found = compare(run, reference, shapes, given.preprocessing)
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
    to_stderr('timing it')
    _print_times(run, graph, kind, given.size or max(classifier.smallest, CROP))


def _facts(classifier: Net, given: GraphOptions) -> dict[str, str]:
    """What is said of the graph, on the screen and in the file."""
    if given.size is None:
        sides = f'H and W from {classifier.smallest} on'
        if isinstance(classifier, ObjectNet):
            sides = f'H and W multiples of {ObjectGraph.multiple}'
    else:
        sides = f'H = W = {given.size}'
    if given.preprocessing:
        values = f'{classifier.channel_order}, 0 to 255'
    else:
        values = f'normalised from 0 to 255: {classifier.preprocessing}'
    return dict(
        input=f'(N, {classifier.in_channels}, H, W) float32, {values}; N is free, {sides}',
        output=_outputs(classifier)[given.output],
        preprocessing=f'{"" if given.preprocessing else "not "}in the graph',
    )


def _write(out: str, content: bytes, what: str) -> None:
    write_atomically(out, content)
    print(f'{out}: {what}, {len(content) / 1e6:.1f} MB')


def _print_times(run: Run, graph: formats.Graph, kind: str, side: int) -> None:
    found = times(run, graph, side)
    found = {'onnxruntime' if kind == 'onnx' else kind: found.pop('exported'), **found}
    texts = [f'{name} {value:.1f}' for name, value in found.items()]
    print(
        f'ms an image of {side}x{side} on this CPU, median of {RUNS}, indicative: '
        f'{"; ".join(texts)} ({torch.get_num_threads()} threads)'
    )
