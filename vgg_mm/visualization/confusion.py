"""The picture of a confusion matrix."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from vgg_mm.text import shortened

from .style import INK, NAMED_CLASSES, encoded, plot_style

COLOR_MAP = 'Blues'

#: Longest class name, in characters.
NAME_LENGTH = 18

#: Inches of a cell, and of a letter.
CELL, LETTER = 0.42, 0.085


def confusion_picture(confusion: np.ndarray, classes: Sequence[str], title: str) -> bytes:
    """A PNG file: rows are true classes, their shares of each predicted class are the colours.

    Args:
        confusion: (classes, classes) counts.
        classes: Names; of more than 30 neither they nor numbers are written.
        title: One line.
    """
    shares = 100 * confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    count = len(classes)
    named = count <= NAMED_CLASSES
    names = [shortened(name, NAME_LENGTH) for name in classes]
    margin = LETTER * max(map(len, names)) + 0.5 if named else 0.7
    side = CELL * count if named else 6.0
    with plot_style():
        figure = Figure(figsize=(side + margin + 1.4, side + margin + 0.6), layout='constrained')
        panel = figure.subplots()
        image = panel.imshow(shares, cmap=COLOR_MAP, vmin=0, vmax=100)
        if named:
            panel.set_xticks(range(count), names, rotation=90)
            panel.set_yticks(range(count), names)
            for row, column in zip(*np.nonzero(confusion)):
                color = 'white' if shares[row, column] > 55 else INK
                text = f'{confusion[row, column]:,}'
                panel.text(column, row, text, ha='center', va='center', color=color, fontsize=8)
        panel.tick_params(length=0)
        panel.set(xlabel='predicted class', ylabel='true class')
        figure.suptitle(title, x=0.02, ha='left', fontsize=11)
        bar = figure.colorbar(image, ax=panel, fraction=0.046, pad=0.03)
        bar.set_label('% of the true class')
        bar.outline.set_visible(False)
        return encoded(figure, 'png')
