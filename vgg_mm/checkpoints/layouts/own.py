"""This package's own names, in a whole model or alone.

``backbone.conv1_1.weight`` and ``head.fc6.weight`` are taken as they are, wherever they are in the
tree: detectors hold more. ``conv1_1.weight`` and ``fc6.weight`` with nothing before them (a
backbone's or a head's own state dict, or the authors' release as others converted it) get the
prefixes of a classifier.
"""

import re
from collections.abc import Iterable

from .layout import Layout, Table, conv_names, flat_fc, split_name

FC = {name: name for name in ('fc6', 'fc7', 'fc8')}


#: A backbone's first layer or a head's, or alone after a dot.
_OWN = re.compile(r'((.*\.)?(backbone\.conv1_1|\w*head\.fc6)|\.(conv1_1|fc6))\.weight')


def has_own_names(names: Iterable[str]) -> bool:
    """Whether weights are named as this package names them: ``backbone.conv1_1``, ``head.fc6``.

    A dot before the names of a backbone or head alone says that theirs count, too.
    """
    return any(_OWN.fullmatch(name) for name in names)


def _tables(arch: str) -> list[Table]:
    names = [name for block in conv_names(arch) for name in block]
    plain = {f'conv{name}': f'conv{name}' for name in names}
    return [plain | FC, plain | {f'bn{name}': f'bn{name}' for name in names} | FC]


#: Alone, without prefixes.
BARE = Layout(
    name='vgg_mm, without prefixes',
    looks_like='conv1_1.weight',
    preprocessing=None,
    tables=_tables,
    layer_of=split_name,
    tensor_of=flat_fc,
)
