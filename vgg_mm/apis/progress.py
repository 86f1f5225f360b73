"""A bar that shows how far a long loop is."""

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from mmengine.utils import ProgressBar

T = TypeVar('T')


def with_progress(
    items: Iterable[T], count: int, size: Callable[[T], int] = lambda item: 1
) -> Iterator[T]:
    """The items, with a bar on standard error if that is a terminal.

    Args:
        items: Each is counted when the next one is asked for.
        count: How many there are in all.
        size: How many an item counts as.
    """
    bar = ProgressBar(count, file=sys.stderr) if count and sys.stderr.isatty() else None
    try:
        for item in items:
            yield item
            if bar is not None:
                bar.update(size(item))
    finally:
        if bar is not None:
            print(file=sys.stderr)
