"""What is predicted for one image: posteriors by class and by place, as data and as a figure."""

import io
import textwrap
import warnings
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
from vgg_mm.text import printable, shortened
from vgg_mm.visualization.style import BLUE, GREEN, GREY, INK, plot_style

#: Pixels of the longer side of what is drawn; a larger photo is reduced.
LONGER_SIDE = 700

#: Inches: of a photo's longest side; of the bars; the least height of all panels, and width of a
#: photo's; of title and caption; between panels; of the colour bar, and of it with its numbers; of
#: a letter, and of one in a title.
PHOTO, BARS, LEAST_HEIGHT, LEAST_WIDTH, HEAD, FOOT, GAP = 4.0, 2.4, 2.4, 2.6, 0.75, 0.5, 0.2

COLOR_BAR, COLOR_BAR_WITH_NUMBERS, LETTER, TITLE_LETTER = 0.14, 0.85, 0.085, 0.1

DPI = 110

#: Longest class name and longest path in a title, in characters.
NAME_LENGTH, TITLE_LENGTH = 26, 90

#: Of maps, and how much of their colour lies over the grey photo.
COLOR_MAP, OPACITY = 'viridis', 0.6

#: More bars than this would not be readable.
MOST_BARS = 12


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

    def figure(self) -> Figure:
        """Photo, class score map over the photo, and bars of the top k.

        The map is the posterior of the class :attr:`shown` at every position: soft-max over the
        classes, bilinear between the centres of the receptive fields (dots), constant beyond them.
        A map of a single position is not drawn; the caption says so.

        Raises:
            ValueError: if the image is broken, or no score map was asked for.
        """
        if self.error:
            raise ValueError(f'no picture of a broken image: {self.error}')
        if self.score_map is None:
            raise ValueError('no score map: predict(..., score_maps=True) keeps it')
        with plot_style():
            figure, photo, score_map, color_bar, bars = _panels(self)
            title = shortened(printable(self.image), TITLE_LENGTH, keep_end=True)
            _write(figure, title, figure.get_figheight() - 0.12, va='top', fontsize=11)
            _photo(photo, self)
            note = _score_map(score_map, color_bar, self)
            _bars(bars, self)
            note = textwrap.fill(note, round(figure.get_figwidth() * 15))
            _write(figure, note, 0.1, va='bottom', fontsize=8.5, color=GREY)
        return figure

    def png(self) -> bytes:
        """:meth:`figure` as the content of a PNG file."""
        content = io.BytesIO()
        self.figure().savefig(content, format='png')
        return content.getvalue()

    def _repr_png_(self) -> Optional[bytes]:
        """What a notebook shows."""
        return None if self.score_map is None else self.png()


def _panels(prediction: Prediction) -> tuple[Figure, Axes, Axes, Axes, Axes]:
    """The figure with its panels from left to right; photo and map are of one size."""
    height, width = prediction.photo.shape[:2]
    scale = PHOTO / max(height, width)
    across, down = max(width * scale, LEAST_WIDTH), max(height * scale, LEAST_HEIGHT)
    names = LETTER * max(len(_class(name)) for name in prediction.classes) + 0.1
    widths = [across, across, COLOR_BAR, BARS]
    gaps = [GAP, GAP, GAP / 2, COLOR_BAR_WITH_NUMBERS - COLOR_BAR + names]
    total = sum(widths) + sum(gaps) + 0.1
    high = down + HEAD + FOOT
    figure = _Figure(figsize=(total, high), dpi=DPI)
    panels, left = [], 0.0
    for gap, panel_width in zip(gaps, widths):
        left += gap
        panels.append(
            figure.add_axes((left / total, FOOT / high, panel_width / total, down / high))
        )
        left += panel_width
    photo, score_map, color_bar, bars = panels
    return figure, photo, score_map, color_bar, bars


def _write(figure: Figure, text: str, inches: float, **style: Any) -> None:
    """Text at the left edge, at a height above the lower edge."""
    figure.text(GAP / figure.get_figwidth(), inches / figure.get_figheight(), text, **style)


class _Figure(Figure):
    """Saved without warnings about scripts that the font lacks."""

    def savefig(self, *args: Any, **kwargs: Any) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings('ignore', message='Glyph')
            super().savefig(*args, **{'dpi': DPI, **kwargs})


