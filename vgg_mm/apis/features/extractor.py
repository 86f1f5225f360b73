"""Features of images: the activations of a layer, over the whole image."""

from collections.abc import Generator, Sequence
from types import NoneType
from typing import Optional, Union

import torch
import torch.nn as nn
from mmpretrain.models.classifiers import ImageClassifier

from vgg_mm.architectures import BLOCK_WIDTHS, NUM_BLOCKS
from vgg_mm.installation import argument
from vgg_mm.models.backbones.vgg import VGG
from vgg_mm.models.batch_work import telling
from vgg_mm.models.heads.conv_head import ConvHead
from vgg_mm.models.tta import PaperTTA
from vgg_mm.models.tta.paper_tta import DENSE
from vgg_mm.models.tta.strips import can_be_cut
from vgg_mm.progress import Progress

from ..inference.images import Prepared
from ..inference.load import TrainedNet
from ..inference.predictor import image_reader, tta_options
from .parts import AVERAGE, STACK, Part

FC_LAYERS = ('fc6', 'fc7')

POOL_LAYERS = tuple(f'pool{block}' for block in range(1, NUM_BLOCKS + 1))

#: Maximum number of pixels of a rescaled image for a layer whose map is not made in strips; the
#: maps of net D's first block take 256 bytes a pixel.
WHOLE_PIXELS = 2**23

#: Images that are read together and, where their shapes agree, share forward passes.
BATCH = 32


class FeatureHead(nn.Module):
    """What follows the backbone up to a layer, replacing a :class:`ConvHead`.

    Args:
        layers: From the backbone's last map to the features' map.
        kernel_size: Side of the first layer's kernel, as in ConvHead; 1 if there is none.
    """

    def __init__(self, layers: Sequence[nn.Module] = (), kernel_size: int = 1):
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.kernel_size = kernel_size

    def score_map(self, feats: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """The features at every position: (N, dimension, h, w)."""
        return self.layers(feats[-1])

    def forward(self, feats: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """Averaged over the positions: (N, dimension)."""
        return self.score_map(feats).mean(dim=(2, 3))


class DenseFeatures(PaperTTA):
    """Dense evaluation with features instead of class scores, and no soft-max."""

    @torch.inference_mode()
    def extract(self, images: list[tuple[torch.Tensor, ...]]) -> torch.Tensor:
        """Features averaged over positions, then over image and flip.

        Args:
            images: For each image a view per Q, uint8 (3, H, W), as ``vgg_mm.TestScales`` makes
                them.

        Returns:
            (N, Q, dimension), float32.

        Raises:
            ValueError: if a view is smaller than the layer's window.
        """
        self._check_sizes(images)
        return self._within_memory(images)[DENSE]

    def _dense(self, inputs: torch.Tensor) -> torch.Tensor:
        return self._mean_scores(inputs)


def end_at(model: ImageClassifier, layer: str) -> int:
    """Let a classifier end at a layer of :func:`extract_features`; its head is replaced.

    Returns:
        Number of channels of the layer's map.

    Raises:
        ValueError: in one line, if the net is of another kind or has no such layer.
    """
    backbone, head = model.backbone, model.head
    if not isinstance(backbone, VGG) or not isinstance(head, (ConvHead, NoneType)):
        raise ValueError(
            'features need a vgg_mm.VGG with a head of type vgg_mm.ConvHead, got '
            f'{type(backbone).__name__} and {type(head).__name__}'
        )
    names = [*backbone.layer_names, *(n for n in POOL_LAYERS if hasattr(backbone, n))]
    names += [name for name in FC_LAYERS if hasattr(head, name)]
    if layer not in names:
        raise ValueError(
            f'{argument("layer")}: the net has no layer {layer!r} for features; available: '
            f'{", ".join(names)}'
        )
    if layer in FC_LAYERS:
        layers = [head.fc6, head.relu, head.fc7, head.relu][: 2 * FC_LAYERS.index(layer) + 2]
        model.head = FeatureHead(layers, head.kernel_size)
        return getattr(head, layer).out_features
    model.head = FeatureHead()
    if layer in POOL_LAYERS:
        block = POOL_LAYERS.index(layer)
        backbone.out_indices = (block,)
        return backbone.base_channels * BLOCK_WIDTHS[block]
    backbone.out_indices = (layer,)
    return getattr(backbone, layer).out_channels


class Extractor:
    """A net that ends at a layer, with pre-processing and averaging (Appendix B).

    At each Q: the layer's map of the whole image, averaged over its positions, then over the image
    and its flip. The vectors of the Q are averaged or stacked; the result has length 1. A vector of
    zeros, of a layer in which no unit is active, stays as it is.

    Args:
        net: Of a checkpoint; its model is changed to end at the layer.
        layer: As of :func:`extract_features`.
        combine: 'average' or 'stack'.
        flip: Whether the flip is used; None: as in the config's test protocol.
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
        scales: Union[int, Sequence[int], None] = None,
    ):
        channels = end_at(net.model, layer)
        options = tta_options(net.cfg)
        options = {key: options[key] for key in ('flip', 'max_pixels') if key in options}
        if flip is not None:
            options['flip'] = flip
        self.net = DenseFeatures(net.model, protocol=DENSE, **options).eval()
        self.layer = layer
        self.images = image_reader(net.cfg, scales, self.net.crop_size)
        #: Progress of the images, also within a batch; None: not reported.
        self.progress: Optional[Progress] = None
        several = len(self.images.scales)
        self.combine = combine if several > 1 else AVERAGE
        self.dimension = channels * (several if self.combine == STACK else 1)

    def parts(
        self, paths: Sequence[str], workers: Optional[int] = None
    ) -> Generator[Part, None, None]:
        """Features of images, some at a time, in order; ``workers`` threads read the next ones."""
        for batch in self.images.batches(paths, BATCH, workers=workers):
            yield self.part(batch)

    def part(self, batch: Sequence[Prepared]) -> Part:
        """Features of images, NaN where they could not be read."""
        errors = [image.error or self._too_large(image) for image in batch]
        whole = [i for i, error in enumerate(errors) if not error]
        features = torch.full((len(batch), self.dimension), torch.nan)
        if whole:
            views = [tuple(batch[i].packed['inputs']) for i in whole]
            tell = None if self.progress is None else self.progress.within(len(batch))
            with telling(self.net, self.net.pixels(dict(inputs=views)), tell):
                found = self.net.extract(views)
            found = found.flatten(1) if self.combine == STACK else found.mean(1)
            features[whole] = nn.functional.normalize(found.float(), dim=1).cpu()
        return Part(features.numpy(), errors)

    def _too_large(self, image: Prepared) -> str:
        """Why an image is too large for a layer that needs it whole; or ''."""
        sizes = [view.shape[-2:] for view in image.packed['inputs']]
        height, width = max(sizes, key=torch.Size.numel)
        if height * width <= WHOLE_PIXELS or can_be_cut(self.net.module):
            return ''
        return (
            f'{image.name}: rescaled to {width}x{height}: layer {self.layer} allows at most '
            f'{WHOLE_PIXELS:,} pixels; pool5, fc6 and fc7 allow more, if no norm sees the whole '
            'image (GN, IN)'
        )
