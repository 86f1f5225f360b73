"""What the page shows: computed and drawn without it."""

import os
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Optional, Union

import cv2
import numpy as np
from PIL import Image

from vgg_mm.apis.inference.images import Prepared
from vgg_mm.apis.inference.prediction import ScoreMap, check_has_map, with_longer_side
from vgg_mm.apis.inference.predictor import Predictor, load_predictor
from vgg_mm.apis.runner import AUTO
from vgg_mm.architectures import STRIDE
from vgg_mm.datasets.transforms.rescale import rescaled_size
from vgg_mm.models.tta.paper_tta import crop_corners

#: Protocols that are compared, and what the page calls them.
PROTOCOLS = {'dense': 'dense', 'multi_crop': 'multi-crop', 'both': 'dense + multi-crop'}

#: What is drawn over the photo.
VIEWS = MAP, WINDOWS, CROPS = ('score map', 'windows of dense', 'crops of multi-crop')

#: Maximum number of pixels of a photo, and of bytes of its file.
MAX_PIXELS, MAX_BYTES = 50_000_000, 20 << 20

#: Q that can be chosen, in pixels.
MAX_SCALE, SCALE_STEP = 768, 32

#: Longer side of the drawn image, in pixels.
SIDE = 720

WHITE, ORANGE = (255, 255, 255), (217, 130, 43)

#: Nets kept in memory: two visitors with one each do not wait for files.
KEPT = 2


class Field(NamedTuple):
    """A part of the photo, as fractions of its height and width."""

    top: float
    left: float
    bottom: float
    right: float


@dataclass
class Look:
    """A photo through a net at one Q.

    Attributes:
        path, weights: Of the photo and the net, as they were given.
        photo: uint8 (h, w, 3) RGB, its longer side :data:`SIDE` pixels.
        posterior: By dense evaluation, float32 (num_classes,).
        score_map: Posteriors by position.
        classes: Names of the classes, each one different.
        rescaled: (height, width) of the photo at Q, in pixels.
        window: Side of what fc6 (or, without it, fc8) takes of the photo at a place, in pixels.
        crop: Side of the crops of multi-crop evaluation, in pixels.
        grid: Crops of multi-crop evaluation.
        seconds: Duration of dense evaluation.
        pace: Seconds per pixel of the rescaled photo, with its mirror image.
        notices: Notes on the net, one line each.
    """

    path: str
    weights: str
    photo: np.ndarray
    posterior: np.ndarray
    score_map: ScoreMap
    classes: list[str]
    rescaled: tuple[int, int]
    window: int
    crop: int
    grid: Union[tuple[int, int], str]
    seconds: float
    pace: float
    notices: list[str]

    def order(self) -> list[int]:
        """Class numbers, the most probable first."""
        return np.argsort(-self.posterior, kind='stable').tolist()

    def windows(self) -> list[list[Field]]:
        """What each position of the score map sees, by row and column."""
        height, width = (self.window / side / 2 for side in self.rescaled)
        return [
            [Field(y - height, x - width, y + height, x + width) for x in self.score_map.columns]
            for y in self.score_map.rows
        ]

    def crops(self) -> list[Field]:
        """The crops of multi-crop evaluation."""
        height, width = self.rescaled
        return [
            Field(
                top / height, left / width, (top + self.crop) / height, (left + self.crop) / width
            )
            for top, left in crop_corners(height, width, self.crop, self.grid)
        ]

    def seconds_to_compare(self) -> float:
        """What :meth:`Explorer.compare` will take, about: by the pixels of dense and multi-crop."""
        height, width = self.rescaled
        return self.pace * (height * width + len(self.crops()) * self.crop**2)

    def position(self, x: float, y: float) -> tuple[int, int]:
        """Row and column of the window whose centre is nearest to a pixel of :attr:`photo`."""
        height, width = self.photo.shape[:2]
        row = np.abs(self.score_map.rows - y / height).argmin()
        column = np.abs(self.score_map.columns - x / width).argmin()
        return int(row), int(column)

    def draw(
        self, label: int, view: str = MAP, position: Optional[tuple[int, int]] = None
    ) -> np.ndarray:
        """The photo with a view over it, uint8 (h, w, 3) RGB.

        Args:
            label: Class number whose map is shown, from 0 (dark blue) to 1 (yellow), always.
            view: One of :data:`VIEWS`.
            position: Row and column of a window to mark.
        """
        photo = self.photo.copy()
        if view == MAP:
            photo = self.score_map.over(photo, label)
        else:
            fields = self.crops() if view == CROPS else sum(self.windows(), [])
            for field in fields:
                _outline(photo, field, WHITE, 1)
        if view != CROPS:
            for y in self.score_map.rows:
                for x in self.score_map.columns:
                    _dot(photo, x, y, WHITE)
        if position is not None:
            row, column = position
            _outline(photo, self.windows()[row][column], ORANGE, 3)
            _dot(photo, self.score_map.columns[column], self.score_map.rows[row], ORANGE)
        return photo

    def caption(self, view: str) -> str:
        """What :meth:`draw` shows, in a sentence."""
        height, width = self.rescaled
        rows, columns = self.score_map.posteriors.shape[1:]
        if view == CROPS:
            crops = len(self.crops())
            return (
                f'Multi-crop evaluation takes {crops} crop{"s" * (crops > 1)} of {self.crop} x '
                f'{self.crop} pixels from the photo at {width} x {height}, and as many from its '
                'mirror image.'
            )
        side = f'{self.window} x {self.window} pixels'
        one = 'One window' if rows * columns == 1 else f'{rows} x {columns} windows'
        text = f'{one} of {side}, {STRIDE} apart, on the photo at {width} x {height}'
        if view == WINDOWS:
            return f'Dense evaluation: {text}; dots are their centres.'
        return f"The class's posterior by place, from {text}; dots are their centres."


