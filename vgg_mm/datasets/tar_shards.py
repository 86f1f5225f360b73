"""Images in tar shards as a map-style data set."""

import os
import posixpath
import re
from collections.abc import Sequence
from typing import Any, BinaryIO, Optional, Union

from mmpretrain.datasets import BaseDataset

from vgg_mm.registry import DATASETS

from .tar_index import TarIndex, find_shards, load_index

#: The orders of the images.
ORDERS = SHARD, CLASS = 'shard', 'class'

#: Maximum number of shards that a process keeps open. Systems often allow 1,024 files.
MAX_OPEN = 256


@DATASETS.register_module()
class TarShards(BaseDataset):
    """Images in uncompressed tar files, as WebDataset's tools or ``tar cf`` write them.

    Labels are from members ``KEY.cls`` for ``KEY.jpg``, or ``KEY.json`` with "label" or
    "class", as numbers of classes or as names; else the image's folder is its class,
    ``CLASS/NAME.jpg``, where a folder that all images share is left out. Names are numbered in
    sorted order, as MMPretrain's ``CustomDataset`` numbers folders; given ``classes`` rename them.

    Any image can be read at any time, so samplers, wrappers, ``indices`` and resuming work as with
    files. The shards' headers are read once and kept in an index file, which is made anew when a
    shard's size or time has changed. The pipeline must load with ``vgg_mm.LoadImage``; errors name
    ``SHARD::MEMBER``.

    Args:
        shards: A name, with a range in braces or as a glob pattern, or several:
            ``'train-{000000..000012}.tar'``, ``'train-*.tar'``.
        data_root: Folder that ``data_prefix`` is relative to.
        data_prefix: Folder of the shards.
        order: 'shard', as in the shards; or 'class', by class and name like ``CustomDataset``.
        index_file: Where to keep the index; by default FIRST_SHARD.index.npz.
        with_label: Whether the images have labels.
        extensions: The endings of images.
        kwargs: As in ``CustomDataset``; among them ``metainfo``, ``classes``, names or a file of
            them, ``indices``, ``test_mode`` and ``lazy_init``.

    Raises:
        FileNotFoundError: if a shard is missing.
        ValueError: in one line, if a shard is truncated, compressed or no tar file, or an image
            has no label or one beyond the classes.
    """

    def __init__(
        self,
        shards: Union[str, Sequence[str]],
        data_root: str = '',
        data_prefix: Union[str, dict] = '',
        order: str = SHARD,
        index_file: Optional[str] = None,
        with_label: bool = True,
        extensions: Sequence[str] = ('.jpg', '.jpeg', '.png', '.ppm', '.bmp', '.pgm', '.tif'),
        **kwargs: Any,
    ):
        if order not in ORDERS:
            raise ValueError(f"TarShards: order must be 'shard' or 'class', got {order!r}")
        if kwargs.get('filter_cfg') is not None:
            raise ValueError('TarShards: filter_cfg is not used; indices chooses among the images')
        self.shards = [shards] if isinstance(shards, str) else list(shards)
        self.order = order
        self.index_file = index_file
        self.with_label = with_label
        self.extensions = tuple(ending.lower() for ending in extensions)
        self._reader = RangeReader()
        super().__init__(ann_file='', data_root=data_root, data_prefix=data_prefix, **kwargs)

    def load_data_list(self) -> list[dict]:
        """One dict per image: ``img_path`` (SHARD::MEMBER), ``place`` there, ``gt_label``."""
        self._paths = find_shards(self.img_prefix, self.shards)
        index = load_index(self._paths, self.extensions, self.index_file)
        places = zip(index.shard.tolist(), index.offset.tolist(), index.size.tolist())
        data: list[dict] = [
            dict(img_path=self._where(index, number), place=place)
            for number, place in enumerate(places)
        ]
        labels = self._labels(index) if self.with_label else [0] * len(data)
        if self.with_label:
            for info, label in zip(data, labels):
                info['gt_label'] = label
        if self.order == CLASS:
            order = sorted(range(len(data)), key=lambda i: (labels[i], index.names[i]))
            data = [data[i] for i in order]
        return data

    def _labels(self, index: TarIndex) -> list[int]:
        """The number of each image's class; sets the classes' names, if not given."""
        texts = index.labels if any(index.labels) else _folders(index.names)
        if not all(texts):
            raise ValueError(
                f'no label for {self._where(index, texts.index(""))}: neither KEY.cls nor KEY.json '
                'with "label" or "class", nor a folder CLASS/NAME'
            )
        if texts is index.labels and all(map(re.compile(r'[+-]?\d+').fullmatch, texts)):
            return self._checked([int(text) for text in texts], index)
        names = sorted(set(texts))
        if self.CLASSES is None:
            self._metainfo['classes'] = tuple(names)
        elif len(self.CLASSES) != len(names):
            raise ValueError(
                f'{len(names)} classes in the shards {", ".join(self.shards)}, but '
                f'{len(self.CLASSES)} are given'
            )
        numbers = {name: number for number, name in enumerate(names)}
        return [numbers[text] for text in texts]

    def _checked(self, labels: list[int], index: TarIndex) -> list[int]:
        """The labels, if they number the classes."""
        count = None if self.CLASSES is None else len(self.CLASSES)
        for number, label in enumerate(labels):
            if label < 0 or (count is not None and label >= count):
                last = '' if count is None else f' to {count - 1}'
                raise ValueError(
                    f'label {label} of {self._where(index, number)}: labels go from 0{last}'
                )
        return labels

    def _where(self, index: TarIndex, number: int) -> str:
        return f'{self._paths[index.shard[number]]}::{index.names[number]}'

    def prepare_data(self, idx: int) -> Any:
        """The image of a number after the pipeline."""
        info = self.get_data_info(idx)
        shard, offset, size = info['place']
        try:
            content = self._reader.read(self._paths[shard], offset, size)
        except OSError as error:
            raise OSError(f'cannot read {info["img_path"]}: {error}') from error
        if len(content) < size:
            raise ValueError(
                f'shard is truncated: {len(content)} of {size} bytes of {info["img_path"]}'
            )
        return self.pipeline(dict(info, img_bytes=content))

    def extra_repr(self) -> list[str]:
        return [f'Shards: \t{", ".join(self.shards)}', f'Prefix of shards: \t{self.img_prefix}']


def _folders(names: Sequence[str]) -> list[str]:
    """The class folder of each image: the first one that is not all images'; '' if there is none.

    Images of a single class are all in its folder.
    """
    folders = [posixpath.dirname(name) for name in names]
    shared = posixpath.commonpath(set(folders))
    if len(set(folders)) == 1:
        return [posixpath.basename(shared)] * len(names)
    start = len(shared) + 1 if shared else 0
    return [folder[start:].split('/')[0] for folder in folders]


class RangeReader:
    """Reads parts of files, each of which a process opens once.

    A copy, also in another process, opens its own. A forked process may use its parent's:
    ``pread`` shares no position.
    """

    def __init__(self):
        self._files: dict[str, BinaryIO] = {}

    def read(self, path: str, offset: int, size: int) -> bytes:
        """Up to ``size`` bytes, fewer at the file's end.

        Raises:
            OSError: if the file is missing or cannot be read.
        """
        file = self._files.get(path)
        if file is None:
            if len(self._files) >= MAX_OPEN:
                self._files.pop(next(iter(self._files))).close()
            file = self._files[path] = open(path, 'rb', buffering=0)  # noqa: SIM115
        return os.pread(file.fileno(), size, offset)

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()

    def __getstate__(self) -> dict:
        return dict(_files={})

    def __del__(self):
        self.close()
