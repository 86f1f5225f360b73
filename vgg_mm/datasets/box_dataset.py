"""Photos of one class each with boxes around the objects: the base of all file formats."""

import logging
import math
import os
from abc import abstractmethod
from collections.abc import Iterable
from functools import cached_property
from typing import Any, NamedTuple, Optional

import numpy as np
from mmengine.logging import print_log
from mmpretrain.datasets import BaseDataset

from vgg_mm.checkpoints.weights import first_of
from vgg_mm.text import first_few

from .transforms.decoding import image_size
from .transforms.loading import ANNOTATED_SHAPE
from .transforms.rescale import BOXES

ON_ERROR = RAISE, SKIP = 'raise', 'skip'

SEVERAL_CLASSES = ERROR, LARGEST = 'error', 'largest'

#: Pixels that boxes may reach beyond their image: annotators count pixels from 0 or from 1.
TOLERANCE = 1

Box = tuple[float, float, float, float]


class Annotation(NamedTuple):
    """The annotation of one image."""

    where: str  # for messages: the file, and the entry if it has several
    img_path: str
    shape: Optional[tuple[int, int]]  # (height, width), None if not recorded
    objects: list[tuple[str, Box]]  # class name, x1 y1 x2 y2 with pixel edges at whole numbers


class BoxDataset(BaseDataset):
    """Images with one class and one or more boxes: the base of both layouts.

    Each image gives ``img_path``, ``gt_label``, ``gt_bboxes``, (N, 4) float32 x1 y1 x2 y2 in pixels
    of the image, and ``annotated_shape``, the (height, width) that the annotation claims, which
    :class:`vgg_mm.LoadImage` compares with the image's.

    An annotation is bad if its file cannot be read or its image is missing, if it has no box, or if
    a box has no area, reaches more than a pixel beyond the image, or has a class beyond the data
    set's. (Boxes that reach a pixel beyond are cut at the edge.)

    Args:
        on_error: 'raise' stops at the first bad annotation; 'skip' leaves out bad boxes, and images
            without a good one, and logs their number (``skipped`` has all reasons).
        several_classes: Treatment of an image with boxes of several classes: an 'error', thus
            subject to ``on_error``, or the class of its 'largest' box, without the others' boxes.
        kwargs: As in :class:`mmpretrain.datasets.BaseDataset`; ``classes`` among them.

    Raises:
        FileNotFoundError: if a folder or an annotation file is missing.
        ValueError: in one line, on a bad annotation, or if no image is left.
    """

    def __init__(
        self, ann_file: str = '', on_error: str = RAISE, several_classes: str = ERROR, **kwargs: Any
    ):
        name = type(self).__name__
        if on_error not in ON_ERROR:
            raise ValueError(f"{name}: on_error must be 'raise' or 'skip', got {on_error!r}")
        if several_classes not in SEVERAL_CLASSES:
            raise ValueError(
                f"{name}: several_classes must be 'error' or 'largest', got {several_classes!r}"
            )
        if kwargs.get('filter_cfg') is not None:
            raise ValueError(
                f'{name}: filter_cfg is not used; on_error and several_classes say what is left out'
            )
        self.on_error = on_error
        self.several_classes = several_classes
        self.skipped: list[str] = []
        self._listed: dict[str, frozenset[str]] = {}
        super().__init__(ann_file, **kwargs)

    @abstractmethod
    def sources(self) -> Iterable[Any]:
        """The annotations from :meth:`read`, one per image; sets the classes if not given."""

    @abstractmethod
    def read(self, source: Any) -> Annotation:
        """The annotation of one image.

        Raises:
            ValueError: in one line, if it cannot be read.
        """

    def load_data_list(self) -> list[dict]:
        """One dict per image, see the class."""
        self.skipped = []
        self._listed = {}
        data, total = [], 0
        for source in self.sources():
            total += 1
            try:
                data.append(self._image(self.read(source)))
            except ValueError as error:
                self._leave_out(str(error))
        if self.skipped:
            print_log(
                f'{type(self).__name__}: {len(data)} of {total} images are used; '
                f'{len(self.skipped)} bad annotation(s) skipped: {first_of(self.skipped)}',
                'current',
                logging.WARNING,
            )
        if not data:
            raise ValueError(
                f'{type(self).__name__}: none of {total} annotations in {self.place} can be used'
                + (f': {first_of(self.skipped)}' if self.skipped else '')
            )
        self._listed = {}
        return data

    @property
    def place(self) -> str:
        """Where the annotations are, for messages."""
        return self.ann_file

    def _leave_out(self, reason: str) -> None:
        if self.on_error == RAISE:
            raise ValueError(f"{reason} (on_error='skip' skips it)")
        self.skipped.append(reason)

    def _image(self, annotation: Annotation) -> dict:
        """The entry of an image, with the boxes that are good."""
        where, path, shape, objects = annotation
        if not self._is_there(path):
            raise ValueError(f'{where}: image not found: {path}')
        size = shape or image_size(path)
        if size == (0, 0) and shape is None:
            raise ValueError(f'{where}: the image cannot be read: {path}')
        good = []
        for class_name, box in objects:
            problem = self._problem(class_name, box, size)
            if problem and self.on_error == RAISE:
                raise ValueError(f'{where}: {problem}')
            if problem:
                self.skipped.append(f'{where}: {problem}')
            else:
                good.append((class_name, box))
        if not good:
            raise ValueError(f'{where}: no {"good " if objects else ""}box')
        label, boxes = self._of_one_class(good, where)
        edges = np.array(size[::-1] * 2, np.float32)
        clipped = np.clip(np.array(boxes, np.float32), 0, edges)
        info = {'img_path': path, 'gt_label': label, BOXES: clipped}
        return info | ({ANNOTATED_SHAPE: shape} if shape else {})

    def _is_there(self, path: str) -> bool:
        """Whether there is such a file; each folder is listed once while the data are loaded."""
        folder, name = os.path.split(path)
        if folder not in self._listed:
            self._listed[folder] = frozenset(os.listdir(folder) if os.path.isdir(folder) else ())
        return name in self._listed[folder]

    def _problem(self, class_name: str, box: Box, shape: tuple[int, int]) -> str:
        """The error in a box; '' if none."""
        height, width = shape
        x1, y1, x2, y2 = box
        text = ' '.join(f'{value:g}' for value in box)
        if class_name not in self._numbers:
            return f'unknown class {class_name!r}; available: {first_few(self.CLASSES, 5)}'
        if not all(map(math.isfinite, box)) or x2 <= x1 or y2 <= y1:
            return f'a box without area: {text} (x1 y1 x2 y2)'
        if min(x1, y1) < -TOLERANCE or x2 > width + TOLERANCE or y2 > height + TOLERANCE:
            return f'a box outside of the image of {width}x{height}: {text} (x1 y1 x2 y2)'
        if min(x2, y2) <= 0 or x1 >= width or y1 >= height:
            return f'a box without area in the image of {width}x{height}: {text} (x1 y1 x2 y2)'
        return ''

    def _of_one_class(self, objects: list[tuple[str, Box]], where: str) -> tuple[int, list[Box]]:
        """The number of the image's class, and the boxes that are of it."""
        names = sorted({name for name, _ in objects})
        if len(names) > 1 and self.several_classes == ERROR:
            raise ValueError(
                f'{where}: boxes of {len(names)} classes, {first_few(names, 5)}; '
                "several_classes='largest' uses that of the largest box"
            )
        own, _ = max(objects, key=lambda entry: _area(*entry[1]))
        return self._numbers[own], [box for name, box in objects if name == own]

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return self.class_to_idx


def _area(x1: float, y1: float, x2: float, y2: float) -> float:
    return (x2 - x1) * (y2 - y1)
