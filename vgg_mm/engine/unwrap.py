"""The net itself."""

import torch.nn as nn
from mmengine.model import BaseTTAModel, is_model_wrapper


def unwrap(model: nn.Module) -> nn.Module:
    """The net inside distributed and test-time-augmentation wrappers, whose names files hold."""
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model
