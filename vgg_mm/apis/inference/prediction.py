"""What is predicted for one image: posteriors by class and by place, as data and as a figure."""

import textwrap
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Optional

import cv2
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mmpretrain.models.classifiers import ImageClassifier

from vgg_mm.architectures import STRIDE
from vgg_mm.models import VGG
from vgg_mm.models.tta.strips import score_maps_in_strips
from vgg_mm.text import shortened
from vgg_mm.visualization.style import BLUE, GREEN, GREY, INK, encoded, plot_style

#: Longer side of the drawn image in pixels; a larger photo is reduced.
LONGER_SIDE = 700

#: Sizes in inches: longest side of a photo; width of the bars; least height of all panels and least
#: width of a photo's; title; caption; space between panels.
PHOTO, BARS, MIN_HEIGHT, MIN_WIDTH, HEAD, FOOT, GAP = 4.0, 2.4, 2.4, 2.6, 0.75, 0.5, 0.2

#: Widths in inches: of the colour bar, alone and with its numbers; of a letter, and of one in a
#: title.
COLOR_BAR, COLOR_BAR_WITH_NUMBERS, LETTER, TITLE_LETTER = 0.14, 0.85, 0.085, 0.1

DPI = 110

#: Longest class name and longest path in a title, in characters.
NAME_LENGTH, TITLE_LENGTH = 26, 90

#: Opacity of a map's colour over the grey photo.
OPACITY = 0.6

#: More bars than this would not be readable.
MAX_BARS = 12


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

    def upsampled(self, label: int, height: int, width: int) -> np.ndarray:
        """One class's map over the photo at this size: float32 (height, width).

        Bilinear between the centres of receptive fields, constant beyond the outermost.
        """
        down = _weights(self.rows, height)
        across = _weights(self.columns, width)
        return (down @ self.posteriors[label] @ across.T).astype(np.float32)

    def over(self, photo: np.ndarray, label: int) -> np.ndarray:
        """One class's map over the photo in grey, from 0 (dark blue) to 1 (yellow).

        Args:
            photo: uint8 (H, W, 3) RGB.
            label: Class number.

        Returns:
            uint8 (H, W, 3) RGB.
        """
        values = np.uint8(np.rint(255 * self.upsampled(label, *photo.shape[:2])))
        colours = cv2.applyColorMap(values, cv2.COLORMAP_VIRIDIS)[..., ::-1]
        grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)[..., None]
        return np.uint8(OPACITY * colours + (1 - OPACITY) * grey)


def _weights(centres: np.ndarray, length: int) -> np.ndarray:
    """(length, len(centres)): how much each centre counts at each pixel; rows sum to 1."""
    pixels = (np.arange(length) + 0.5) / length
    return np.stack([np.interp(pixels, centres, row) for row in np.eye(len(centres))], axis=1)


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


@torch.inference_mode()
def compute_score_map(model: ImageClassifier, view: torch.Tensor, max_pixels: int) -> ScoreMap:
    """The score map of an image at one test scale.

    Args:
        model: With a whole VGG and a :class:`ConvHead`, see :func:`check_has_map`.
        view: The rescaled image as ``vgg_mm.TestScales`` makes it, uint8 (3, H, W).
        max_pixels: Larger images go through in strips, with the same result.
    """
    image = model.data_preprocessor(dict(inputs=view[None]), training=False)['inputs']
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


@dataclass
class Prediction:
    """The result for one image, the most probable class first.

    Attributes:
        image: Path, or 'image 0' and so on for images given as arrays.
        labels: Class numbers of the top k.
        classes: Their names.
        scores: Their posteriors in [0, 1].
        posterior: Of all classes, float32 (num_classes,); None if the image is broken.
        error: Why the image could not be read, or ''.
        photo: uint8 (H, W, 3) RGB, where score maps were asked for, else None.
        score_map: Posteriors by place, where they were asked for, else None.
        shown: Class number that pictures show the map of: the first of ``labels``, or the one
            asked for.
        shown_class: Its name.
        protocol: Of the posteriors: 'dense', 'multi_crop' or 'dense+multi_crop'.
        scales: Test scales Q in pixels.
        picture: File of the picture, or ''.
    """

    image: str
    labels: list[int] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    posterior: Optional[np.ndarray] = field(default=None, repr=False)
    error: str = ''
    photo: Optional[np.ndarray] = field(default=None, repr=False)
    score_map: Optional[ScoreMap] = field(default=None, repr=False)
    shown: Optional[int] = None
    shown_class: str = ''
    protocol: str = ''
    scales: tuple[int, ...] = ()
    picture: str = ''

    def to_json(self) -> dict[str, Any]:
        """The top k as plain values."""
        names = ('label', 'class', 'score')
        top = zip(self.labels, self.classes, self.scores)
        return dict(top=[dict(zip(names, one)) for one in top])

    def csv_rows(self) -> list[dict[str, Any]]:
        """The top k as a single row."""
        top = self.to_json()['top']
        return [{f'{key}_{k}': value for k, one in enumerate(top, 1) for key, value in one.items()}]

    def figure(self) -> Figure:
        """Photo, class score map over the photo, and bars of the top k.

        The map is the posterior of the class :attr:`shown` at every position: soft-max over the
        classes, bilinear between the centres of the receptive fields (dots), constant beyond them.
        A map of a single position is not drawn; the caption explains this.

        Raises:
            ValueError: if the image is broken, or no score map was asked for.
        """
        if self.error:
            raise ValueError(f'no picture of a broken image: {self.error}')
        if self.score_map is None:
            raise ValueError('no score map: predict(..., score_maps=True) keeps it')
        with plot_style():
            return _figure(self)

    def png(self) -> bytes:
        """:meth:`figure` as the content of a PNG file."""
        with plot_style():
            return encoded(self.figure(), 'png')

    def _repr_png_(self) -> Optional[bytes]:
        """The picture for a notebook."""
        return None if self.score_map is None else self.png()


