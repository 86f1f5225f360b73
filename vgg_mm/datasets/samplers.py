"""Orders of images and their random draws: for training, resumable, and for test sets, by shape."""

import warnings
from collections.abc import Iterator, Sized
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, Optional, Union

from mmengine.dataset import DefaultSampler
from mmengine.dist import broadcast_object_list, is_main_process
from PIL import Image
from torch.utils.data import Dataset

from vgg_mm.registry import DATA_SAMPLERS, DATASETS
from vgg_mm.seeding import FOR_SAMPLE, seed_draws

from .transforms.decoding import image_size


@DATA_SAMPLERS.register_module()
class ResumableSampler(DefaultSampler):
    """mmengine's ``DefaultSampler`` for a :class:`SeededDataset`: yields (seed, epoch, index).

    The order is DefaultSampler's.

    Attributes:
        start: How many of this process's samples the next epoch leaves out, since they were
            trained on before the run was interrupted. 0 again after that epoch.
    """

    start = 0

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        start, self.start = self.start, 0
        indices = islice(super().__iter__(), start, None)
        return ((self.seed, self.epoch, index) for index in indices)


@DATASETS.register_module()
class SeededDataset(Dataset):
    """A data set whose draws for an image depend on (seed, epoch, index) and nothing else.

    So jitter, crop and flip are the same in any process or worker, and whether or not the run was
    interrupted before. :class:`ResumableSampler` gives the three.

    Args:
        dataset: The data set, or its config.
    """

    def __init__(self, dataset: Union[dict, Dataset]):
        self.dataset: Any = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset

    @property
    def metainfo(self) -> dict:
        return self.dataset.metainfo

    def get_data_info(self, place: tuple[int, int, int]) -> dict:
        """Required by mmdet's samplers of batches by shape."""
        return self.dataset.get_data_info(place[-1])

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, place: tuple[int, int, int]) -> Any:
        """The transformed image of ``place``, (seed, epoch, index)."""
        if not isinstance(place, tuple):
            raise TypeError(
                'SeededDataset: the place of an image is (seed, epoch, index), as '
                f'vgg_mm.ResumableSampler gives it; got {place!r}'
            )
        seed_draws(FOR_SAMPLE, *place)
        return self.dataset[place[-1]]


@DATA_SAMPLERS.register_module()
class ShapeSampler(DefaultSampler):
    """A test set in order of its images' aspect ratio, then size, from the files' headers.

    Images that rescale to the same shape come one after the other. Each of n processes takes every
    nth image, as with mmengine's ``DefaultSampler``. Predictions carry their ``sample_idx``, by
    which the data set's own order is restored.

    Images whose headers cannot be read, or whose files are not on a local disk, are first, in the
    data set's order: a wrong shape costs time, not correctness. Concatenated data sets are read in
    their own order.

    Args:
        dataset: A data set whose ``get_data_info(i)`` gives ``img_path``.
        seed: Not used; mmengine hands one to every sampler.
        round_up: As in ``DefaultSampler``.
    """

    def __init__(self, dataset: Sized, seed: Optional[int] = None, round_up: bool = True):
        super().__init__(dataset, shuffle=False, seed=seed, round_up=round_up)
        # Filled by the main process, sent to the others.
        orders: list[list[int]] = [_order(dataset) if is_main_process() else []]
        broadcast_object_list(orders)
        self.order = orders[0]

    def __iter__(self) -> Iterator[int]:
        return (self.order[position] for position in super().__iter__())


def _order(dataset: Any) -> list[int]:
    if hasattr(dataset, 'datasets'):  # each numbers its images: no order could be restored
        return list(range(len(dataset)))
    paths = [dataset.get_data_info(i).get('img_path') for i in range(len(dataset))]
    # Headers wait for the disk, not for the processor.
    with warnings.catch_warnings(), ThreadPoolExecutor(max_workers=16) as pool:
        warnings.simplefilter('ignore', Image.DecompressionBombWarning)  # nothing is decoded
        sizes = list(pool.map(image_size, paths))
    return sorted(range(len(sizes)), key=lambda i: (sizes[i][1] / max(sizes[i][0], 1), sizes[i]))
