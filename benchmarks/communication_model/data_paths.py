"""Images per second that one core reads, decodes and jitters, by the way they are stored."""

import contextlib
import io
import os
import random
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

from vgg_mm.apis.image_folders import find_images
from vgg_mm.apis.tables import format_table
from vgg_mm.apis.training import is_load_image

FOLDERS, TAR, LMDB = 'image folders', 'tar shards', 'LMDB'

#: Images per shard of the sample; data sets are packed into shards of about ten thousand.
SHARD_IMAGES = 128


class DataPath(NamedTuple):
    """One way to store images; ``files`` is the number of files that hold ``images`` images.

    ``images_per_second`` includes waiting for storage or for other programs; ``cpu_ms`` is the
    processor time per image in milliseconds.
    """

    name: str
    files: int
    images: int
    images_per_second: float
    cpu_ms: float

    @property
    def core_rate(self) -> float:
        """Images per second of a core that never waits."""
        return 1e3 / self.cpu_ms


def measure_data_paths(cfg: Config, folder: str, seconds: float, limit: int) -> list[DataPath]:
    """Measure the config's training pipeline on the same images as files, tar shards and LMDB.

    Images come in random order. The three take turns with passes over the sample, on one core,
    until each has run for its time. The sample has just been read, so that its bytes come from
    memory: the processor's work is compared, not disks. LMDB is measured if ``lmdb`` is installed.

    Args:
        cfg: Its ``train_dataloader.dataset.pipeline`` is measured.
        folder: Images in class folders.
        seconds: Time for each of the three; at least one pass is made.
        limit: At most so many images, evenly spread over the folder.

    Raises:
        FileNotFoundError, ValueError: in one line, if there are no images or one is unreadable.
    """
    names = sample(folder, limit)
    with (
        tempfile.TemporaryDirectory() as copies,
        single_core(),
        DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmpretrain')),
    ):
        sets = build_sets(cfg, folder, names, copies)
        speeds = take_turns([dataset for _, _, dataset in sets], seconds)
    return [
        DataPath(name, files, len(names), *speed) for (name, files, _), speed in zip(sets, speeds)
    ]


