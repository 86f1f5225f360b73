"""Counts and lists the images that training skips since they cannot be read."""

import os
import os.path as osp
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.dist import barrier, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from vgg_mm.datasets import LoadImage
from vgg_mm.registry import HOOKS

#: Attributes in which data sets, their wrappers and those of transforms keep their parts.
PARTS = ('dataset', 'datasets', 'pipeline', 'transforms')


@HOOKS.register_module()
class SkippedImagesHook(Hook):
    """Count the images that ``vgg_mm.LoadImage(on_error='skip')`` leaves out of training.

    Each of them is a line ``path<TAB>reason`` in ``WORK_DIR/skipped_images.txt``, written by
    the worker that skips it, once each time; distinct paths are counted. A resumed run appends to
    the file, a new one overwrites it. Files that the config gives to ``LoadImage`` are never
    removed.

    Raises:
        ValueError: in one line, if no image of the training set can be skipped, or if the set is in
            test mode, where no other image is drawn.
    """

    FILE_NAME = 'skipped_images.txt'

    def __init__(self):
        self._files: list[str] = []
        self._count = 0

    def before_train(self, runner: Runner) -> None:
        parts = list(_parts(runner.train_dataloader.dataset))
        loads = [part for part in parts if isinstance(part, LoadImage) and part.on_error == 'skip']
        if not loads:
            raise ValueError(
                "SkippedImagesHook: the training set has no vgg_mm.LoadImage(on_error='skip')"
            )
        if any(isinstance(part, BaseDataset) and part.test_mode for part in parts):
            raise ValueError(
                'SkippedImagesHook: the training set has test_mode=True, where images '
                'that cannot be read are not replaced: remove it'
            )
        file = osp.join(osp.abspath(runner.work_dir), self.FILE_NAME)
        for load in loads:
            load.skipped_file = load.skipped_file or file
        self._files = sorted({load.skipped_file or file for load in loads})
        if runner.iter == 0 and is_main_process():
            with suppress(FileNotFoundError):
                os.remove(file)
        barrier()
        self._count = len(self._skipped())

    def after_train_epoch(self, runner: Runner) -> None:
        if is_main_process() and (count := len(self._skipped())) > self._count:
            self._count = count
            runner.logger.warning(
                f'{count} training image(s) skipped so far, which cannot be read: {self._where()}'
            )

    def after_train(self, runner: Runner) -> None:
        barrier()
        if is_main_process():
            runner.logger.info(
                f'{len(self._skipped())} training image(s) skipped in all: {self._where()}'
            )

    def _where(self) -> str:
        return ', '.join(self._files)

    def _skipped(self) -> set[bytes]:
        """The distinct paths."""
        paths: set[bytes] = set()
        for name in filter(osp.isfile, self._files):
            with open(name, 'rb') as file:
                paths.update(line.split(b'\t', 1)[0] for line in file)
        return paths


def _parts(node: Any) -> Iterator[Any]:
    """A data set, what it wraps, and its transforms with what they wrap."""
    if isinstance(node, (list, tuple)):
        for child in node:
            yield from _parts(child)
    elif node is not None:
        yield node
        for name in PARTS:
            yield from _parts(getattr(node, name, None))
