"""The names and shapes of torchvision's VGG."""

from collections import OrderedDict
from typing import Any

import torch
import torch.nn as nn

from vgg_mm.architectures import BASE_CHANNELS
from vgg_mm.checkpoints.layouts.layout import sequential_tables
from vgg_mm.checkpoints.layouts.libraries import TORCHVISION_FC
from vgg_mm.installation import argument

from ..net_table import FC_CHANNELS, FC_KERNEL
from .graph import Classifier

#: net -> torchvision's function; with batch norm, its name ends in _bn.
FUNCTIONS = {'A': 'vgg11', 'B': 'vgg13', 'D': 'vgg16', 'E': 'vgg19'}

FC = set(TORCHVISION_FC.values())

#: Types of layers that torchvision's nets are made of, and what is the same in evaluation.
_KINDS = {'Conv2d', 'ReLU', 'MaxPool2d', 'BatchNorm2d', 'SyncBatchNorm'}


def torchvision_names(arch: str, batch_norm: bool = False) -> dict[str, str]:
    """This package's layer name -> torchvision's: 'backbone.conv1_1' -> 'features.0'.

    Raises:
        ValueError: if torchvision has no such net.
    """
    if arch not in FUNCTIONS:
        raise ValueError(f'torchvision has no net {arch}; it has {", ".join(FUNCTIONS)}')
    table = sequential_tables(arch, 'features.', TORCHVISION_FC)[batch_norm]
    return {f'{"head" if own in FC else "backbone"}.{own}': name for name, own in table.items()}


def torchvision_function(classifier: Classifier) -> str:
    """The function of ``torchvision.models`` that builds this net.

    Raises:
        ValueError: in one line, if torchvision has no such net.
    """
    backbone, head = classifier.model.backbone, classifier.model.head
    torchvision_names(backbone.arch)
    widths = (head.fc6.out_features, head.fc7.out_features) if head.has_fc6 else ()
    found = dict(
        in_channels=(classifier.in_channels, 3),
        base_channels=(backbone.base_channels, BASE_CHANNELS),
        fc_channels=(widths, (FC_CHANNELS,) * 2),
        kernel_size=(head.kernel_size, FC_KERNEL),
        dilations=(backbone.dilations, (1,) * len(backbone.dilations)),
        plain_pools=(backbone.plain_pools, True),
    )
    for name, (value, expected) in found.items():
        if value != expected:
            raise ValueError(
                f'torchvision has no such net: {name} is {value} here, {expected} there; '
                f'{argument("to", "safetensors")} keeps the layout of this package'
            )
    return FUNCTIONS[backbone.arch] + ('_bn' if _has_batch_norm(backbone) else '')


def torchvision_state(classifier: Classifier) -> 'OrderedDict[str, torch.Tensor]':
    """The state dict for ``torchvision.models.vgg16().load_state_dict(...)``.

    :meth:`Classifier.metadata` and torchvision's function go along in the dict's ``_metadata``,
    where ``load_state_dict`` looks up versions: ``torch.load(file)._metadata['']['vgg_mm']``.

    Raises:
        ValueError: in one line, if torchvision has no such net.
    """
    function = torchvision_function(classifier)
    names = torchvision_names(classifier.model.backbone.arch, function.endswith('_bn'))
    state: Any = OrderedDict()
    for name, value in classifier.model.state_dict().items():
        layer, _, kind = name.rpartition('.')
        state[f'{names[layer]}.{kind}'] = value.contiguous()
    facts = {**classifier.metadata(), 'torchvision': function, 'notice': notice(classifier)}
    state._metadata = OrderedDict({'': {'version': 1, 'vgg_mm': facts}})
    return state


def notice(classifier: Classifier) -> str:
    """What is different from torchvision's own weights."""
    return (
        f'these weights expect values 0 to 255, {classifier.preprocessing}; the transforms of '
        "torchvision's own weights (values 0 to 1, its mean and std) may not fit them. Images of "
        'other sizes than 224: torchvision averages the last feature map down to 7x7, this package '
        'averages class scores'
    )


def _has_batch_norm(backbone: nn.Module) -> bool:
    """Whether the net has batch norms as torchvision's; ValueError if it has anything else."""
    kinds = {type(layer).__name__ for layer in backbone.children()}
    norms = [m for m in backbone.children() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if kinds - _KINDS or any(norm.eps != 1e-5 for norm in norms):
        raise ValueError(
            'torchvision has no such net: it is made of Conv2d, ReLU, MaxPool2d and possibly '
            f'BatchNorm2d(eps=1e-5), this one of {", ".join(sorted(kinds))}'
        )
    return bool(norms)
