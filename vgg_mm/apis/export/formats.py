"""The bytes of each kind of file, and how to run those that hold a graph."""

import io
import json
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Optional

import numpy as np
import torch
import torch.fx.experimental._config as fx_config
import torch.nn as nn

from vgg_mm.installation import argument

from .graph import IMAGE, Classifier, Graph, Net
from .torchvision_layout import torchvision_state

#: Height and width that a graph takes; None: any from the smallest on.
Size = Optional[int]

Run = Callable[[np.ndarray], np.ndarray]

#: Name of the entry with the metadata in TorchScript and torch.export files.
METADATA_FILE = 'vgg_mm.json'

#: What a graph is traced with: nothing is 1, which torch.export treats as a constant.
_EXAMPLE_BATCH, _EXAMPLE_MARGIN = 2, (64, 96)


def require(*names: str, purpose: str) -> None:
    """Raise ImportError, in one line, if a package is not installed."""
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise ImportError(f'{purpose} needs {", ".join(names)}: pip install {" ".join(missing)}')


def torchvision_bytes(classifier: Classifier) -> bytes:
    """The state dict in torchvision's layout, as ``torch.save`` writes it."""
    file = io.BytesIO()
    torch.save(torchvision_state(classifier), file)
    return file.getvalue()


def safetensors_bytes(net: Net, names: str) -> bytes:
    """The weights under this package's names ('own') or torchvision's, with the metadata."""
    require('safetensors', purpose=argument('to', 'safetensors'))
    from safetensors.torch import save

    state: Any = net.model.state_dict()
    facts = net.metadata()
    if names == 'torchvision' and isinstance(net, Classifier):
        state = torchvision_state(net)
        facts = state._metadata['']['vgg_mm']
    tensors = {name: value.contiguous() for name, value in state.items()}
    return save(tensors, {'format': 'pt', 'names': names, **facts})


def onnx_bytes(graph: Graph, size: Size, facts: dict[str, str]) -> bytes:
    """An ONNX model with the metadata in ``metadata_props``."""
    require('onnx', 'onnxscript', purpose=argument('to', 'onnx'))
    # From torch.export's program: torch's older exporter, on TorchScript, is deprecated.
    model = torch.onnx.export(
        _program(graph, size),
        dynamo=True,
        input_names=[IMAGE],
        output_names=[graph.output],
        verbose=False,
    ).model_proto
    for key, value in facts.items():
        model.metadata_props.add(key=key, value=value)
    return model.SerializeToString()


def run_onnx(content: bytes) -> Run:
    """The model in onnxruntime, on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=['CPUExecutionProvider'])
    return lambda image: session.run(None, {IMAGE: image})[0]


def torchscript_bytes(graph: Graph, size: Size, facts: dict[str, str]) -> bytes:
    """A traced TorchScript archive."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        # torch recommends torch.export instead; but programs that read TorchScript
        # are still in use.
        warnings.filterwarnings('ignore', message='.*torch.jit.* is deprecated')
        script = torch.jit.trace(graph, _example(graph, size))
        torch.jit.save(script, file, _extra_files={METADATA_FILE: json.dumps(facts)})
    return file.getvalue()


def run_torchscript(content: bytes) -> Run:
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', message='.*torch.jit.* is deprecated')
        return _run_module(torch.jit.load(io.BytesIO(content), map_location='cpu'))


def torch_export_bytes(graph: Graph, size: Size, facts: dict[str, str]) -> bytes:
    """An archive of ``torch.export``."""
    file = io.BytesIO()
    program = _program(graph, size)
    torch.export.save(program, file, extra_files={METADATA_FILE: json.dumps(facts)})
    return file.getvalue()


def run_torch_export(content: bytes) -> Run:
    return _run_module(torch.export.load(io.BytesIO(content)).module())


def _run_module(module: nn.Module) -> Run:
    def run(image: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return module(torch.from_numpy(image)).numpy()

    return run


def _program(graph: Graph, size: Size) -> torch.export.ExportedProgram:
    """The graph by ``torch.export``; the batch is free, height and width are without ``size``."""
    dim = torch.export.Dim
    sizes = {0: dim('batch')}
    if size is None:
        for place, name in ((2, 'height'), (3, 'width')):
            steps = dim(name, min=graph.smallest // graph.multiple)
            sizes[place] = steps if graph.multiple == 1 else graph.multiple * steps
    example = _example(graph, size)
    # A score map of 1 x 1 is to be among the sizes, which torch would otherwise make a case of its
    # own.
    with fx_config.patch(backed_size_oblivious=True):  # type: ignore[attr-defined]
        return torch.export.export(graph, (example,), dynamic_shapes=(sizes,))


def _example(graph: Graph, size: Size) -> torch.Tensor:
    height, width = (
        (size, size) if size else (graph.smallest + margin for margin in _EXAMPLE_MARGIN)
    )
    return torch.zeros(_EXAMPLE_BATCH, graph.in_channels, height, width)