def sample(folder: str, limit: int) -> list[str]:
    """Paths CLASS/.../NAME of at most ``limit`` images, evenly spread."""
    names = [os.path.relpath(path, folder) for path in find_images(folder)]
    loose = next((name for name in names if os.sep not in name), None)
    if loose is not None:
        raise ValueError(f'--data {folder}: expected {folder}/CLASS/*.jpg, found {loose}')
    count = min(limit, len(names))
    return [names[i * len(names) // count] for i in range(count)]


@contextlib.contextmanager
def single_core() -> Iterator[None]:
    """Let OpenCV and torch use one thread, as in a worker of a data loader."""
    threads = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads[0])
        torch.set_num_threads(threads[1])


def build_sets(
    cfg: Config, folder: str, names: Sequence[str], copies: str
) -> list[tuple[str, int, torch.utils.data.Dataset]]:
    """(name, number of files, data set) of each way, with copies of the images in ``copies``.

    Raises:
        ValueError: in one line, if the pipeline loads images with another transform.
    """
    pipeline = cfg.train_dataloader.dataset.get('pipeline') or []
    if not any(map(is_load_image, pipeline)):
        raise ValueError(f'--data: {cfg.filename} must load images with vgg_mm.LoadImage')
    shards = pack_tar(folder, names, copies)
    in_folders = dict(
        type='CustomDataset',
        ann_file=annotate(names, names, copies, 'files.txt'),
        data_prefix=os.path.abspath(folder),
        pipeline=pipeline,
    )
    in_shards = dict(type='vgg_mm.TarShards', shards=shards, pipeline=pipeline)
    sets = [(FOLDERS, len(names), in_folders), (TAR, len(shards), in_shards)]
    with contextlib.suppress(ImportError):
        database, keys = pack_lmdb(folder, names, copies)
        backend = dict(backend='lmdb', db_path=database)
        steps = [dict(s, backend_args=backend) if is_load_image(s) else s for s in pipeline]
        listed = annotate(keys, names, copies, 'keys.txt')
        sets.append((LMDB, 1, dict(type='CustomDataset', ann_file=listed, pipeline=steps)))
    return [(name, files, DATASETS.build(dataset)) for name, files, dataset in sets]


def annotate(keys: Sequence[str], names: Sequence[str], target: str, name: str) -> str:
    """Write lines 'KEY LABEL' for MMPretrain's CustomDataset; return the file's path."""
    folders = [path.split(os.sep)[0] for path in names]
    labels = {folder: label for label, folder in enumerate(sorted(set(folders)))}
    path = os.path.join(target, name)
    with open(path, 'w', encoding='utf-8') as file:
        file.writelines(f'{key} {labels[folder]}\n' for key, folder in zip(keys, folders))
    return path


def pack_tar(folder: str, names: Sequence[str], target: str) -> list[str]:
    """Pack the images as CLASS/NAME into uncompressed tar files; return their paths."""
    shards = []
    for start in range(0, len(names), SHARD_IMAGES):
        shards.append(os.path.join(target, f'{len(shards):06}.tar'))
        with tarfile.open(shards[-1], 'w') as tar:
            for name in names[start : start + SHARD_IMAGES]:
                with open(os.path.join(folder, name), 'rb') as file:
                    content = file.read()
                info = tarfile.TarInfo(f'images/{name}')
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return shards


def pack_lmdb(folder: str, names: Sequence[str], target: str) -> tuple[str, list[str]]:
    """Pack the images into an LMDB file; return its path and their keys.

    Keys are numbers: mmengine's backend takes ASCII only, and LMDB at most 511 bytes.

    Raises:
        ImportError: if ``lmdb`` is not installed.
    """
    import lmdb

    path = os.path.join(target, 'images.lmdb')
    keys = [f'{number:08}' for number in range(len(names))]
    size = sum(os.path.getsize(os.path.join(folder, name)) for name in names)
    # An upper bound that allows for partly filled pages; the file grows as needed.
    bound = 2 * size + 2**14 * len(names) + 2**20
    with lmdb.open(path, map_size=bound) as database, database.begin(write=True) as transaction:
        for key, name in zip(keys, names):
            with open(os.path.join(folder, name), 'rb') as file:
                transaction.put(key.encode(), file.read())
    return path, keys


def take_turns(
    datasets: Sequence[torch.utils.data.Dataset], seconds: float
) -> list[tuple[float, float]]:
    """(images per second, processor ms per image) of each data set.

    The first pass over each is not timed.
    """
    spent, busy, passes = [0.0] * len(datasets), [0.0] * len(datasets), -1
    order = list(range(len(datasets[0])))
    while passes < 1 or min(spent) < seconds:
        passes += 1
        random.shuffle(order)
        for number, dataset in enumerate(datasets):
            wall, cpu = time.perf_counter(), time.process_time()
            for i in order:
                dataset[i]
            if passes:
                spent[number] += time.perf_counter() - wall
                busy[number] += time.process_time() - cpu
    images = passes * len(order)
    return [(images / wall, 1e3 * cpu / images) for wall, cpu in zip(spent, busy)]


def data_path_table(paths: Sequence[DataPath], markdown: bool = False) -> str:
    """The measurements as a table."""
    rows = [
        [
            path.name,
            path.files,
            path.images,
            f'{path.images_per_second:.0f}',
            f'{path.cpu_ms:.2f}',
            f'{path.core_rate:.0f}',
        ]
        for path in paths
    ]
    title = 'Measured here, one core, files in memory: reading + decoding + training pipeline'
    missing = '' if len(paths) == 3 else '\nLMDB: not measured, pip install lmdb'
    headers = ('kept as', 'files', 'images', 'images/s', 'CPU ms/image', 'images/s of CPU time')
    return f'{title}\n\n{format_table(headers, rows, markdown)}{missing}'