def _class(name: str, length: int = NAME_LENGTH) -> str:
    return shortened(printable(name), length)


def _show(panel: Axes, pixels: np.ndarray, prediction: Prediction, **kwargs: Any) -> Any:
    """Draw pixels, however many, so that they cover the photo's whole area."""
    height, width = prediction.photo.shape[:2]
    panel.set_axis_off()
    panel.set_anchor('NW')  # below its title
    return panel.imshow(pixels, extent=(0, width, height, 0), **kwargs)


def _reduced(photo: Any) -> np.ndarray:
    return photo if max(photo.shape[:2]) <= LONGER_SIDE else with_longer_side(photo, LONGER_SIDE)


def with_longer_side(photo: np.ndarray, side: int) -> np.ndarray:
    """The photo rescaled so that its longer side has so many pixels."""
    factor = side / max(photo.shape[:2])
    size = [max(1, round(length * factor)) for length in photo.shape[1::-1]]
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(photo), size, interpolation=how)


def _photo(panel: Axes, prediction: Prediction) -> None:
    height, width = prediction.photo.shape[:2]
    _show(panel, _reduced(prediction.photo), prediction)
    panel.set_title(f'{width} x {height} pixels')


def _score_map(panel: Axes, color_bar: Axes, prediction: Prediction) -> str:
    """Draw the map over the greyed photo; returns what the caption says of it."""
    found: Any = prediction.score_map
    label = prediction.shown
    scales = ', '.join(map(str, prediction.scales))
    protocol = f'Bars: {prediction.protocol} at Q = {scales}.'
    grey = cv2.cvtColor(_reduced(prediction.photo), cv2.COLOR_RGB2GRAY)
    _show(panel, grey, prediction, cmap='gray', vmin=0, vmax=255)
    room = panel.get_position(original=True).width * panel.figure.get_figwidth() / TITLE_LETTER
    panel.set_title(f"'{_class(prediction.shown_class, int(room) - 14)}' by position")
    rows, columns = found.posteriors.shape[1:]
    if found.is_single:
        color_bar.set_axis_off()
        return (
            f'No map: at Q = {found.q} the score map is a single position, which sees the whole '
            f'image (posterior {found.posteriors[label, 0, 0]:.2f}). {protocol}'
        )
    height, width = prediction.photo.shape[:2]
    factor = LONGER_SIDE / max(height, width)
    size = [max(1, round(side * factor)) for side in (height, width)]
    pixels = found.upsampled(label, *size)
    # Fixed: colours mean the same in every picture.
    values = _show(panel, pixels, prediction, cmap=COLOR_MAP, alpha=OPACITY, vmin=0, vmax=1)
    x, y = np.meshgrid(found.columns * width, found.rows * height)
    panel.scatter(x, y, s=3, color='white', linewidths=0)
    panel.set(xlim=(0, width), ylim=(height, 0))
    bar = panel.figure.colorbar(values, cax=color_bar)
    bar.outline.set_visible(False)
    bar.set_label('posterior at the position', fontsize=8.5)
    return (
        f'Map: soft-max over the classes at each of {rows} x {columns} positions at '
        f'Q = {found.q}; dots are the centres of their receptive fields. {protocol}'
    )


def _bars(panel: Axes, prediction: Prediction) -> None:
    count = min(len(prediction.labels), MOST_BARS)
    scores = prediction.scores[:count]
    colors = [GREEN if label == prediction.shown else BLUE for label in prediction.labels[:count]]
    panel.barh(range(count), scores, 0.66, color=colors)
    for place, score in enumerate(scores):
        panel.annotate(
            f'{100 * score:.1f} %', (score, place), xytext=(4, 0), textcoords='offset points',
            va='center', color=INK,
        )  # fmt: skip
    panel.set_yticks(range(count), [_class(name) for name in prediction.classes[:count]])
    panel.set(xlim=(0, 1.3), ylim=(max(count, 5) - 0.4, -0.6))
    panel.tick_params(axis='y', length=0)
    panel.xaxis.set_visible(False)
    panel.spines['bottom'].set_visible(False)
    panel.set_title('Posterior of the image')
