"""Checks of the backbone's arguments, each error a line that says what would work."""

from collections.abc import Sequence


def check_sizes(
    in_channels: int,
    base_channels: int,
    num_stages: int,
    blocks: int,
    dilations: Sequence[int],
    frozen_stages: int,
) -> None:
    for name, value in dict(in_channels=in_channels, base_channels=base_channels).items():
        if not isinstance(value, int) or value < 1:
            raise ValueError(f'VGG: {name} must be a positive integer, got {value!r}')
    if not 1 <= num_stages <= blocks:
        raise ValueError(f'VGG: num_stages must be 1 to {blocks}, got {num_stages}')
    if len(dilations) != num_stages or any(d < 1 for d in dilations):
        raise ValueError(
            f'VGG: dilations must hold {num_stages} positive integers (one a block), '
            f'got {tuple(dilations)}'
        )
    if not -1 <= frozen_stages <= num_stages:
        raise ValueError(f'VGG: frozen_stages must be -1 to {num_stages}, got {frozen_stages}')


def check_pools(strides: Sequence[int], num_stages: int, pool_size: int) -> None:
    if len(strides) != num_stages or not set(strides) <= {1, 2}:
        raise ValueError(
            f'VGG: strides must hold {num_stages} numbers (one a block), each 1 or 2, got {strides}'
        )
    if pool_size not in (2, 3):
        raise ValueError(f'VGG: pool_size must be 2 or 3, got {pool_size!r}')
    if 1 in strides and pool_size == 2:
        raise ValueError(
            f'VGG: strides={strides} need pool_size=3: a window of 2x2 with stride 1 moves the map '
            'by half a position'
        )
