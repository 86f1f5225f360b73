"""What ``tools/export.py`` does: read, write in another form, check, report."""

import math
import os
import statistics
import timeit
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Optional

import numpy as np
import torch

from vgg_mm.checkpoints import write_atomically
from vgg_mm.installation import argument, check_choice
from vgg_mm.progress import Progress, to_stderr, with_progress

from ..convert_weights import check_is_another_file
from ..inference.load import NotAClassifier
from ..net_table import CROP
from ..tables import say
from . import formats
from .downstream import load_object_net
from .formats import Run, Size
from .graph import IMAGE, Classifier, Graph, Net, load_classifier
from .torchvision_layout import notice, torchvision_function

TORCHVISION, SAFETENSORS, OWN = 'torchvision', 'safetensors', 'own'

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

#: Largest difference of an output, relative to the largest of its values (or to 1).
TOLERANCE = 1e-4

#: (batch, height and width beyond the smallest): smallest, odd, oblong and larger images.
_FREE_SHAPES = ((1, 0, 0), (2, 13, 70), (1, 224, 5), (3, 1, 47), (1, 32, 96))
_FIXED_BATCHES = (1, 2, 3)

#: Times that each net is timed.
RUNS = 5


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
    """Write a trained net in another program's format, and describe the file.

    A graph is compared with the net before the file is written.

    Args:
        checkpoint, config: As :func:`load_classifier` takes them.
        out: The file to write.
        to: Kind of file: 'torchvision', 'safetensors', 'onnx', 'torchscript' or 'torch-export'; by
            default according to ``out``'s suffix.
        output: 'scores' (default), 'posterior' or 'score_map'; of segmentors there are the first
            two, of SSD 'boxes'; graphs only.
        size: Height and width in pixels, default: 224, or the crop that the net was made for;
            graphs only, without ``dynamic``.
        dynamic: Any height and width from the smallest on; graphs only.
        preprocessing: Whether mean and standard deviation are in the graph (default: yes).
        names: 'own' (default) or 'torchvision'; safetensors only.

    Raises:
        ValueError: in one line, if options are incompatible, the net has no such form, or the
            exported graph does not agree with the net.
        ImportError: if a package is missing.
        OSError: if a file is missing or cannot be written.
    """
    check_choice('to', to, dict.fromkeys(SUFFIXES.values()), optional=True)
    check_choice('names', names, (OWN, TORCHVISION), optional=True)
    check_is_another_file(out, checkpoint)
    kind = to or _kind_of(out)
    if size is not None and dynamic:
        raise ValueError(f'give either {argument("size")} or {argument("dynamic")}')
    graph_only = dict(
        output=output, size=size, dynamic=dynamic or None, preprocessing=preprocessing
    )
    _refuse(kind, GRAPHS, graph_only)
    _refuse(kind, (SAFETENSORS,), dict(names=names))
    try:
        net: Net = load_classifier(checkpoint, config)
    except NotAClassifier as found:
        net = load_object_net(checkpoint, found.content, found.cfg, graph=kind in GRAPHS)
    if kind in GRAPHS:
        side = _side(net, size, dynamic)
        _export_graph(net, out, kind, output or next(iter(net.outputs)), side, preprocessing)
        return
    if TORCHVISION not in (kind, names):
        content = formats.safetensors_bytes(net, OWN)
        _write(out, content, 'weights, own names, as safetensors')
        return
    if not isinstance(net, Classifier):
        raise ValueError(f'{checkpoint} is no classifier: torchvision has no such net')
    if kind == TORCHVISION:
        what = f'weights of torchvision {torchvision_function(net)}'
        _write(out, formats.torchvision_bytes(net), what)
    else:
        content = formats.safetensors_bytes(net, TORCHVISION)
        _write(out, content, 'weights, torchvision names, as safetensors')
    say(f'notice: {notice(net)}')


def _kind_of(out: str) -> str:
    suffix = os.path.splitext(out)[1].lower()
    if suffix not in SUFFIXES:
        known = ', '.join(f'{end} ({kind})' for end, kind in SUFFIXES.items())
        raise ValueError(
            f'kind of {out} unknown: give {argument("to", "KIND")} or one of the suffixes {known}'
        )
    return SUFFIXES[suffix]


def _refuse(kind: str, kinds: Any, options: dict[str, Any]) -> None:
    for name, value in options.items():
        if value is not None and kind not in kinds:
            raise ValueError(f'{argument(name)} is for {", ".join(kinds)}, not for {kind}')


def _side(net: Net, size: Size, dynamic: bool) -> Size:
    """Height and width that the graph takes; None: any."""
    if net.fixed and (dynamic or size not in (None, net.crop)):
        raise ValueError(
            f'{argument("dynamic" if dynamic else "size")}: the boxes of this net are for images '
            f'of {net.crop}x{net.crop}'
        )
    side = None if dynamic else net.crop if size is None else size
    if side is not None and side < net.smallest:
        raise ValueError(f'{argument("size")} must be at least {net.smallest}, got {side}')
    return side


