"""The confusion matrix and the retrieval sheet."""

import io
from collections.abc import Sequence
from typing import Any, NamedTuple, Optional

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from vgg_mm.datasets import LoadImage
from vgg_mm.text import printable, shortened
from vgg_mm.visualization.style import ERROR, GREEN, INK, note, plot_style

from ..check_dataset.picture import NAMED_CLASSES

COLOR_MAP = 'Blues'

#: Inches of a cell and of its letters; pixels of a photo's longer side and inches it takes.
CELL, LETTER, THUMBNAIL, PHOTO = 0.42, 0.085, 130, 1.05

SHEET_DPI = 100

#: Longest class name, in characters.
NAME_LENGTH = 18

#: Colours of the frames of neighbours of the query's class and of others.
SAME, OTHER = GREEN, ERROR


class Row(NamedTuple):
    """A query with its neighbours: files, class names, and the cosines of the neighbours."""

    query: str
    query_class: str
    photos: list[str]
    classes: list[str]
    cosines: list[float]


def confusion_picture(confusion: np.ndarray, classes: Sequence[str], title: str) -> bytes:
    """A PNG file: rows are true classes, their shares of each predicted class are the colours.

    Args:
        confusion: (classes, classes) counts.
        classes: Names; more than 30 are not written.
        title: One line.
    """
    counts = confusion.sum(axis=1, keepdims=True)
    shares = 100 * confusion / np.maximum(counts, 1)
    count = len(classes)
    named = count <= NAMED_CLASSES
    names = [_short(name) for name in classes]
    margin = LETTER * max(map(len, names)) + 0.5 if named else 0.7
    side = CELL * count if named else 6.0
    with plot_style():
        figure = Figure(figsize=(side + margin + 1.4, side + margin + 0.6), layout='constrained')
        panel = figure.subplots()
        image = panel.imshow(shares, cmap=COLOR_MAP, vmin=0, vmax=100)
        if named:
            panel.set_xticks(range(count), names, rotation=90)
            panel.set_yticks(range(count), names)
            _numbers(panel, confusion, shares)
        panel.tick_params(length=0)
        panel.set(xlabel='predicted class', ylabel='true class')
        figure.suptitle(title, x=0.02, ha='left', fontsize=11)
        bar = figure.colorbar(image, ax=panel, fraction=0.046, pad=0.03)
        bar.set_label('% of the true class')
        bar.outline.set_visible(False)
        return _content(figure, 'png')


def _numbers(panel: Axes, confusion: np.ndarray, shares: np.ndarray) -> None:
    for row, column in zip(*np.nonzero(confusion)):
        color = 'white' if shares[row, column] > 55 else INK
        text = f'{confusion[row, column]:,}'
        panel.text(column, row, text, ha='center', va='center', color=color, fontsize=8)


def retrieval_sheet(rows: Sequence[Row], title: str) -> bytes:
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
        return _content(figure, 'jpg', dpi=SHEET_DPI, pil_kwargs=dict(quality=80))


def _photo(panel: Axes, path: str, caption: str, frame: Optional[str]) -> None:
    try:
        photo = LoadImage()(dict(img_path=path))['img'][..., ::-1]
        factor = THUMBNAIL / max(photo.shape[:2])
        side = [max(1, round(factor * length)) for length in photo.shape[1::-1]]
        panel.imshow(cv2.resize(photo, side, interpolation=cv2.INTER_AREA))
    except (OSError, ValueError):
        panel.imshow(np.full((THUMBNAIL, THUMBNAIL, 3), 235, np.uint8))
        note(panel, 'not there')
    panel.set_title(caption, fontsize=7.5, fontweight='normal', pad=2, loc='center')
    panel.set(xticks=[], yticks=[])
    for spine in panel.spines.values():
        spine.set(visible=frame is not None, color=frame, linewidth=2.5)


def _short(name: str) -> str:
    return shortened(printable(name), NAME_LENGTH)


def _content(figure: Figure, kind: str, **options: Any) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format=kind, **options)
    return content.getvalue()
