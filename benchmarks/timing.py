"""Measurements that take turns, and the format of their figures."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch

T = TypeVar('T')


def in_turn(runs: Mapping[str, Callable[[], T]], repetitions: int) -> dict[str, list[T]]:
    """What each run returns in each repetition.

    All take a turn in each repetition, in an order that rotates, so that changes of the machine's
    speed affect all of them. A first round is a warm-up, whose results are dropped.
    """
    found: dict[str, list[T]] = {name: [] for name in runs}
    names = list(runs)
    for repetition in range(repetitions + 1):
        turn = repetition % len(names)
        for name in names[turn:] + names[:turn]:
            returned = runs[name]()
            if repetition:
                found[name].append(returned)
    return found


def seconds(function: Callable[..., Any], *arguments: Any) -> float:
    """Duration of a call, including work that is pending on a GPU."""
    start = time.perf_counter()
    function(*arguments)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def ratios(values: Sequence[float], others: Sequence[float]) -> list[float]:
    """values / others, repetition by repetition."""
    return [value / other for value, other in zip(values, others)]


def spread(values: Sequence[float], form: str = '.2f') -> str:
    """'median (lowest to highest)', each in the format."""
    middle, low, high = statistics.median(values), min(values), max(values)
    return f'{middle:{form}} ({low:{form}} to {high:{form}})'