def _export_graph(
    net: Net, out: str, kind: str, output: str, size: Size, preprocessing: Optional[bool]
) -> None:
    if output not in net.outputs:
        known = ', '.join(net.outputs)
        raise ValueError(f'{argument("output", output)}: of this net there is {known}')
    write, read = GRAPHS[kind]
    inside = preprocessing is not False
    graph = net.graph_type(net, output, inside)
    facts = dict(
        **net.metadata(),
        input=_input_text(net, size, inside),
        output=net.outputs[output],
        preprocessing='in the graph' if inside else 'not in the graph',
    )
    to_stderr(f'making the graph for {kind}')
    content = write(graph, size, facts)
    run = read(content) if kind != 'onnx' or find_spec('onnxruntime') else None
    agreement = 'not checked: onnxruntime is not installed (pip install onnxruntime)'
    if run is not None:
        agreement = compare(run, net, graph, _shapes_to_check(net, size))
    _write(out, content, kind)
    say(f'input   {IMAGE}: {facts["input"]}')
    if inside:
        say(f'        normalised in the graph: {net.preprocessing}')
    say(f'output  {output}: {facts["output"]}')
    say(agreement)
    if run is not None:
        to_stderr('timing it')
        name = 'onnxruntime' if kind == 'onnx' else kind
        say(_times(run, name, graph, size or max(net.smallest, CROP)))


def _input_text(net: Net, size: Size, normalised: bool) -> str:
    """Description of the graph's input, on the screen and in the file."""
    sides = f'H = W = {size}'
    if size is None:
        multiples = f'H and W multiples of {net.multiple}'
        sides = multiples if net.multiple > 1 else f'H and W from {net.smallest} on'
    values = f'normalised from 0 to 255: {net.preprocessing}'
    if normalised:
        values = f'{net.channel_order}, 0 to 255'
    return f'(N, {net.in_channels}, H, W) float32, {values}; N is free, {sides}'


def _write(out: str, content: bytes, what: str) -> None:
    write_atomically(out, content)
    say(f'{out}: {what}, {len(content) / 1e6:.1f} MB')


def _shapes_to_check(net: Net, size: Size) -> list[tuple[int, ...]]:
    """Shapes of the inputs on which an exported graph is compared."""
    if size is not None:
        return [(batch, net.in_channels, size, size) for batch in _FIXED_BATCHES]
    step = net.multiple
    return [
        (n, net.in_channels, *(net.smallest + step * math.ceil(more / step) for more in beyond))
        for n, *beyond in _FREE_SHAPES
    ]


def compare(run: Run, net: Net, graph: Graph, shapes: list[tuple[int, ...]]) -> str:
    """Run random images through an exported graph and the net; returns how far they agree.

    Raises:
        ValueError: in one line, if they differ by more than :data:`TOLERANCE`.
    """
    to_stderr(f'comparing it with the net at {len(shapes)} shapes')
    generator = torch.Generator().manual_seed(0)
    largest = value = 0.0
    for shape in with_progress(shapes, Progress(len(shapes), what='shapes')):
        images = torch.randint(256, shape, dtype=torch.uint8, generator=generator)
        inputs = net.normalise(images)
        expected = net.compute(inputs, graph.output).numpy()
        found = run(images.float().numpy() if graph.preprocessing else inputs.numpy())
        if found.shape != expected.shape:
            raise ValueError(
                f'the exported graph is wrong: at {_text(shape)} it gives {_text(found.shape)}, '
                f'the net {_text(expected.shape)}'
            )
        difference = float(np.abs(found - expected).max())
        scale = float(np.abs(expected).max())
        if not difference <= TOLERANCE * max(1.0, scale):
            raise ValueError(
                f'the exported graph is wrong: at {_text(shape)} it differs from the net by '
                f'{difference:.2g}, of values up to {max(1.0, scale):.2g}'
            )
        largest, value = max(largest, difference), max(value, scale)
    return (
        f'largest difference from the net at {len(shapes)} shapes: {largest:.1e} '
        f'(values up to {value:.3g})'
    )


def _text(shape: tuple[int, ...]) -> str:
    return 'x'.join(map(str, shape))


def _times(run: Run, name: str, graph: Graph, side: int) -> str:
    """Milliseconds an image of ``side`` x ``side``, exported and by torch."""
    image = torch.rand(1, graph.in_channels, side, side).mul_(255)
    array = image.numpy()
    found = {name: _median(lambda: run(array))}
    with torch.inference_mode():
        found['torch'] = _median(lambda: graph(image))
        graph.to(memory_format=torch.channels_last)
        image = image.contiguous(memory_format=torch.channels_last)
        found['torch, channels_last'] = _median(lambda: graph(image))
    texts = [f'{way} {milliseconds:.1f}' for way, milliseconds in found.items()]
    return (
        f'ms an image of {side}x{side} on this CPU, median of {RUNS}, indicative: '
        f'{"; ".join(texts)} ({torch.get_num_threads()} threads)'
    )


def _median(work: Callable[[], object]) -> float:
    """Median duration of :data:`RUNS` runs in milliseconds, after one more."""
    work()
    return 1000 * statistics.median(timeit.repeat(work, number=1, repeat=RUNS))
