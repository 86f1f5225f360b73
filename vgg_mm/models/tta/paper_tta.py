"""The paper's test protocols as a test-time-augmentation model (Section 3.2)."""

from collections import Counter
from collections.abc import Sequence
from typing import Optional, Union

import torch
import torch.nn as nn
from mmengine.logging import print_log
from mmengine.model import BaseTTAModel
from mmpretrain.structures import DataSample

from vgg_mm.architectures import STRIDE
from vgg_mm.registry import MODELS
from vgg_mm.text import is_positive

from ..batch_work import pixels_in
from ..heads import LocalisationHead
from .strips import Views, is_to_be_cut, places_by_shape, score_maps_in_strips

DENSE, MULTI_CROP = 'dense', 'multi_crop'

#: 5x5 crops a scale (Section 3.2).
PAPER_GRID = 5

#: The four corners and the centre; with flips, the usual ten crops.
CORNERS_AND_CENTRE = 'five'

Grid = Union[int, Sequence[int], str]

#: Maximum number of pixels in the backbone at once on a CPU. Larger batches are slower there, since
#: the maps of the first blocks no longer fit the last-level cache; the head is faster with large
#: batches.
CPU_PIXELS = 4 * 224**2

#: protocol -> the evaluations whose posteriors it averages
PROTOCOLS = {
    DENSE: (DENSE,),
    MULTI_CROP: (MULTI_CROP,),
    f'{DENSE}+{MULTI_CROP}': (DENSE, MULTI_CROP),
}


