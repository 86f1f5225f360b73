"""What of the communication is hidden behind the backward pass."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from .layers import LayerCost

#: DistributedDataParallel's buckets in bytes: the first is small, so that sending starts early.
FIRST_BUCKET, BUCKET = 2**20, 25 * 2**20

#: Layers of so many parameters are FSDP units of their own (configs/_base_/distributed/fsdp.py).
UNIT_PARAMETERS = 10_000_000


class StepTime(NamedTuple):
    """Milliseconds of one GPU's step."""

    forward: float
    backward: float
    update: float


class Communication(NamedTuple):
    """Milliseconds in which links are busy, and by which the step is longer for it."""

    busy: float
    exposed: float


class Bucket(NamedTuple):
    """Gradients that are sent together; ``ready`` is in milliseconds of the backward pass."""

    parameters: int
    ready: float


def backward_multiply_adds(layers: Sequence[LayerCost]) -> list[int]:
    """Of each layer for one image: its inputs' gradient and its weights' cost a forward pass each.

    The first trainable layer's inputs need no gradient, and nothing is done for layers before it.
    """
    first = next(i for i, layer in enumerate(layers) if layer.parameters)
    return [
        layer.multiply_adds * ((i > first) + bool(layer.parameters)) if i >= first else 0
        for i, layer in enumerate(layers)
    ]


def split_step(milliseconds: float, layers: Sequence[LayerCost]) -> StepTime:
    """Divide a step's time by multiply-adds; the update is taken to cost nothing."""
    forward = sum(layer.multiply_adds for layer in layers)
    backward = sum(backward_multiply_adds(layers))
    share = forward / (forward + backward)
    return StepTime(share * milliseconds, (1 - share) * milliseconds, 0.0)


def ready_times(layers: Sequence[LayerCost], backward: float) -> list[float]:
    """When each layer's gradient is there, in ms of the backward pass, which goes last to first."""
    costs = backward_multiply_adds(layers)
    return [backward * sum(costs[i:]) / sum(costs) for i in range(len(layers))]


def ddp_buckets(layers: Sequence[LayerCost], backward: float) -> list[Bucket]:
    """DistributedDataParallel's buckets in the order in which they fill.

    A bucket is closed by the tensor that reaches its size: fc6's weight is never divided.
    """
    buckets, filled, limit = [], 0, FIRST_BUCKET
    ready = ready_times(layers, backward)
    for layer, time in list(zip(layers, ready))[::-1]:
        for size in reversed(layer.tensors):
            filled += size
            if 4 * filled >= limit:
                buckets.append(Bucket(filled, time))
                filled, limit = 0, BUCKET
    if filled:
        buckets.append(Bucket(filled, ready[0]))
    return buckets


def ddp_communication(
    buckets: Sequence[Bucket], backward: float, all_reduce_ms: Callable[[int], float]
) -> Communication:
    """Buckets are sent one after the other, each when it is full and the one before is done.

    Args:
        buckets: Of :func:`ddp_buckets`.
        backward: Milliseconds of the backward pass.
        all_reduce_ms: Milliseconds for so many parameters.
    """
    busy = done = 0.0
    for bucket in buckets:
        time = all_reduce_ms(bucket.parameters)
        busy, done = busy + time, max(done, bucket.ready) + time
    return Communication(busy, max(0.0, done - backward))


def fsdp_units(layers: Sequence[LayerCost]) -> list[list[int]]:
    """Indices of the layers of each unit: large ones alone, the smaller ones between together."""
    units: list[list[int]] = []
    joins = False
    for i, layer in enumerate(layers):
        small = layer.parameters < UNIT_PARAMETERS
        if small and joins:
            units[-1].append(i)
        else:
            units.append([i])
        joins = small
    return units


def fsdp_communication(
    layers: Sequence[LayerCost], step: StepTime, gather_ms: Callable[[int], float]
) -> Communication:
    """Units are gathered before their forward and backward pass, their gradients scattered after.

    The next unit is asked for when one begins to compute. A gradient waits for a unit that was
    asked for before it.

    Args:
        layers: All layers.
        step: One GPU's.
        gather_ms: Milliseconds to gather, or to reduce and scatter, so many parameters.
    """
    units = fsdp_units(layers)
    gathers = [gather_ms(sum(layers[i].parameters for i in unit)) for unit in units]
    forward = _shares([layer.multiply_adds for layer in layers], units, step.forward)
    backward = _shares(backward_multiply_adds(layers), units, step.backward)
    link = begun = done = 0.0
    for gather, compute in zip(gathers, forward):
        link = max(link, begun) + gather
        begun = max(done, link)
        done = begun + compute
    scatter = 0.0  # of the unit before
    for gather, compute in list(zip(gathers, backward))[::-1]:
        link = max(link, begun) + gather
        begun = max(done, link)
        if scatter:
            link = max(link, done) + scatter
        done, scatter = begun + compute, gather
    done = max(link, done) + scatter
    return Communication(3 * sum(gathers), max(0.0, done - step.forward - step.backward))


def _shares(costs: Sequence[int], units: Sequence[Sequence[int]], time: float) -> list[float]:
    total = sum(costs)
    return [time * sum(costs[i] for i in unit) / total for unit in units]
