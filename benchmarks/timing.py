"""Measurements that take turns, and how their figures are told."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch

T = TypeVar('T')


def in_turn(runs: Mapping[str, Callable[[], T]], repetitions: int) -> dict[str, list[T]]:
    """What each run returns, so many times.

    In each repetition all take a turn, in an order that rotates: a change of the machine's speed
    meets all of them. A first round warms up; what it returns is dropped.
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
    """How long a call takes, with what it leaves to be done on a GPU."""
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
