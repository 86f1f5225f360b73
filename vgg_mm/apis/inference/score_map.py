"""Where in a photo the positions of a class score map look."""

from typing import NamedTuple

import numpy as np
import torch
from mmpretrain.models.classifiers import ImageClassifier

from vgg_mm.architectures import STRIDE
from vgg_mm.models import VGG
from vgg_mm.models.tta.strips import score_maps_in_strips


class ScoreMap(NamedTuple):
    """The soft-max over the classes at every position of a dense evaluation (Section 3.2).

    ``posteriors`` is float32 (num_classes, h, w) in [0, 1], of the image itself, not its flip, at
    test scale ``q``. ``rows`` (h,) and ``columns`` (w,) are the centres of the positions'
    receptive fields, as fractions of the photo's height and width.
    """

    posteriors: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    q: int

    @property
    def is_single(self) -> bool:
        """Whether there is but one position, so that nothing can be seen in a map."""
        return self.posteriors.shape[1:] == (1, 1)

    def upsampled(self, label: int, height: int, width: int) -> np.ndarray:
        """One class's map over the photo at this size: float32 (height, width).

        Bilinear between the centres of receptive fields, constant beyond the outermost.
        """
        down = _weights(self.rows, height)
        across = _weights(self.columns, width)
        return (down @ self.posteriors[label] @ across.T).astype(np.float32)


def field_centres(count: int, window: int, length: int) -> np.ndarray:
    """Centres of the receptive fields of score map positions along one side, (count,).

    Convolutions are padded to keep the size, so that a position of the last map sees equally far
    to both sides of its cell of 32 pixels, and pooling puts cell i on the pixels 32 i to 32 i + 31.
    fc6's window of position i is the cells i to i + window - 1, whose middle is the edge of a pixel
    or the middle of one: 32 (i + window / 2), counted from the image's edge. Rescaling keeps edges
    on edges, so that the fraction of the rescaled side is that of the photo's.

    Args:
        count: Positions along the side.
        window: Side of fc6's kernel in cells.
        length: Of the rescaled image's side in pixels.

    Returns:
        Fractions of the side, in (0, 1).
    """
    return STRIDE * (np.arange(count) + window / 2) / length


def _weights(centres: np.ndarray, length: int) -> np.ndarray:
    """(length, len(centres)): how much each centre counts at each pixel; rows sum to 1."""
    pixels = (np.arange(length) + 0.5) / length
    return np.stack([np.interp(pixels, centres, row) for row in np.eye(len(centres))], axis=1)


@torch.inference_mode()
def compute_score_map(model: ImageClassifier, view: torch.Tensor, max_pixels: int) -> ScoreMap:
    """The score map of an image at one test scale.

    Args:
        model: With a whole VGG and a :class:`ConvHead`, see :func:`check_has_map`.
        view: The rescaled image as ``vgg_mm.TestScales`` makes it, uint8 (3, H, W).
        max_pixels: Larger images go through in strips, with the same result.
    """
    data = model.data_preprocessor(dict(inputs=view[None]), training=False)
    image = data['inputs']
    height, width = image.shape[-2:]
    along = 3 if width >= height else 2
    scores = torch.cat(list(score_maps_in_strips(model, image, max_pixels)), dim=along)
    posteriors = scores.float().softmax(dim=1)[0].cpu().numpy()
    window = model.head.kernel_size
    rows, columns = (
        field_centres(n, window, length) for n, length in zip(posteriors.shape[1:], (height, width))
    )
    return ScoreMap(posteriors, rows, columns, min(height, width))


def check_has_map(model: ImageClassifier) -> None:
    """Refuse nets without score map.

    Raises:
        ValueError: in one line, if the model is not a VGG with its last pooling and a ConvHead.
    """
    backbone = getattr(model, 'backbone', None)
    has_cells = isinstance(backbone, VGG) and backbone.has_cells
    if not hasattr(getattr(model, 'head', None), 'score_map') or not has_cells:
        raise ValueError(
            'score maps need a vgg_mm.VGG with its last pooling and a head of type vgg_mm.ConvHead'
        )
