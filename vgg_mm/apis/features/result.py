"""What the linear probe found: tables, figures and pictures."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, Optional

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from vgg_mm.datasets import LoadImage
from vgg_mm.evaluation import wilson_interval
from vgg_mm.text import printable, shortened
from vgg_mm.visualization.style import ERROR, GREEN, encoded, note, plot_style

from ..inference.prediction import with_longer_side
from ..tables import format_table

#: With more classes their table is in the JSON file only.
MAX_ROWS = 40

#: Pixels of a photo's longer side, and inches that it takes.
THUMBNAIL, PHOTO = 130, 1.05

SHEET_DPI = 100

#: Longest class name, in characters.
NAME_LENGTH = 18

#: Colours of the frames of neighbours of the query's class and of others.
SAME, OTHER = GREEN, ERROR


@dataclass
class ProbeResult:
    """The test of a linear classifier on features.

    Args:
        classes: Names.
        confusion: (classes, classes): test images of a class (row) given another (column).
        average_precision: Of each class in [0, 1]: area under precision over recall of the images
            ranked by the class's SVM; NaN for a class without test images.
        precision_at_k: Mean share of the k nearest images to learn from, by cosine, that are of a
            test image's class, in [0, 1], with
        k: their number.
        c: C of the SVMs.
        cross_validation: C -> mean class recall in cross-validation, in [0, 1].
        features: What the features are, one line a file.
        train_images, broken, unlabelled: Numbers of images that were learnt from, could not be
            read, and are in no class folder; the latter two of training and test together.
        notices: Notices for the user, one line each.
        files: Paths of what was written, by kind.
    """

    classes: list[str]
    confusion: np.ndarray
    average_precision: np.ndarray
    precision_at_k: float
    k: int
    c: float
    cross_validation: dict[float, float]
    features: list[str]
    train_images: int
    broken: int = 0
    unlabelled: int = 0
    notices: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)

    @property
    def images(self) -> int:
        """Number of test images."""
        return int(self.confusion.sum())

    @property
    def right(self) -> int:
        """Number of test images given their class."""
        return int(np.trace(self.confusion))

    @property
    def accuracy(self) -> float:
        """Share of the test images given their class, in percent."""
        return 100 * self.right / self.images

    @property
    def accuracy_interval(self) -> tuple[float, float]:
        """95 % confidence interval of :attr:`accuracy` (Wilson's), in percent."""
        low, high = wilson_interval(self.right, self.images)
        return 100 * low, 100 * high

    @property
    def recalls(self) -> np.ndarray:
        """Share of each class's test images given it, in percent; NaN where there are none."""
        counts = self.confusion.sum(axis=1)
        return np.where(counts, 100 * np.diag(self.confusion) / np.maximum(counts, 1), np.nan)

    @property
    def mean_class_recall(self) -> float:
        """Over the classes with test images, in percent: the paper's figure for Caltech."""
        return float(np.nanmean(self.recalls))

    @property
    def mean_average_precision(self) -> float:
        """Over the classes with test images, in percent."""
        return float(100 * np.nanmean(self.average_precision))

    def to_json(self) -> dict[str, Any]:
        """Plain values; percent where this class has percent."""
        found = asdict(self)
        numbers = ('accuracy', 'mean_class_recall', 'mean_average_precision')
        per_class = [
            {'class': name, 'images': count, 'recall': recall, 'average_precision': precision}
            for name, count, recall, precision in self._per_class()
        ]
        found.update(
            {name: getattr(self, name) for name in numbers},
            accuracy_interval=list(self.accuracy_interval),
            images=self.images,
            per_class=per_class,
            confusion=self.confusion.tolist(),
            precision_at_k=100 * self.precision_at_k,
            cross_validation={str(c): 100 * r for c, r in self.cross_validation.items()},
        )
        del found['average_precision']
        return found

    def _per_class(self) -> list[tuple]:
        """(name, test images, recall, average precision) with None for unknown ones."""
        counts = self.confusion.sum(axis=1).tolist()
        values = zip(self.recalls.tolist(), (100 * self.average_precision).tolist())
        return [
            (name, count, recall if count else None, precision if count else None)
            for name, count, (recall, precision) in zip(self.classes, counts, values)
        ]

    def table(self) -> str:
        """For the terminal."""
        low, high = self.accuracy_interval
        head = ['accuracy, %', 'mean class recall, %', 'mAP, %', f'precision at {self.k}, %']
        row = [
            f'{self.accuracy:.1f} [{low:.1f}, {high:.1f}]',
            f'{self.mean_class_recall:.1f}',
            f'{self.mean_average_precision:.1f}',
            f'{100 * self.precision_at_k:.1f}',
        ]
        blocks = ['\n'.join(self._lines()), format_table(head, [row])]
        if len(self.classes) <= MAX_ROWS:
            rows = [
                (printable(name), count, _percent(recall), _percent(precision))
                for name, count, recall, precision in self._per_class()
            ]
            headers = ('class', 'test images', 'recall, %', 'average precision, %')
            blocks.append(format_table(headers, rows))
        return '\n\n'.join(blocks)

    def _lines(self) -> list[str]:
        """The training data and the choice of C."""
        left_out = ''.join(
            f'; {count:,} {what}'
            for count, what in ((self.broken, 'broken'), (self.unlabelled, 'in no class folder'))
            if count
        )
        chosen = f'C = {self.c:g}'
        if self.cross_validation:
            best = 100 * self.cross_validation[self.c]
            among = ', '.join(f'{c:g}' for c in self.cross_validation)
            chosen += f' of {among}; mean class recall in cross-validation {best:.1f} %'
        return [
            *(f'Features   {line}' for line in self.features),
            f'Images     {self.train_images:,} to learn from, {self.images:,} to test on, '
            f'{len(self.classes):,} classes{left_out}',
            f'SVM        {chosen}',
        ]


def _percent(value: Optional[float]) -> str:
    return '' if value is None else f'{value:.1f}'


class Retrieved(NamedTuple):
    """A query with its neighbours: files, class names, and the cosines of the neighbours."""

    query: str
    query_class: str
    photos: list[str]
    classes: list[str]
    cosines: list[float]


def retrieval_sheet(rows: Sequence[Retrieved], title: str) -> bytes:
    """A JPEG file: each query and its nearest images, framed by whether they are of its class."""
    columns = 1 + len(rows[0].photos)
    with plot_style():
        size = (PHOTO * columns + 0.3, (PHOTO + 0.22) * len(rows) + 0.75)
        figure = Figure(
            figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03, wspace=0, hspace=0)
        )
        panels = figure.subplots(len(rows), columns, squeeze=False)
        figure.suptitle(title, x=0.02, ha='left', fontsize=10)
        for line, row in zip(panels, rows):
            _photo(line[0], row.query, f'{_short(row.query_class)}:', None)
            for panel, photo, name, cosine in zip(line[1:], row.photos, row.classes, row.cosines):
                color = SAME if name == row.query_class else OTHER
                _photo(panel, photo, f'{_short(name)} {cosine:.3f}', color)
        return encoded(figure, 'jpg', dpi=SHEET_DPI, pil_kwargs=dict(quality=80))


def _photo(panel: Axes, path: str, caption: str, frame: Optional[str]) -> None:
    try:
        photo = LoadImage()(dict(img_path=path))['img'][..., ::-1]
        panel.imshow(with_longer_side(photo, THUMBNAIL))
    except (OSError, ValueError):
        panel.imshow(np.full((THUMBNAIL, THUMBNAIL, 3), 235, np.uint8))
        note(panel, 'not there')
    panel.set_title(caption, fontsize=7.5, fontweight='normal', pad=2, loc='center')
    panel.set(xticks=[], yticks=[])
    for spine in panel.spines.values():
        spine.set(visible=frame is not None, color=frame, linewidth=2.5)


def _short(name: str) -> str:
    return shortened(printable(name), NAME_LENGTH)
