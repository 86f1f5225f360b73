"""mmcv's operators in float32, whatever precision the rest of a detector runs in."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn as nn


@contextmanager
def float32_operators(model: nn.Module) -> Iterator[None]:
    """Let a detector's RoIAlign (RoIPool) and nms have float32, inside ``torch.autocast``, too.

    mmcv's operators know no bfloat16; in float16 coordinates of a thousand pixels would be rounded
    to half a pixel. So the maps that a region extractor of MMDetection's gets are converted, and
    the scores and boxes that its heads give. Other models are left alone.
    """
    handles: list[Any] = []
    if 'mmdet.models' in sys.modules:  # else this is none of its detectors
        from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
        from mmdet.models.roi_heads.bbox_heads import BBoxHead
        from mmdet.models.roi_heads.roi_extractors.base_roi_extractor import BaseRoIExtractor

        for module in model.modules():
            if isinstance(module, BaseRoIExtractor):
                handles.append(module.register_forward_pre_hook(_convert_inputs, with_kwargs=True))
            elif isinstance(module, (BaseDenseHead, BBoxHead)):
                handles.append(module.register_forward_hook(_convert_output))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _convert_inputs(module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    return _float32(args), _float32(kwargs)


def _convert_output(module: nn.Module, args: tuple, output: Any) -> Any:
    return _float32(output)


def _float32(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.float() if value.is_floating_point() else value
    if isinstance(value, (list, tuple)):
        return type(value)(map(_float32, value))
    if isinstance(value, dict):
        return {key: _float32(one) for key, one in value.items()}
    return value
