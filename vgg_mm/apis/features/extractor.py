"""From image files to feature vectors."""

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Optional, Union

import torch

from vgg_mm.datasets.transforms.loading import LOAD_ERROR

from ..inference.predictor import Predictor
from .layer import DenseFeatures, end_at
from .parts import Part
from .settings import AVERAGE, STACK, weights_digest

#: Images that are read together and, where their shapes agree, share forward passes.
WINDOW = 32

#: Windows that are read ahead of the net.
AHEAD = 2

#: An image's views, one per Q, or why it could not be read.
Read = Union[tuple[torch.Tensor, ...], str]


class Extractor:
    """A net that ends at a layer, with what comes before and after it (Appendix B).

    At each Q: the layer's map of the whole image, averaged over its positions, then over the image
    and its flip. The vectors of the Q are averaged or stacked; the result has length 1. A vector of
    zeros, of a layer in which no unit is active, stays as it is.

    Args:
        predictor: Of a checkpoint; its net is changed to end at the layer.
        layer: See :func:`end_at`.
        combine: 'average' or 'stack'.
        flip: Whether the flip takes part; None: as in the config's test protocol.

    Raises:
        ValueError: if the net has no such layer.
    """

    def __init__(self, predictor: Predictor, layer: str, combine: str, flip: Optional[bool] = None):
        model = predictor.tta.module
        channels = end_at(model, layer)
        options = dict(
            flip=predictor.tta.flip if flip is None else flip, max_pixels=predictor.tta.max_pixels
        )
        self.net = DenseFeatures(model, protocol='dense', **options).eval()
        self.layer = layer
        self.load, self.pipeline = predictor.load, predictor.pipeline
        self.scales = predictor.scales
        self.combine = combine if len(self.scales) > 1 else AVERAGE
        self.dimension = channels * (len(self.scales) if self.combine == STACK else 1)

    def weights_digest(self) -> str:
        """Digest of the weights up to the layer."""
        return weights_digest(self.net.module)

    def parts(self, paths: Sequence[str], workers: int) -> Generator[Part, None, None]:
        """Features of images, some at a time, in order; the next ones are read meanwhile.

        Args:
            paths: Files.
            workers: Threads that read.
        """
        with ThreadPoolExecutor(workers) as pool:
            for window in _ahead(pool, self.read, paths):
                yield self.part([future.result() for future in window])

    def read(self, path: str) -> Read:
        """An image's views for the net, uint8 (3, H, W), or in one line why there are none."""
        try:
            results = self.load(dict(img_path=path))
            if results.get(LOAD_ERROR):
                return results[LOAD_ERROR]
            views = self.pipeline(results)['inputs']
            try:
                for view in views:
                    self.net.check_fits(*view.shape[-2:], self.layer)
            except ValueError as error:
                return f'{path}: {error}'
        except (OSError, ValueError) as error:
            return str(error)
        return tuple(views)

    def part(self, images: Sequence[Read]) -> Part:
        """Features of images, NaN where they could not be read."""
        whole = [i for i, image in enumerate(images) if not isinstance(image, str)]
        features = torch.full((len(images), self.dimension), torch.nan)
        if whole:
            features[whole] = self.combined(self.net.extract([images[i] for i in whole])).cpu()
        errors = [image if isinstance(image, str) else '' for image in images]
        return Part(features.numpy(), errors)

    def combined(self, features: torch.Tensor) -> torch.Tensor:
        """(N, Q, channels) -> (N, dimension), each of length 1."""
        features = features.flatten(1) if self.combine == STACK else features.mean(1)
        return torch.nn.functional.normalize(features.float(), dim=1)


def _ahead(pool: ThreadPoolExecutor, read, paths: Sequence[str]) -> Iterator[list[Future]]:
    """Windows of images that are being read, in order."""
    windows = (paths[first : first + WINDOW] for first in range(0, len(paths), WINDOW))
    reading = deque([pool.submit(read, path) for path in w] for w in islice(windows, AHEAD))
    try:
        while reading:
            yield reading.popleft()
            reading += [[pool.submit(read, path) for path in w] for w in islice(windows, 1)]
    finally:
        for future in (future for window in reading for future in window):
            future.cancel()
