"""The steps that rescale an image, in training and testing: its smaller side becomes S (or Q)."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Optional, Union

import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness

from vgg_mm.registry import TRANSFORMS
from vgg_mm.text import check_positive, positive_integers

from .lazy_image import LazyImage
from .loading import LOAD_ERROR, MARK, RAISE
from .resampling import from_planes, rescale_crop, to_planes

#: Key of an image's boxes, as MMDetection names it: (N, 4) float32, x1 y1 x2 y2, pixel edges at
#: whole numbers.
BOXES = 'gt_bboxes'

#: Maximum number of draws for a crop that shows a box.
MAX_DRAWS = 10

#: Words for the paper's choice of Q, by the training scale S.
WORDS = ONE, SEVERAL = 'one', 'several'


def scale_bounds(scale: Union[int, Sequence[int]]) -> tuple[int, ...]:
    """S, or (S_min, S_max), as (S_min, S_max)."""
    return (scale, scale) if isinstance(scale, int) else tuple(scale)


def rescaled_size(height: int, width: int, smaller_side: int) -> tuple[int, int]:
    """(height, width) after isotropic rescaling to ``smaller_side``.

    The longer side is rounded down, as MMPretrain's ResizeEdge does.
    """
    if width < height:
        return smaller_side * height // width, smaller_side
    return smaller_side, smaller_side * width // height


def paper_test_scales(scale: tuple[int, int], several: bool) -> tuple[int, ...]:
    """The paper's test scales Q for a net trained at (S_min, S_max), equal for a fixed S.

    Fixed S: S (Section 4.1), or S - 32, S, S + 32 if ``several`` (Section 4.2). Jittered S:
    0.5 (S_min + S_max), or that between S_min and S_max.
    """
    low, high = scale
    middle = (low + high) // 2
    if not several:
        return (middle,)
    return (low - 32, low, high + 32) if low == high else (low, middle, high)


def move_boxes(
    boxes: np.ndarray, scale: tuple[float, float], corner: tuple[int, int]
) -> np.ndarray:
    """(N, 4) boxes in pixels of an image -> in a crop's coordinates; they may reach beyond it.

    ``scale``: (x, y), rescaled over original size; ``corner``: the crop's (top, left) after that.
    """
    top, left = corner
    return (boxes * (*scale, *scale) - (left, top, left, top)).astype(np.float32)


def visible_shares(boxes: np.ndarray, crop_size: int) -> np.ndarray:
    """How much of each box (N, 4), in a crop's coordinates, the crop shows: (N,) in [0, 1].

    The area of box and crop together, over that of the smaller of the two, so that a box around
    the whole crop has 1. 0 for a box without area.
    """
    inside = np.clip(boxes.astype(np.float64), 0, crop_size)
    shown, whole = (
        np.prod(np.clip(b[:, 2:] - b[:, :2], 0, None), axis=1)
        for b in (inside, boxes.astype(np.float64))
    )
    smaller = np.minimum(whole, float(crop_size) ** 2)
    return np.divide(shown, smaller, out=np.zeros_like(shown), where=smaller > 0)


class RescalingStep(BaseTransform):
    """A step that rescales an image, also an undecoded one of ``LoadImage(lazy=True)``."""

    def transform(self, results: dict) -> Optional[dict]:
        """``results`` after the step; None for a broken lazy image that its loader skips."""
        img = results['img']
        lazy = isinstance(img, LazyImage)
        return img.apply(self._rescale, results) if lazy else self._rescale(results)

    @abstractmethod
    def _rescale(self, results: dict) -> dict:
        """``results`` after the step."""


def _crop(
    img: Union[np.ndarray, LazyImage],
    size: Sequence[int],
    corner: Sequence[int],
    crop: Sequence[int],
) -> np.ndarray:
    """The crop (height, width) at ``corner`` (top, left) of the image rescaled to ``size``."""
    if isinstance(img, LazyImage):
        return img.crop(size, corner, crop)
    return rescale_crop(img, size, corner, crop)


def _crop_rescaled(
    results: dict, size: tuple[int, int], corner: tuple[int, int], crop_size: int
) -> dict:
    """Put the square crop at ``corner`` (top, left) of the image, rescaled to ``size`` (height,
    width), into ``results``, and boxes along with it; keys as in :class:`ScaleJitter`.
    """
    img = results['img']
    height, width = img.shape[:2]
    crop = _crop(img, size, corner, (crop_size, crop_size))
    results['img'] = from_planes(to_planes(crop)) if crop.ndim == 3 else crop
    results['img_shape'] = crop.shape[:2]
    results['scale'] = size[::-1]
    results['scale_factor'] = (size[1] / width, size[0] / height)
    if results.get(BOXES) is not None:
        results[BOXES] = move_boxes(results[BOXES], results['scale_factor'], corner)
    return results


@TRANSFORMS.register_module()
class CentralCrop(RescalingStep):
    """Rescale the smaller side to Q, then take the central crop; boxes go along (Appendix A.2).

    MMPretrain's ``ResizeEdge`` and mmcv's ``CenterCrop`` in one, with the pixels of
    :class:`ScaleJitter` (theirs are not antialiased). Keys as there.

    Args:
        scale: Q in pixels.
        crop_size: Side of the crop in pixels.

    Raises:
        ValueError: if one is not a positive integer, or ``scale`` is below ``crop_size``.
    """

    def __init__(self, scale: int, crop_size: int = 224):
        check_positive('CentralCrop', scale=scale, crop_size=crop_size)
        if scale < crop_size:
            raise ValueError(
                f'CentralCrop: Q must be at least crop_size, got Q={scale} and '
                f'crop_size={crop_size}; raise scale or lower crop_size'
            )
        self.scale = scale
        self.crop_size = crop_size

    def _rescale(self, results: dict) -> dict:
        height, width = results['img'].shape[:2]
        height, width = rescaled_size(height, width, self.scale)
        corner = round((height - self.crop_size) / 2), round((width - self.crop_size) / 2)
        return _crop_rescaled(results, (height, width), corner, self.crop_size)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(scale={self.scale}, crop_size={self.crop_size})'


@TRANSFORMS.register_module()
class ScaleJitter(RescalingStep):
    """Rescale the smaller side to S, then take one random crop (Section 3.1).

    S is fixed, or an integer drawn uniformly from [S_min, S_max] for each image; the crop's place
    is uniform over the rescaled image. Both steps are one resampling of the cropped region, so
    that no full-size image is made; the pixels are those of rescaling, then cropping, as
    :class:`CentralCrop` and :class:`TestScales` do for testing: bilinear, antialiased.

    Required keys: ``img``, (H, W) or (H, W, C), or what ``vgg_mm.LoadImage(lazy=True)`` leaves
    undecoded. Modified: ``img``, (crop_size, crop_size[, C]), channel by channel in memory, and
    ``img_shape``; where there are, ``gt_bboxes``, (N, 4) x1 y1 x2 y2, which come out in the crop's
    coordinates, all of them, also where they reach beyond the crop. Added: ``scale``, the rescaled
    (width, height), and ``scale_factor``, that over the original (width, height).

    Args:
        scale: S, or (S_min, S_max), in pixels.
        crop_size: Side of the crop in pixels.
        min_visible: The crop shows at least this share of one of the boxes (of the area of the box
            or of the crop, whichever is smaller), 0 to 1. Crops that do not are drawn again, ten
            times at most; then the one of the ten that shows most is used.

    Raises:
        ValueError: if ``scale`` is not S or S_min <= S_max, or is below ``crop_size``, or
            ``min_visible`` is not in [0, 1]; if it is above 0 and the data set gives no boxes.
    """

    def __init__(
        self, scale: Union[int, Sequence[int]], crop_size: int = 224, min_visible: float = 0
    ):
        bounds = scale_bounds(scale)
        if len(bounds) != 2 or not all(isinstance(s, int) for s in bounds) or bounds[0] > bounds[1]:
            raise ValueError(
                f'ScaleJitter: scale must be an integer S or a pair (S_min, S_max), got {scale}'
            )
        check_positive('ScaleJitter', crop_size=crop_size)
        if bounds[0] < crop_size:
            raise ValueError(
                f'ScaleJitter: S must be at least crop_size, got S={bounds[0]} and '
                f'crop_size={crop_size}; raise scale or lower crop_size'
            )
        if not isinstance(min_visible, (int, float)) or not 0 <= min_visible <= 1:
            raise ValueError(f'ScaleJitter: min_visible must be in [0, 1], got {min_visible!r}')
        self.scale = bounds
        self.crop_size = crop_size
        self.min_visible = min_visible

    @cache_randomness
    def _draw(self, height: int, width: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """The rescaled (height, width) and the crop's (top, left) in it."""
        smaller_side = np.random.randint(self.scale[0], self.scale[1] + 1)
        size = rescaled_size(height, width, smaller_side)
        top, left = (np.random.randint(0, side - self.crop_size + 1) for side in size)
        return size, (top, left)

    def _draw_showing(
        self, height: int, width: int, boxes: np.ndarray
    ) -> tuple[tuple[int, int], tuple[int, int]]:
        """:meth:`_draw`, again and again until a box is visible."""
        draws = []
        for _ in range(MAX_DRAWS):
            size, corner = self._draw(height, width)
            moved = move_boxes(boxes, (size[1] / width, size[0] / height), corner)
            shown = visible_shares(moved, self.crop_size).max()
            draws.append((shown, size, corner))
            if shown >= self.min_visible:
                break
        return max(draws, key=lambda draw: draw[0])[1:]

    def _rescale(self, results: dict) -> dict:
        height, width = results['img'].shape[:2]
        boxes = results.get(BOXES)
        if self.min_visible > 0 and boxes is None:
            raise ValueError(
                f'ScaleJitter: min_visible={self.min_visible} needs gt_bboxes, which the data set '
                'does not give (vgg_mm.CocoBoxes and vgg_mm.ImageNetBoxes do)'
            )
        if self.min_visible > 0 and boxes is not None and len(boxes):
            size, corner = self._draw_showing(height, width, boxes)
        else:
            size, corner = self._draw(height, width)
        return _crop_rescaled(results, size, corner, self.crop_size)

    def __repr__(self) -> str:
        visible = f', min_visible={self.min_visible}' if self.min_visible else ''
        return f'{type(self).__name__}(scale={self.scale}, crop_size={self.crop_size}{visible})'


