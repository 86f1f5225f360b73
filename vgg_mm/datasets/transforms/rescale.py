"""The geometry that training and testing share: the smaller side becomes S (or Q)."""

from collections.abc import Sequence
from typing import Union


def scale_bounds(scale: Union[int, Sequence[int]]) -> tuple[int, ...]:
    """S, or (S_min, S_max), as (S_min, S_max)."""
    return (scale, scale) if isinstance(scale, int) else tuple(scale)


def rescaled_size(height: int, width: int, smaller_side: int) -> tuple[int, int]:
    """(height, width) after isotropic rescaling to ``smaller_side``.

    The longer side is rounded down, as MMPretrain's ResizeEdge does.
    """
    if width < height:
        return smaller_side * height // width, smaller_side
    return smaller_side, smaller_side * width // height


def paper_test_scales(scale: tuple[int, int], several: bool) -> tuple[int, ...]:
    """The paper's test scales Q for a net trained at S (Sections 4.1 and 4.2).

    Args:
        scale: (S_min, S_max); equal for a fixed S.
        several: Table 4's three scales, or Table 3's one.

    Returns:
        Fixed S: S, or S - 32, S, S + 32. Jittered S: 0.5 (S_min + S_max), or that between S_min
        and S_max.
    """
    low, high = scale
    middle = (low + high) // 2
    if not several:
        return (middle,)
    return (low - 32, low, high + 32) if low == high else (low, middle, high)