def _outline(photo: np.ndarray, field: Field, colour: tuple[int, int, int], thick: int) -> None:
    height, width = photo.shape[:2]
    corners = [
        (round(x * width), round(y * height))
        for x, y in ((field.left, field.top), (field.right, field.bottom))
    ]
    first, last = ((min(x, width - 1), min(y, height - 1)) for x, y in corners)
    cv2.rectangle(photo, first, last, colour, thick, cv2.LINE_AA)


def _dot(photo: np.ndarray, x: float, y: float, colour: tuple[int, int, int]) -> None:
    height, width = photo.shape[:2]
    cv2.circle(photo, (round(x * width), round(y * height)), 3, colour, -1, cv2.LINE_AA)


class Explorer:
    """Runs photos through nets, one at a time, for all visitors.

    Args:
        device: By default the GPU if there is one.
        kernels: 'auto' or 'plain', as of ``predict``.
    """

    def __init__(self, device: Optional[str] = None, kernels: str = AUTO):
        self.device = device
        self.kernels = kernels
        self._lock = threading.Lock()
        self._net = lru_cache(maxsize=KEPT)(self._load)

    def look(self, path: str, weights: str, q: int) -> Look:
        """Dense evaluation of a photo.

        Args:
            path: Of the photo.
            weights: As ``predict`` takes a checkpoint.
            q: Test scale in pixels.

        Raises:
            OSError, ValueError: in one line, if photo, weights or Q are invalid.
        """
        with self._lock:
            net = self._net(weights)
            dense = Predictor(net.net, 'dense', [q])
            prepared = _prepared(dense, path)
            posterior, seconds = _evaluated(dense, prepared)
            # A net's first pass is slower than the others; this one is not.
            started = time.perf_counter()
            score_map = dense.score_map(prepared)
            taken = time.perf_counter() - started
        assert prepared.photo is not None
        height, width = prepared.photo.shape[:2]
        rescaled = rescaled_size(height, width, q)
        return Look(
            path=path,
            weights=weights,
            photo=with_longer_side(prepared.photo, SIDE),
            posterior=posterior,
            score_map=score_map,
            classes=_different(net.classes),
            rescaled=rescaled,
            window=STRIDE * net.tta.module.head.kernel_size,
            crop=net.tta.crop_size,
            grid=net.tta.grid,
            seconds=seconds,
            pace=taken * (2 if net.tta.flip else 1) / (rescaled[0] * rescaled[1]),
            notices=net.net.notices,
        )

    def compare(self, look: Look) -> dict[str, tuple[np.ndarray, float]]:
        """Posterior and seconds of each of :data:`PROTOCOLS` for an explored photo.

        Dense evaluation runs again: a net's first pass is slower than the others, with which its
        time is compared.

        Raises:
            OSError, ValueError: in one line, if the photo no longer exists.
        """
        with self._lock:
            net = self._net(look.weights).net
            scales = [look.score_map.q]
            protocols = [Predictor(net, name, scales) for name in ('dense', 'multi_crop')]
            prepared = _prepared(protocols[0], look.path)
            (dense, one), (crops, other) = (_evaluated(each, prepared) for each in protocols)
        both = ((dense + crops) / 2, one + other)
        return dict(zip(PROTOCOLS, ((dense, one), (crops, other), both)))

    def _load(self, weights: str) -> Predictor:
        """The net by both protocols, which has the settings of each."""
        net = load_predictor(
            weights, protocol='dense+multi_crop', device=self.device, kernels=self.kernels
        )
        check_has_map(net.tta.module)
        return net


def _prepared(net: Predictor, path: str) -> Prepared:
    """The photo read for a net, if it has at most :data:`MAX_PIXELS` pixels.

    Raises:
        ValueError: in one line with the file's name, if it has more or cannot be read.
    """
    name = os.path.basename(path)
    try:
        with Image.open(path) as image:
            width, height = image.size
    except Image.DecompressionBombError as error:
        raise ValueError(f'{name} has too many pixels: {error}') from error
    except OSError as error:
        raise ValueError(f'{name} cannot be read as an image') from error
    if width * height > MAX_PIXELS:
        raise ValueError(
            f'{name} has {width} x {height} pixels; at most {MAX_PIXELS // 1_000_000} million'
        )
    prepared = net.images.prepare(path, path, keep_photo=True)
    if prepared.error:
        raise ValueError(prepared.error.replace(path, name))
    return prepared


def _evaluated(net: Predictor, prepared: Prepared) -> tuple[np.ndarray, float]:
    """The posterior, (num_classes,), and the seconds that took."""
    started = time.perf_counter()
    (sample,) = net.evaluate([prepared])
    assert sample is not None
    posterior = sample.pred_score.float().cpu().numpy()
    return posterior, time.perf_counter() - started


def _different(names: Sequence[str]) -> list[str]:
    """Class names, those that occur more than once with their number: ImageNet has two cranes."""
    counts = Counter(names)
    return [f'{name} ({i})' if counts[name] > 1 else name for i, name in enumerate(names)]
