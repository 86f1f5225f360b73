"""An exported graph against the net it came from."""

import math
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple, Union

import numpy as np
import torch

from vgg_mm.progress import Progress, with_progress

from .downstream import ObjectGraph, ObjectNet
from .formats import Graph, Run, Size
from .graph import Classifier

#: Largest difference of an output, relative to the largest of its values (or to 1).
TOLERANCE = 1e-4

#: (batch, height and width beyond the smallest): smallest, odd, oblong and larger images.
_FREE_SHAPES = ((1, 0, 0), (2, 13, 70), (1, 224, 5), (3, 1, 47), (1, 32, 96))
_FIXED_BATCHES = (1, 2, 3)

RUNS = 5


class Agreement(NamedTuple):
    """``largest`` difference over all ``shapes``, and the largest value of the outputs."""

    largest: float
    value: float
    shapes: list[tuple[int, ...]]


class Reference:
    """The net as this package runs it, on images 0 to 255.

    Args:
        classifier: The net.
        output: A key of :data:`~vgg_mm.apis.export.graph.OUTPUTS`.
    """

    def __init__(self, classifier: Union[Classifier, ObjectNet], output: str):
        self.model = classifier.model
        self.output = output
        # The preprocessor is given images as OpenCV reads them.
        self.flip = classifier.channel_order == 'RGB'

    def preprocess(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 (N, channels, H, W), channels as the exported graph takes them -> normalised."""
        images = images.flip(1) if self.flip else images
        return self.model.data_preprocessor(dict(inputs=images), training=False)['inputs']

    @torch.inference_mode()
    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        feats = self.model.extract_feat(inputs)
        if self.output == 'score_map':
            return self.model.head.score_map(feats)
        scores = self.model.head(feats)
        return scores.softmax(dim=1) if self.output == 'posterior' else scores


class ObjectReference(Reference):
    """A segmentor as MMSegmentation runs it, or SSD as this package does; else as the above."""

    def __init__(self, net: ObjectNet, output: str):
        super().__init__(net, output)
        self.boxes = ObjectGraph(net, output, False) if output == 'boxes' else None

    def preprocess(self, images: torch.Tensor) -> torch.Tensor:
        images = images.flip(1) if self.flip else images
        return self.model.data_preprocessor(dict(inputs=list(images)), False)['inputs']

    @torch.inference_mode()
    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        if self.boxes is not None:
            return self.boxes(inputs)
        scores = torch.stack([found.seg_logits.data for found in self.model.predict(inputs)])
        return scores.softmax(1) if self.output == 'posterior' else scores


def shapes_to_check(
    smallest: int, size: Size, channels: int = 3, multiple: int = 1
) -> list[tuple[int, ...]]:
    """Shapes of the inputs on which an exported graph is compared; sides are multiples."""
    if size is not None:
        return [(batch, channels, size, size) for batch in _FIXED_BATCHES]
    return [
        (n, channels, *(smallest + multiple * math.ceil(more / multiple) for more in beyond))
        for n, *beyond in _FREE_SHAPES
    ]


def compare(
    run: Run,
    reference: Reference,
    shapes: list[tuple[int, ...]],
    preprocessing: bool,
) -> Agreement:
    """Run random images through both.

    Raises:
        ValueError: in one line, if they differ by more than :data:`TOLERANCE`.
    """
    generator = torch.Generator().manual_seed(0)
    largest = value = 0.0
    for shape in with_progress(shapes, Progress(len(shapes), what='shapes')):
        images = torch.randint(256, shape, dtype=torch.uint8, generator=generator)
        inputs = reference.preprocess(images)
        expected = reference(inputs).numpy()
        found = run(images.float().numpy() if preprocessing else inputs.numpy())
        if found.shape != expected.shape:
            raise ValueError(
                f'the exported graph is wrong: at {_text(shape)} it gives {_text(found.shape)}, '
                f'the net {_text(expected.shape)}'
            )
        difference = float(np.abs(found - expected).max())
        scale = max(1.0, float(np.abs(expected).max()))
        if not difference <= TOLERANCE * scale:
            raise ValueError(
                f'the exported graph is wrong: at {_text(shape)} it differs from the net by '
                f'{difference:.2g}, of values up to {scale:.2g}'
            )
        largest, value = max(largest, difference), max(value, float(np.abs(expected).max()))
    return Agreement(largest, value, shapes)


def times(run: Run, graph: Graph, side: int) -> dict[str, float]:
    """Milliseconds an image of ``side`` x ``side``, the median of :data:`RUNS` after one more.

    Returns:
        'exported', 'torch' and 'torch, channels_last'; ``graph`` is in the latter memory format
        afterwards.
    """
    image = torch.rand(1, graph.in_channels, side, side).mul_(255)

    def in_torch() -> torch.Tensor:
        with torch.inference_mode():
            return graph(image)

    found = {'exported': _median(lambda: run(image.numpy())), 'torch': _median(in_torch)}
    graph.to(memory_format=torch.channels_last)
    image = image.contiguous(memory_format=torch.channels_last)
    found['torch, channels_last'] = _median(in_torch)
    return found


def _median(work: Callable[[], object]) -> float:
    work()
    seconds = []
    for _ in range(RUNS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds)


def _text(shape: tuple[int, ...]) -> str:
    return 'x'.join(map(str, shape))
