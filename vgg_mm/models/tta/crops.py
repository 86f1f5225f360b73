"""Where the crops of multi-crop evaluation lie (paper, Section 3.2)."""

from collections import Counter
from collections.abc import Sequence
from typing import Union

#: The four corners and the centre; with flips, the usual ten crops.
CORNERS_AND_CENTRE = 'five'

Grid = Union[int, Sequence[int], str]


def check_grid(grid: Grid) -> Union[tuple[int, int], str]:
    """(rows, columns) of a regular grid, or :data:`CORNERS_AND_CENTRE`.

    Raises:
        ValueError: if ``grid`` is neither.
    """
    if grid == CORNERS_AND_CENTRE:
        return grid
    sides = (grid, grid) if isinstance(grid, int) else grid
    if isinstance(sides, str) or len(sides) != 2 or not all(isinstance(n, int) for n in sides):
        sides = (0, 0)
    if min(sides) < 1:
        raise ValueError(
            'PaperTTA: grid must be a positive number (5 gives the 5x5 crops of the paper), a '
            f"pair (rows, columns), or 'five' for the corners and the centre, got {grid!r}"
        )
    return sides[0], sides[1]


def crop_corners(
    height: int, width: int, crop_size: int, grid: Union[tuple[int, int], str]
) -> dict[tuple[int, int], int]:
    """(top, left) of each crop, and how often it occurs.

    A regular grid reaches from edge to edge; one row (column) is central. Along a side of just the
    crop's length the grid collapses: its crops are one, which occurs several times.

    Args:
        height, width: Of the rescaled image, at least ``crop_size``.
        crop_size: Side of the crops in pixels.
        grid: As :func:`check_grid` returns it.
    """
    down, right = height - crop_size, width - crop_size
    if isinstance(grid, str):  # CORNERS_AND_CENTRE
        corners = [(top, left) for top in (0, down) for left in (0, right)]
        return dict(Counter([*corners, (round(down / 2), round(right / 2))]))
    rows, columns = _positions(down, grid[0]), _positions(right, grid[1])
    return dict(Counter((top, left) for top in rows for left in columns))


def _positions(room: int, count: int) -> list[int]:
    """``count`` places from 0 to ``room``, equally far apart; halves to even as in CenterCrop."""
    if count == 1:
        return [round(room / 2)]
    return [round(room * i / (count - 1)) for i in range(count)]
