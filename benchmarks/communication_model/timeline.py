"""How much communication overlaps with computation, by simulation of one step."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from .layers import LayerCost, backward_multiply_adds

#: DistributedDataParallel's buckets in bytes: the first is small, so that sending starts early.
FIRST_BUCKET, BUCKET = 2**20, 25 * 2**20

#: Layers of so many parameters are FSDP units of their own (configs/_base_/distributed/fsdp.py).
UNIT_PARAMETERS = 10_000_000


class Communication(NamedTuple):
    """Milliseconds in which links are busy, and by which this makes the step longer."""

    busy: float
    exposed: float

    @property
    def hidden(self) -> float:
        """Milliseconds of communication during computation."""
        return self.busy - self.exposed


class Bucket(NamedTuple):
    """Gradients that are sent together; ``ready`` is in milliseconds of the backward pass."""

    parameters: int
    ready: float


def split_passes(milliseconds: float, layers: Sequence[LayerCost]) -> tuple[float, float]:
    """Milliseconds of the forward and the backward pass, in proportion to multiply-adds."""
    forward = sum(layer.multiply_adds for layer in layers)
    backward = sum(backward_multiply_adds(layers))
    time = milliseconds * forward / (forward + backward)
    return time, milliseconds - time


def ddp_buckets(layers: Sequence[LayerCost], backward: float) -> list[Bucket]:
    """DistributedDataParallel's buckets in the order in which they fill, last layer first.

    A bucket is closed by the tensor that reaches its size (Li et al. 2020, Section 4.2): fc6's
    weight is never split. Sizes are those in float32, even if gradients are sent in 16 bits.
    """
    costs = backward_multiply_adds(layers)
    buckets, filled, limit, done = [], 0, FIRST_BUCKET, 0
    for layer, cost in list(zip(layers, costs))[::-1]:
        done += cost
        ready = backward * done / sum(costs)
        for size in reversed(layer.tensors):
            filled += size
            if 4 * filled >= limit:
                buckets.append(Bucket(filled, ready))
                filled, limit = 0, BUCKET
    if filled:
        buckets.append(Bucket(filled, backward))
    return buckets


def ddp_communication(
    buckets: Sequence[Bucket], backward: float, all_reduce_ms: Callable[[int], float]
) -> Communication:
    """Buckets are sent one after the other, each when it is full and the previous one is done.

    ``backward`` is the duration of the backward pass in milliseconds, ``all_reduce_ms`` gives that
    of summing so many parameters.
    """
    busy = done = 0.0
    for bucket in buckets:
        time = all_reduce_ms(bucket.parameters)
        busy, done = busy + time, max(done, bucket.ready) + time
    return Communication(busy, min(busy, max(0.0, done - backward)))


class Unit(NamedTuple):
    """Layers whose weights FSDP gathers together, with the milliseconds of their passes.

    Units of the ``root`` are gathered once, from their forward to their backward pass.
    """

    parameters: int
    forward: float
    backward: float
    root: bool


def fsdp_units(layers: Sequence[LayerCost], forward: float, backward: float) -> list[Unit]:
    """The units of size-based wrapping for a VGG: each large layer is a unit.

    The smaller layers between two large ones form a unit if together they are large enough;
    otherwise they belong to the root, as the smaller layers at the end do.
    """
    groups: list[list[int]] = []
    joins = False
    for i, layer in enumerate(layers):
        small = layer.parameters < UNIT_PARAMETERS
        if small and joins:
            groups[-1].append(i)
        else:
            groups.append([i])
        joins = small
    costs = [layer.multiply_adds for layer in layers]
    back = backward_multiply_adds(layers)
    units = []
    for group in groups:
        parameters = sum(layers[i].parameters for i in group)
        units.append(
            Unit(
                parameters,
                forward * sum(costs[i] for i in group) / sum(costs),
                backward * sum(back[i] for i in group) / sum(back),
                root=parameters < UNIT_PARAMETERS or (joins and group is groups[-1]),
            )
        )
    return units


def fsdp_communication(
    units: Sequence[Unit],
    gather_ms: Callable[[int], float],
    scatter_ms: Callable[[int], float],
) -> Communication:
    """Units are gathered before their forward and backward pass, gradients scattered after it.

    Transfers do not overlap. A unit is requested when the previous one begins to compute; gradients
    that are ready wait for a unit that was requested before them. The root is gathered first, once,
    and scattered after the backward pass of its first layers.

    Units are in forward order. ``gather_ms`` gives the milliseconds to gather so many parameters,
    ``scatter_ms`` those to reduce and scatter their gradients.
    """
    root = sum(unit.parameters for unit in units if unit.root)
    link = gather_ms(root) if root else 0.0
    busy, begun, done, pending = link, 0.0, 0.0, 0.0
    for unit, compute, scattered in _passes(units, root):
        gather = 0.0 if unit.root else gather_ms(unit.parameters)
        if gather:
            link = max(link, begun) + gather
        begun = max(done, link)
        if pending:
            link = max(link, done) + pending
        pending = scatter_ms(scattered) if scattered else 0.0
        done, busy = begun + compute, busy + gather + pending
    end = max(link, done) + pending
    exposed = end - sum(unit.forward + unit.backward for unit in units)
    return Communication(busy, min(busy, max(0.0, exposed)))


def _passes(units: Sequence[Unit], root: int) -> Iterator[tuple[Unit, float, int]]:
    """(unit, milliseconds, parameters whose gradients are then ready), forward and backward."""
    for unit in units:
        yield unit, unit.forward, 0
    first = next((i for i, unit in enumerate(units) if unit.root), None)
    for i, unit in reversed(list(enumerate(units))):
        ready = (root if i == first else 0) if unit.root else unit.parameters
        yield unit, unit.backward, ready