@MODELS.register_module()
class PaperTTA(BaseTTAModel):
    """Dense and multi-crop evaluation at one or several test scales Q.

    - dense: the whole rescaled image goes through the fully-convolutional net, the class score map
      is averaged over its positions, then comes the soft-max;
    - multi_crop: the soft-max of each crop of a regular grid, averaged over the crops.

    Either is averaged over the image and its horizontal flip (whose crops are on the same grid),
    then over all Q. 'dense+multi_crop' is the mean of the two results. So the soft-max is after
    the average over positions and before all others.

    Input is what the transform ``vgg_mm.TestScales`` makes of an image: uint8 tensors (3, H, W),
    one per Q. Crops are views of them on the device. Views of equal shape share forward passes.

    Args:
        module: The classifier, an :class:`mmpretrain.ImageClassifier`; for dense evaluation with a
            :class:`ConvHead`.
        protocol: 'dense', 'multi_crop' or 'dense+multi_crop', or several, which share all work.
            Predictions are the first one's; all are in ``pred_scores``.
        grid: Crops of a scale: n for n x n (the paper's 5), (rows, columns), or 'five' for the
            corners and the centre. 1 is the centre crop.
        crop_size: Side of the crops in pixels; by default what the head's kernel covers (224).
        flip: Whether the horizontal flip is used.
        max_pixels: Maximum number of pixels in one forward pass, which bounds memory. Larger images
            go through in strips, with the same result; whole, if the net has norms that see the
            whole map (GN, IN). Halved if memory still runs out.
        data_preprocessor: As in mmengine's ``BaseTTAModel``.

    Raises:
        ValueError: if an argument is invalid.
    """

    def __init__(
        self,
        module: Union[dict, nn.Module],
        protocol: Union[str, Sequence[str]] = 'dense+multi_crop',
        grid: Grid = PAPER_GRID,
        crop_size: Optional[int] = None,
        flip: bool = True,
        max_pixels: int = 2**20,
        data_preprocessor: Optional[dict] = None,
    ):
        super().__init__(module, data_preprocessor)
        self.protocols = (protocol,) if isinstance(protocol, str) else tuple(protocol)
        for name in self.protocols or ('',):
            if name not in PROTOCOLS:
                raise ValueError(
                    f'PaperTTA: unknown protocol {name!r}; choose among {", ".join(PROTOCOLS)}'
                )
        parts = {part for name in self.protocols for part in PROTOCOLS[name]}
        head = getattr(self.module, 'head', None)
        if isinstance(head, LocalisationHead):
            raise ValueError(
                'PaperTTA: the net has a LocalisationHead, which predicts boxes, not classes; '
                'vgg_mm.LocalisationTTA tests it (--tta with a config of configs/localisation)'
            )
        if DENSE in parts and not hasattr(head, 'score_map'):
            raise ValueError(
                'PaperTTA: dense evaluation needs a head with a score map; '
                "set head=dict(type='vgg_mm.ConvHead', ...)"
            )
        if MULTI_CROP not in parts and grid != PAPER_GRID:
            raise ValueError(
                f'PaperTTA: grid={grid!r} is of multi_crop, the protocol is '
                f'{", ".join(self.protocols)}: leave it out, or choose another protocol'
            )
        self.grid = check_grid(grid)
        self.crop_size = crop_size or STRIDE * getattr(head, 'kernel_size', 7)
        self.flip = flip
        if not is_positive(max_pixels):
            raise ValueError(f'PaperTTA: max_pixels must be positive, got {max_pixels!r}')
        self.max_pixels = max_pixels
        evaluations = {DENSE: self._dense, MULTI_CROP: self._multi_crop}
        self._evaluations = {part: evaluations[part] for part in evaluations if part in parts}

    def test_step(self, data: dict) -> list[DataSample]:
        """Predict a batch.

        Args:
            data: As mmengine's ``pseudo_collate`` makes it: ``inputs``, a list (one entry a Q) of
                lists (one entry an image) of uint8 tensors (3, H, W); ``data_samples``, a list of
                :class:`DataSample`, one an image.

        Returns:
            The data samples with ``pred_score``, the posterior (num_classes,), and ``pred_label``;
            with several protocols also ``pred_scores``, protocol -> posterior.

        Raises:
            ValueError: if an image is smaller than a crop.
            RuntimeError: if there is not enough memory for a single crop.
        """
        images: list[Views] = list(zip(*data['inputs']))
        self._check_sizes(images)
        samples = data.get('data_samples') or [DataSample() for _ in images]
        results = self.merge_preds(self._within_memory(images))
        for i, sample in enumerate(samples):
            posteriors = {name: result[i] for name, result in results.items()}
            posterior = posteriors[self.protocols[0]]
            sample.set_pred_score(posterior).set_pred_label(posterior.argmax())
            if len(posteriors) > 1:
                sample.set_field(posteriors, 'pred_scores', dtype=dict)
        # Hooks that draw predictions expect one image a sample in the batch.
        data['inputs'] = [views[-1] for views in images]
        return samples

    def pixels(self, data: dict) -> int:
        """Number of pixels that go through the net for a batch, as :meth:`test_step` takes it."""
        pixels = 0
        for views in data['inputs']:
            if DENSE in self._evaluations:
                pixels += pixels_in(views)
            if MULTI_CROP in self._evaluations:
                side = self.crop_size
                for height, width in (view.shape[-2:] for view in views):
                    pixels += len(crop_corners(height, width, side, self.grid)) * side**2
        return pixels * (2 if self.flip else 1)

    def merge_preds(self, parts: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """From dense and multi-crop posteriors (N, Q, num_classes) to each protocol's (N, ...)."""
        over_scales = {part: posteriors.mean(1) for part, posteriors in parts.items()}
        return {
            name: torch.stack([over_scales[part] for part in PROTOCOLS[name]]).mean(0)
            for name in self.protocols
        }

    def _check_sizes(self, images: list[Views]) -> None:
        for views in images:
            for view in views:
                height, width = view.shape[-2:]
                if min(height, width) < self.crop_size:
                    raise ValueError(
                        f'PaperTTA: an image is {height}x{width} at test scale '
                        f'Q={min(height, width)}, smaller than a crop of '
                        f'{self.crop_size}x{self.crop_size}; Q must be at least {self.crop_size}'
                    )

    def _within_memory(self, images: list[Views]) -> dict[str, torch.Tensor]:
        """:meth:`_posteriors`, with ``max_pixels`` halved until there is enough memory."""
        while True:
            try:
                return self._posteriors(images)
            except RuntimeError as error:
                if not _is_out_of_memory(error):
                    raise
                if self.max_pixels < self.crop_size**2:
                    raise RuntimeError(
                        f'out of memory with one crop of {self.crop_size}x{self.crop_size} a '
                        'pass; test on a device with more memory'
                    ) from error
            self.max_pixels //= 2
            print_log(f'out of memory: continuing with max_pixels={self.max_pixels}', 'current')
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _posteriors(self, images: list[Views]) -> dict[str, torch.Tensor]:
        """The posterior of every image at every Q by each evaluation: (N, Q, num_classes)."""
        found: dict[str, dict[tuple[int, int], torch.Tensor]] = {p: {} for p in self._evaluations}
        for shape, places in places_by_shape(images).items():
            size = max(1, self.max_pixels // (shape[-2] * shape[-1]))
            for first in range(0, len(places), size):
                group = places[first : first + size]
                inputs = self._with_flips(torch.stack([images[i][j] for i, j in group]))
                for part, evaluate in self._evaluations.items():
                    posteriors = evaluate(inputs)
                    over_flips = posteriors.unflatten(0, (-1, len(group))).mean(0)
                    found[part].update(zip(group, over_flips))
        scales = range(len(images[0]))
        return {
            part: torch.stack([torch.stack([p[i, j] for j in scales]) for i in range(len(images))])
            for part, p in found.items()
        }

    def _with_flips(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 (N, 3, H, W) -> normalised (N or 2 N, 3, H, W), images first, then their flips."""
        inputs = self.module.data_preprocessor(dict(inputs=images), training=False)['inputs']
        return torch.cat([inputs, inputs.flip(-1)]) if self.flip else inputs

    def _dense(self, inputs: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) -> (N, num_classes)."""
        return self._mean_scores(inputs).softmax(dim=1)

    def _mean_scores(self, inputs: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) -> class scores averaged over all positions, (N, num_classes)."""
        pixels = inputs.shape[-2] * inputs.shape[-1]
        if is_to_be_cut(self.module, inputs, self.max_pixels):
            return torch.cat([self._mean_of_strips(image[None]) for image in inputs])
        size = max(1, self.max_pixels // pixels)
        return torch.cat([self._scores(images) for images in inputs.split(size)])

    def _mean_of_strips(self, image: torch.Tensor) -> torch.Tensor:
        """(1, 3, H, W) -> class scores averaged over all positions, (1, num_classes)."""
        total, positions = image.new_zeros(()), 0
        for scores in score_maps_in_strips(self.module, image, self.max_pixels):
            total = total + scores.float().sum(dim=(2, 3))
            positions += scores.shape[-2] * scores.shape[-1]
        return total / positions

    def _multi_crop(self, inputs: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) -> (N, num_classes)."""
        side = self.crop_size
        height, width = inputs.shape[-2:]
        corners = crop_corners(height, width, side, self.grid)
        crops = [
            image[:, top : top + side, left : left + side]
            for image in inputs
            for top, left in corners
        ]
        size = max(1, self.max_pixels // side**2)
        posteriors = torch.cat(
            [
                self._scores(torch.stack(crops[first : first + size])).softmax(dim=1)
                for first in range(0, len(crops), size)
            ]
        )
        weights = posteriors.new_tensor(list(corners.values()))[:, None] / sum(corners.values())
        return (posteriors.unflatten(0, (len(inputs), -1)) * weights).sum(1)

    def _scores(self, images: torch.Tensor) -> torch.Tensor:
        """Class scores averaged over positions, (N, num_classes), float32 also under autocast."""
        size = len(images)
        if images.device.type == 'cpu':
            size = max(1, CPU_PIXELS // (images.shape[-2] * images.shape[-1]))
        parts = [self.module.extract_feat(part) for part in images.split(size)]
        return self.module.head(tuple(map(torch.cat, zip(*parts)))).float()


def check_grid(grid: Grid) -> Union[tuple[int, int], str]:
    """(rows, columns) of a regular grid, or :data:`CORNERS_AND_CENTRE`; ValueError if neither."""
    if grid == CORNERS_AND_CENTRE:
        return grid
    sides = grid if isinstance(grid, Sequence) else (grid, grid)
    if isinstance(sides, str) or len(sides) != 2 or not all(map(is_positive, sides)):
        raise ValueError(
            'PaperTTA: grid must be a positive number (5 gives the 5x5 crops of the paper), a '
            f"pair (rows, columns), or 'five' for the corners and the centre, got {grid!r}"
        )
    return int(sides[0]), int(sides[1])


def crop_corners(
    height: int, width: int, crop_size: int, grid: Union[tuple[int, int], str]
) -> dict[tuple[int, int], int]:
    """(top, left) of each crop, and how often it occurs; ``grid`` as :func:`check_grid` returns it.

    A regular grid reaches from edge to edge; one row (column) is central. Along a side of just the
    crop's length the grid collapses: its crops are one, which occurs several times.
    """
    down, right = height - crop_size, width - crop_size
    if isinstance(grid, str):  # CORNERS_AND_CENTRE
        corners = [(top, left) for top in (0, down) for left in (0, right)]
        return dict(Counter([*corners, (round(down / 2), round(right / 2))]))
    rows, columns = _positions(down, grid[0]), _positions(right, grid[1])
    return dict(Counter((top, left) for top in rows for left in columns))


def _positions(room: int, count: int) -> list[int]:
    """``count`` places from 0 to ``room``, equally far apart; halves to even as in CenterCrop."""
    if count == 1:
        return [round(room / 2)]
    return [round(room * i / (count - 1)) for i in range(count)]


def _is_out_of_memory(error: RuntimeError) -> bool:
    """torch has a class for it on GPUs, a message on the CPU."""
    return isinstance(error, torch.OutOfMemoryError) or 'DefaultCPUAllocator' in str(error)
