"""The networks of the paper's Table 1 as data (Sections 2.2 and 4.1)."""

from typing import NamedTuple, Union


class Architecture(NamedTuple):
    """One column of Table 1: the kernel size of every convolution, block by block."""

    kernels: tuple[tuple[int, ...], ...]
    lrn: bool = False

    @property
    def conv_layers(self) -> int:
        return sum(len(block) for block in self.kernels)


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


def resolve_arch(arch: Union[str, int]) -> str:
    """The name in :data:`ARCHITECTURES` that a name or a depth means.

    Raises:
        ValueError: if ``arch`` is neither.
    """
    name = DEPTH_TO_ARCH.get(arch, arch)
    if name not in ARCHITECTURES:
        raise ValueError(
            f'VGG: unknown arch {arch!r}; choose one of {", ".join(ARCHITECTURES)} '
            f'or a depth of {", ".join(map(str, DEPTH_TO_ARCH))}'
        )
    return name
