"""The networks of the paper's Table 1 as data (Sections 2.2 and 4.1)."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Union


class Architecture(NamedTuple):
    """One column of Table 1: the kernel size of every convolution, block by block.

    ``lrn``: local response normalisation after the first convolution.
    """

    kernels: tuple[tuple[int, ...], ...]
    lrn: bool = False

    @property
    def conv_layers(self) -> int:
        return sum(len(block) for block in self.kernels)

    def __str__(self) -> str:
        """'3-3/3-3/3-3-3/3-3-3/3-3-3' is net D's."""
        blocks = '/'.join('-'.join(map(str, block)) for block in self.kernels)
        return f'{blocks} with LRN' if self.lrn else blocks


#: A net: a name of :data:`ARCHITECTURES`, a depth of :data:`DEPTH_TO_ARCH` (16, '16' or 'vgg16'),
#: or an :class:`Architecture` by value, also as ``dict(kernels=((3, 3), ...), lrn=False)``.
Arch = Union[str, int, Mapping[str, Any], Sequence[Any]]


ARCHITECTURES = {
    'A': Architecture(((3,), (3,), (3, 3), (3, 3), (3, 3))),
    'A-LRN': Architecture(((3,), (3,), (3, 3), (3, 3), (3, 3)), lrn=True),
    'B': Architecture(((3, 3), (3, 3), (3, 3), (3, 3), (3, 3))),
    # Section 4.1's shallow control: each pair of 3x3 convolutions of B is one 5x5.
    'B-5x5': Architecture(((5,), (5,), (5,), (5,), (5,))),
    'C': Architecture(((3, 3), (3, 3), (3, 3, 1), (3, 3, 1), (3, 3, 1))),
    'D': Architecture(((3, 3), (3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3))),
    'E': Architecture(((3, 3), (3, 3), (3, 3, 3, 3), (3, 3, 3, 3), (3, 3, 3, 3))),
}

#: MMPretrain names the networks by their weight layers.
DEPTH_TO_ARCH = {11: 'A', 13: 'B', 16: 'D', 19: 'E'}

#: Width of the paper's first block.
BASE_CHANNELS = 64

#: Width of each block, in multiples of the first block's (64 in the paper).
BLOCK_WIDTHS = (1, 2, 4, 8, 8)

NUM_BLOCKS = len(BLOCK_WIDTHS)

#: Pixels of the image per position of the last block's map: each block halves it once.
STRIDE = 2**NUM_BLOCKS

#: Layers that a deeper net takes from net A (Section 3.1): "the first four convolutional layers
#: and the last three fully-connected layers", by A's names.
STAGED_LAYERS = ('conv1_1', 'conv2_1', 'conv3_1', 'conv3_2', 'fc6', 'fc7', 'fc8')


def resolve_arch(arch: Arch) -> str:
    """The name of a net: in :data:`ARCHITECTURES`, or its kernels where it has none there.

    Raises:
        ValueError: in one line, if ``arch`` is no net.
    """
    value = architecture_of(arch)
    return next((name for name, known in ARCHITECTURES.items() if known == value), str(value))


def architecture_of(arch: Arch) -> Architecture:
    """The architecture for a name, a depth or a value.

    Raises:
        ValueError: in one line, if ``arch`` is no net.
    """
    if isinstance(arch, (str, int)):
        depth = re.fullmatch(r'(?:vgg-?)?(\d+)', str(arch), re.IGNORECASE)
        name = DEPTH_TO_ARCH.get(int(depth[1])) if depth else arch
        if name not in ARCHITECTURES:
            raise ValueError(
                f'VGG: unknown arch {arch!r}; choose one of {", ".join(ARCHITECTURES)}, '
                f'a depth of {", ".join(map(str, DEPTH_TO_ARCH))}, or give the net by value, '
                f'{_BY_VALUE}'
            )
        return ARCHITECTURES[name]
    return _by_value(arch)


_BY_VALUE = 'dict(kernels=((3, 3), (3, 3), ...), lrn=False)'


def _by_value(arch: Any) -> Architecture:
    wrong = ValueError(
        f'VGG: arch by value is {_BY_VALUE}, 1 to {NUM_BLOCKS} blocks of odd kernel sizes, '
        f'got {arch!r}'
    )
    given = dict(arch) if isinstance(arch, Mapping) else arch
    try:
        found = Architecture(**given) if isinstance(given, dict) else Architecture(*given)
        kernels = tuple(tuple(block) for block in found.kernels)
    except TypeError:
        raise wrong from None
    sizes = [size for block in kernels for size in block]
    odd = all(type(size) is int and size > 0 and size % 2 for size in sizes)
    if not (odd and 1 <= len(kernels) <= NUM_BLOCKS and all(kernels) and type(found.lrn) is bool):
        raise wrong
    return Architecture(kernels, found.lrn)
