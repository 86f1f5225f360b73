"""torchvision's VGG: ``features.N``, a list of all layers, and ``classifier.N``.

The same list without ``features`` before it is what SSD, losses by features and style transfer
keep of VGG, some of them cut into ``slice1`` to ``slice5``.
"""

import re
from typing import Optional

import torch

from ..preprocessing import STANDARDISED_RGB, Preprocessing
from .layout import Layout, Weights, flat_fc, reduced_fc, sequential_tables, split_name

FC = {'classifier.0': 'fc6', 'classifier.3': 'fc7', 'classifier.6': 'fc8'}

#: Until 2017 (torchvision 0.1), with a dropout before each.
OLD_FC = {'classifier.1': 'fc6', 'classifier.4': 'fc7', 'classifier.6': 'fc8'}

#: ``VGG16_Weights.IMAGENET1K_FEATURES``: other weights with other pre-processing, in a whole net
#: whose classifier is not a number.
FEATURES_PREPROCESSING = Preprocessing(True, (122.999, 116.999, 103.999), (1.0, 1.0, 1.0))

_NUMBER = re.compile(r'(?:slice\d+\.)?(\d+)\.(\w+)')


def _without_classifier(weights: Weights) -> bool:
    bias = weights.get('classifier.6.bias')
    return bias is not None and bool(bias.isnan().all())


def _number_of(name: str, tensor: torch.Tensor) -> Optional[tuple[str, str]]:
    match = _NUMBER.fullmatch(name)
    return match and (match[1], match[2])


TORCHVISION = Layout(
    name='torchvision',
    looks_like='features.0.weight',
    preprocessing=STANDARDISED_RGB,
    tables=lambda arch: sequential_tables(
        arch, 'features.', FC, OLD_FC, reduced_fc(arch, 'features.')
    ),
    layer_of=split_name,
    tensor_of=flat_fc,
    applies=lambda weights: not _without_classifier(weights),
    positional=True,
)

TORCHVISION_FEATURES = TORCHVISION._replace(
    name='torchvision, features only',
    preprocessing=FEATURES_PREPROCESSING,
    tables=lambda arch: sequential_tables(arch, 'features.', {}),
    applies=_without_classifier,
)

SEQUENTIAL = TORCHVISION._replace(
    name='torchvision, a numbered list',
    looks_like='0.weight',
    tables=lambda arch: sequential_tables(arch, '', {}, reduced_fc(arch, '')),
    layer_of=_number_of,
    applies=lambda weights: True,
)
