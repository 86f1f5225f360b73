"""MMPretrain's VGG: ``backbone.features.N`` holds ``conv`` and ``bn``, then ``classifier.N``."""

from typing import Optional

import torch

from ..preprocessing import STANDARDISED_RGB
from .layout import Layout, Table, flat_fc, module_indices, split_name

FC = {'classifier.0': 'fc6', 'classifier.3': 'fc7', 'classifier.6': 'fc8'}


def _tables(arch: str) -> list[Table]:
    plain = {f'features.{i}.conv': f'conv{name}' for i, name in module_indices(arch, 1)}
    norms = {f'features.{i}.bn': f'bn{name}' for i, name in module_indices(arch, 1)}
    return [plain | FC, plain | norms | FC]


def _layer_of(name: str, tensor: torch.Tensor) -> Optional[tuple[str, str]]:
    found = split_name(name, tensor)
    return found and (found[0].removeprefix('backbone.'), found[1])


MMPRETRAIN = Layout(
    name='MMPretrain',
    looks_like='backbone.features.0.conv.weight',
    preprocessing=STANDARDISED_RGB,
    tables=_tables,
    layer_of=_layer_of,
    tensor_of=flat_fc,
    positional=True,
)
