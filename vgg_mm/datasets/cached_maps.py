"""Maps of fixed layers, kept on the disk, as a data set."""

import hashlib
import io
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Union

import numpy as np
import torch
from mmpretrain.structures import DataSample
from torch.utils.data import Dataset

from vgg_mm.checkpoints import write_atomically

#: Maps a file.
CHUNK = 32

#: Endings of the names of files: the maps, and the samples of each.
MAPS, SAMPLES = '.npy', '.json'

#: Meta keys of a data sample that are kept with its map.
META_KEYS = ('img_path', 'sample_idx', 'load_error')


class Chunk(NamedTuple):
    """The maps of images ``first`` to ``last`` - 1 in a view; ``name`` identifies their content."""

    view: int
    first: int
    last: int
    name: str


class MapFiles:
    """A folder with the maps of some views of a data set's images, created with the first file.

    A file holds the maps of 32 images in half precision. Its name has a digest of all that they
    depend on: the recipe, the view, and the paths and contents of those images
    (:func:`image_digests`). So an existing file is always valid; other files in the folder are
    obsolete.
    """

    def __init__(self, folder: str, images: Sequence[bytes], views: int, recipe: str):
        self.folder = folder
        self.chunks = []
        for view in range(views):
            for first in range(0, len(images), CHUNK):
                last = min(first + CHUNK, len(images))
                digest = hashlib.blake2b(f'{recipe}\n{view} {first}\n'.encode(), digest_size=12)
                digest.update(b''.join(images[first:last]))
                name = f'{view}-{first:09d}-{digest.hexdigest()}'
                self.chunks.append(Chunk(view, first, last, name))

    def _there(self) -> set[str]:
        return set(os.listdir(self.folder)) if os.path.isdir(self.folder) else set()

    def missing(self) -> list[Chunk]:
        """The chunks that have to be computed."""
        there = self._there()
        return [chunk for chunk in self.chunks if chunk.name + MAPS not in there]

    def remove_others(self) -> int:
        """Remove maps of other weights, settings or images; returns how many files these were."""
        wanted = {chunk.name for chunk in self.chunks}
        others = [
            name
            for name in self._there()
            if name.endswith((MAPS, SAMPLES)) and os.path.splitext(name)[0] not in wanted
        ]
        for name in others:
            os.remove(os.path.join(self.folder, name))
        return sum(name.endswith(MAPS) for name in others)

    def write(self, chunk: Chunk, maps: torch.Tensor, samples: Sequence[DataSample]) -> None:
        """Keep the maps (n, C, h, w) of a chunk's images and their samples' labels.

        Raises:
            OverflowError: if a number is beyond those of half precision.
        """
        halves = maps.half()
        if not torch.isfinite(halves).all():
            raise OverflowError(f'activations reach {maps.abs().max():.3g}, half precision 65504')
        content = io.BytesIO()
        np.save(content, halves.contiguous().cpu().numpy(), allow_pickle=False)
        path = os.path.join(self.folder, chunk.name)
        # The maps last: where they are, their samples are.
        write_atomically(path + SAMPLES, json.dumps(list(map(_entry, samples))).encode())
        write_atomically(path + MAPS, content.getvalue())

    def read_samples(self, chunk: Chunk) -> list[dict[str, Any]]:
        """The data sample of each of a chunk's images.

        Raises:
            ValueError: in one line, if a file is damaged.
        """
        path = os.path.join(self.folder, chunk.name)
        try:
            maps = np.load(path + MAPS, mmap_mode='r', allow_pickle=False)
            with open(path + SAMPLES, encoding='utf-8') as file:
                samples = json.load(file)
            if not len(maps) == len(samples) == chunk.last - chunk.first:
                raise ValueError(f'{len(maps)} maps, {len(samples)} samples')
        except (OSError, ValueError, EOFError) as error:
            raise ValueError(
                f'{path}{MAPS} is damaged ({error}): delete it and run the same command again'
            ) from error
        return samples

    def read_map(self, chunk: Chunk, place: int) -> np.ndarray:
        """One of a chunk's maps, float16 (C, h, w)."""
        path = os.path.join(self.folder, chunk.name) + MAPS
        # A copy: a memory map keeps the file open, and a process may have some 1,000 open files.
        return np.array(np.load(path, mmap_mode='r', allow_pickle=False)[place])


def image_digests(dataset: Any) -> Iterator[bytes]:
    """For each image of a data set a digest of its file's content and of its data sample.

    For an image in a tar file that is the content's place, and the file's size and time; files
    that are not on a local disk are taken by their names.
    """
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        path = info.get('img_path')
        digest = hashlib.blake2b(repr(sorted(info.items())).encode(), digest_size=16)
        for value in info.values():
            if isinstance(value, np.ndarray):  # images in memory; repr leaves most of them out
                digest.update(np.ascontiguousarray(value).data)
        if isinstance(path, str) and os.path.isfile(path):
            with open(path, 'rb') as file:
                digest.update(file.read())
        elif isinstance(path, str) and os.path.isfile(shard := path.partition('::')[0]):
            state = os.stat(shard)
            digest.update(f'{state.st_size} {state.st_mtime_ns}'.encode())
        yield digest.digest()


def _entry(sample: DataSample) -> dict[str, Any]:
    label = sample.get('gt_label')
    entry = {key: sample.get(key) for key in META_KEYS if sample.get(key) is not None}
    return dict(entry, label=None if label is None else label.tolist())


class CachedMaps(Dataset):
    """Maps instead of images: that of image i is its view number (epoch + i) mod views.

    Items are ``dict(inputs=..., data_samples=...)``, as the pipelines of classification give them,
    with a float16 map (C, h, w) for ``inputs``. The index may also be what
    :class:`~vgg_mm.datasets.ResumableSampler` yields. All files of ``dataset`` have to
    exist; a damaged one is a ValueError of one line.
    """

    def __init__(self, files: MapFiles, dataset: Any):
        self.dataset = dataset
        self.epoch = 0
        self._files = files
        self._samples = [files.read_samples(chunk) for chunk in files.chunks]
        self._views = max(chunk.view for chunk in files.chunks) + 1

    @property
    def metainfo(self) -> dict:
        return self.dataset.metainfo

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, place: Union[int, tuple[int, int, int]]) -> dict[str, Any]:
        index = place if isinstance(place, int) else place[-1]
        view = (self.epoch + index) % self._views
        number = view * (len(self._samples) // self._views) + index // CHUNK
        entry = self._samples[number][index % CHUNK]
        sample = DataSample(metainfo={key: entry[key] for key in META_KEYS if key in entry})
        if entry['label'] is not None:
            sample.set_gt_label(entry['label'])
        a_map = self._files.read_map(self._files.chunks[number], index % CHUNK)
        return dict(inputs=torch.from_numpy(a_map), data_samples=sample)