@TRANSFORMS.register_module()
class TestScales(RescalingStep):
    """The whole image, rescaled isotropically so that its smaller side is Q, for each Q.

    Required key: ``img``, (H, W) or (H, W, C), or what ``vgg_mm.LoadImage(lazy=True)`` leaves
    undecoded. Modified: ``img``, a list of images, one per Q, of the same type, with the pixels of
    :class:`ScaleJitter`. Crops are taken from them later, on the device (Section 3.2).

    Args:
        scales: Q, or several, in pixels; or a word for the paper's choice: 'one' (Section 4.1,
            Table 3) or 'several' (Section 4.2, Tables 4 and 5).
        trained_at: S, or (S_min, S_max), which decides the paper's choice. The test tool reads it
            from the config's ``vgg_mm.ScaleJitter``.
        max_pixels: Rescaled images of more pixels are an error: a strip of 20,000 x 10 is one of
            512,000 x 256 at Q = 256.
        on_error: What an image that becomes too large is: 'raise', an error, or 'mark', a black one
            of Q x Q with the key ``load_error``, as of :class:`LoadImage`.

    Raises:
        ValueError: if there is no Q or one that is not a positive integer, or a word without S, or
            ``on_error`` is none of these; if an image becomes too large.
    """

    __test__ = False  # not a test case

    def __init__(
        self,
        scales: Union[int, Sequence[int], str],
        trained_at: Union[int, Sequence[int], None] = None,
        max_pixels: int = 2**26,
        on_error: str = RAISE,
    ):
        if on_error not in (RAISE, MARK):
            raise ValueError(f"TestScales: on_error must be 'raise' or 'mark', got {on_error!r}")
        if isinstance(scales, str):
            scales = _papers_choice(scales, trained_at)
        self.scales = positive_integers('TestScales: scales', scales)
        check_positive('TestScales', max_pixels=max_pixels)
        self.max_pixels = max_pixels
        self.on_error = on_error

    def _rescale(self, results: dict) -> dict:
        img = results['img']
        problem = self._too_large(img, results)
        if problem and self.on_error == RAISE:
            raise ValueError(problem)
        if problem:
            results[LOAD_ERROR] = problem
            img = np.zeros((1, 1, *img.shape[2:]), np.uint8)
        height, width = img.shape[:2]
        sizes = [rescaled_size(height, width, q) for q in self.scales]
        results['img'] = [_crop(img, size, (0, 0), size) for size in sizes]
        return results

    def _too_large(self, img: Union[np.ndarray, LazyImage], results: dict) -> str:
        whole = img.shape[:2]
        for q in self.scales:
            height, width = rescaled_size(whole[0], whole[1], q)
            if height * width > self.max_pixels:
                return (
                    f'an image of {whole[1]}x{whole[0]} is {width}x{height} at test scale '
                    f'Q={q}, more than TestScales(max_pixels={self.max_pixels}) allows: '
                    f'{results.get("img_path", "a given image")}'
                )
        return ''

    def __repr__(self) -> str:
        return f'{type(self).__name__}(scales={self.scales})'


def _papers_choice(word: str, trained_at: Union[int, Sequence[int], None]) -> tuple[int, ...]:
    if word not in WORDS:
        raise ValueError(
            f"TestScales: scales must be integers, 'one' or 'several' (the paper's Q), got {word!r}"
        )
    if trained_at is None:
        raise ValueError(
            f'TestScales: scales={word!r} needs trained_at=S or (S_min, S_max), which decides the '
            "paper's Q; or give integers, e.g. scales=(256, 384, 512)"
        )
    low, high = scale_bounds(trained_at)
    return paper_test_scales((low, high), several=word == SEVERAL)
