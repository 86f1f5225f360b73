"""The net and the data sets themselves."""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn as nn
from mmengine.model import BaseTTAModel, is_model_wrapper
from torch.distributed.fsdp import FullStateDictConfig, FullyShardedDataParallel, StateDictType


def unwrap(model: Any) -> Any:
    """The net inside distributed and test-time-augmentation wrappers."""
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model


def wrapped_datasets(dataset: Any) -> Iterator[Any]:
    """The data sets inside wrappers (repeated, concatenated)."""
    inside = getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]
    if inside[0] is None:
        yield dataset
    else:
        for one in inside:
            yield from wrapped_datasets(one)


def whole_weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """State dict of the net; gathered in every process if it is sharded (FSDP)."""
    if not isinstance(model, FullyShardedDataParallel):
        return unwrap(model).state_dict()
    config = FullStateDictConfig(rank0_only=False)
    with FullyShardedDataParallel.state_dict_type(model, StateDictType.FULL_STATE_DICT, config):
        return model.state_dict()


def load_if_sharded(model: nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Load :func:`whole_weights`, after changes, into a sharded net; others share the memory."""
    if isinstance(model, FullyShardedDataParallel):
        model.load_state_dict(weights)
