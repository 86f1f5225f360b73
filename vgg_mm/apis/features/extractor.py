"""From image files to feature vectors."""

from collections.abc import Generator, Sequence
from typing import Optional

import torch

from vgg_mm.checkpoints import weights_digest
from vgg_mm.models.batch_work import telling
from vgg_mm.progress import Progress

from ..inference.images import Prepared
from ..inference.load import TrainedNet, check_scales, image_reader, tta_options
from .layer import DenseFeatures, end_at
from .parts import Part
from .settings import AVERAGE, STACK

#: Images that are read together and, where their shapes agree, share forward passes.
BATCH = 32


class Extractor:
    """A net that ends at a layer, with what comes before and after it (Appendix B).

    At each Q: the layer's map of the whole image, averaged over its positions, then over the image
    and its flip. The vectors of the Q are averaged or stacked; the result has length 1. A vector of
    zeros, of a layer in which no unit is active, stays as it is.

    Args:
        net: Of a checkpoint; its model is changed to end at the layer.
        layer: See :func:`end_at`.
        combine: 'average' or 'stack'.
        flip: Whether the flip takes part; None: as in the config's test protocol.
        scales: Test scales Q; None: the config's.

    Raises:
        ValueError: if the net has no such layer, or a Q is too small for it.
    """

    def __init__(
        self,
        net: TrainedNet,
        layer: str,
        combine: str,
        flip: Optional[bool] = None,
        scales: Optional[Sequence[int]] = None,
    ):
        channels = end_at(net.model, layer)
        options = tta_options(net.cfg)
        options = {key: options[key] for key in ('flip', 'max_pixels') if key in options}
        if flip is not None:
            options['flip'] = flip
        self.net = DenseFeatures(net.model, protocol='dense', **options).eval()
        self.layer = layer
        self.images = image_reader(net.cfg, scales)
        check_scales(self.scales, self.net)
        #: Of the images, told also within a batch; None: nobody asks.
        self.progress: Optional[Progress] = None
        self.combine = combine if len(self.scales) > 1 else AVERAGE
        self.dimension = channels * (len(self.scales) if self.combine == STACK else 1)

    @property
    def scales(self) -> tuple[int, ...]:
        """Test scales Q."""
        return self.images.scales

    def weights_digest(self) -> str:
        """Digest of the weights up to the layer."""
        return weights_digest(self.net.module.state_dict())

    def parts(
        self, paths: Sequence[str], workers: Optional[int] = None
    ) -> Generator[Part, None, None]:
        """Features of images, some at a time, in order; the next ones are read meanwhile.

        Args:
            paths: Files.
            workers: Threads that read; by default one a core, at most four.
        """
        for batch in self.images.batches(paths, BATCH, workers=workers):
            yield self.part(batch)

    def part(self, batch: Sequence[Prepared]) -> Part:
        """Features of images, NaN where they could not be read."""
        errors = [self._error(image) for image in batch]
        whole = [i for i, error in enumerate(errors) if not error]
        features = torch.full((len(batch), self.dimension), torch.nan)
        if whole:
            views = [tuple(batch[i].packed['inputs']) for i in whole]
            features[whole] = self.combined(self._extract(views, len(batch))).cpu()
        return Part(features.numpy(), errors)

    def _extract(self, views: list[tuple[torch.Tensor, ...]], images: int) -> torch.Tensor:
        tell = None if self.progress is None else self.progress.within(images)
        with telling(self.net, self.net.pixels(dict(inputs=views)), tell):
            return self.net.extract(views)

    def _error(self, image: Prepared) -> str:
        """Why there are no features of an image, or ''."""
        if image.error:
            return image.error
        try:
            for view in image.packed['inputs']:
                self.net.check_fits(*view.shape[-2:], self.layer)
        except ValueError as error:
            return f'{image.name}: {error}'
        return ''

    def combined(self, features: torch.Tensor) -> torch.Tensor:
        """(N, Q, channels) -> (N, dimension), each of length 1."""
        features = features.flatten(1) if self.combine == STACK else features.mean(1)
        return torch.nn.functional.normalize(features.float(), dim=1)