def _figure(prediction: Prediction) -> Figure:
    """Panels from left to right: photo and map, of one size, the map's colours, and bars."""
    height, width = prediction.photo.shape[:2]
    scale = PHOTO / max(height, width)
    across, down = max(width * scale, MIN_WIDTH), max(height * scale, MIN_HEIGHT)
    names = LETTER * max(len(shortened(name, NAME_LENGTH)) for name in prediction.classes) + 0.1
    widths = [across, across, COLOR_BAR, BARS]
    gaps = [GAP, GAP, GAP / 2, COLOR_BAR_WITH_NUMBERS - COLOR_BAR + names]
    total, high = sum(widths) + sum(gaps) + 0.1, down + HEAD + FOOT
    figure = Figure(figsize=(total, high), dpi=DPI)
    rights = np.cumsum(np.add(gaps, widths))
    photo, score_map, color_bar, bars = (
        figure.add_axes(((right - own) / total, FOOT / high, own / total, down / high))
        for right, own in zip(rights, widths)
    )
    left = GAP / total
    title = shortened(prediction.image, TITLE_LENGTH, keep_end=True)
    figure.text(left, 1 - 0.12 / high, title, va='top', fontsize=11)
    _show(photo, _reduced(prediction.photo), prediction)
    photo.set_title(f'{width} x {height} pixels')
    room = int(across / TITLE_LETTER) - 14
    score_map.set_title(f"'{shortened(prediction.shown_class, room)}' by position")
    note = _draw_map(score_map, color_bar, prediction)
    scales = ', '.join(map(str, prediction.scales))
    note = textwrap.fill(f'{note} Bars: {prediction.protocol} at Q = {scales}.', round(total * 15))
    figure.text(left, 0.1 / high, note, va='bottom', fontsize=8.5, color=GREY)
    _draw_bars(bars, prediction)
    return figure


def _show(panel: Axes, pixels: np.ndarray, prediction: Prediction, **kwargs: Any) -> Any:
    """Draw pixels, however many, so that they cover the photo's whole area."""
    height, width = prediction.photo.shape[:2]
    panel.set_axis_off()
    panel.set_anchor('NW')  # below its title
    return panel.imshow(pixels, extent=(0, width, height, 0), **kwargs)


def _reduced(photo: Any) -> np.ndarray:
    return photo if max(photo.shape[:2]) <= LONGER_SIDE else with_longer_side(photo, LONGER_SIDE)


def with_longer_side(photo: np.ndarray, side: int) -> np.ndarray:
    """The photo rescaled so that its longer side has ``side`` pixels."""
    height, width = _size(photo, side)
    how = cv2.INTER_AREA if side < max(photo.shape[:2]) else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(photo), (width, height), interpolation=how)


def _size(photo: np.ndarray, side: int) -> tuple[int, int]:
    """(height, width) of a photo whose longer side has ``side`` pixels."""
    height, width = photo.shape[:2]
    factor = side / max(height, width)
    return max(1, round(height * factor)), max(1, round(width * factor))


def _draw_map(panel: Axes, color_bar: Axes, prediction: Prediction) -> str:
    """Draw the map over the greyed photo; returns the caption."""
    photo: Any = prediction.photo
    found: Any = prediction.score_map
    label = prediction.shown
    grey = cv2.cvtColor(_reduced(photo), cv2.COLOR_RGB2GRAY)
    _show(panel, grey, prediction, cmap='gray', vmin=0, vmax=255)
    rows, columns = found.posteriors.shape[1:]
    if rows == columns == 1:
        color_bar.set_axis_off()
        return (
            f'No map: at Q = {found.q} the score map is a single position, which sees the whole '
            f'image (posterior {found.posteriors[label, 0, 0]:.2f}).'
        )
    pixels = found.upsampled(label, *_size(photo, LONGER_SIDE))
    # Fixed: colours mean the same in every picture.
    values = _show(panel, pixels, prediction, cmap='viridis', alpha=OPACITY, vmin=0, vmax=1)
    height, width = photo.shape[:2]
    x, y = np.meshgrid(found.columns * width, found.rows * height)
    panel.scatter(x, y, s=3, color='white', linewidths=0)
    panel.set(xlim=(0, width), ylim=(height, 0))
    bar = panel.figure.colorbar(values, cax=color_bar)
    bar.outline.set_visible(False)
    bar.set_label('posterior at the position', fontsize=8.5)
    return (
        f'Map: soft-max over the classes at each of {rows} x {columns} positions at '
        f'Q = {found.q}; dots are the centres of their receptive fields.'
    )


def _draw_bars(panel: Axes, prediction: Prediction) -> None:
    count = min(len(prediction.labels), MAX_BARS)
    scores = prediction.scores[:count]
    colors = [GREEN if label == prediction.shown else BLUE for label in prediction.labels[:count]]
    panel.barh(range(count), scores, 0.66, color=colors)
    for place, score in enumerate(scores):
        panel.annotate(
            f'{100 * score:.1f} %', (score, place), xytext=(4, 0), textcoords='offset points',
            va='center', color=INK,
        )  # fmt: skip
    names = [shortened(name, NAME_LENGTH) for name in prediction.classes[:count]]
    panel.set_yticks(range(count), names)
    panel.set(xlim=(0, 1.3), ylim=(max(count, 5) - 0.4, -0.6))
    panel.tick_params(axis='y', length=0)
    panel.xaxis.set_visible(False)
    panel.spines['bottom'].set_visible(False)
    panel.set_title('Posterior of the image')
