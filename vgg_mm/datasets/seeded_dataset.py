"""Training images whose random transforms can be repeated."""

from typing import Any, Union

from torch.utils.data import Dataset

from vgg_mm.registry import DATASETS
from vgg_mm.seeding import FOR_SAMPLE, seed_draws


@DATASETS.register_module()
class SeededDataset(Dataset):
    """A data set whose draws for an image depend on (seed, epoch, index) and nothing else.

    So jitter, crop and flip are the same in any process or worker, and whether
    or not the run was interrupted before. The sampler :class:`ResumableSampler` gives the three.

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
        seed_draws(FOR_SAMPLE, *place)
        return self.dataset[place[-1]]
