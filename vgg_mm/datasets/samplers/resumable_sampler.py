"""A shuffled order that can be taken up in the middle of an epoch."""

from collections.abc import Iterator
from itertools import islice

from mmengine.dataset import DefaultSampler

from vgg_mm.registry import DATA_SAMPLERS


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
