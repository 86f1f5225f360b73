"""A training step on each number of GPUs."""

from collections.abc import Callable
from typing import NamedTuple, Optional

from vgg_mm.apis.chain.estimate import StepTime

from .layers import LayerCost
from .network import Network, gpu_bytes
from .timeline import (
    Communication,
    ddp_buckets,
    ddp_communication,
    fsdp_communication,
    fsdp_units,
    split_passes,
)

#: Bytes of a weight, which FSDP gathers in full precision.
WEIGHT_BYTES = 4

MEGABYTE = 1e6


class Training(NamedTuple):
    """The training that is scaled.

    ``step`` is the step of one GPU, in seconds. Either ``batch`` is divided among the GPUs (strong
    scaling), or each of them has ``per_gpu_batch`` images (weak scaling).
    """

    layers: list[LayerCost]
    step: StepTime
    network: Network
    batch: int = 256
    per_gpu_batch: Optional[int] = None
    grad_bytes: int = 4
    sharded: bool = False
    overlap: bool = True
    image_kb: float = 115.0
    core_rate: Optional[float] = None

    @property
    def parameters(self) -> int:
        return sum(layer.parameters for layer in self.layers)

    def images_per_gpu(self, gpus: int) -> int:
        """Images on the GPU with the most images."""
        return self.per_gpu_batch or -(-self.batch // gpus)

    def images(self, gpus: int) -> int:
        """Images per step."""
        return self.per_gpu_batch * gpus if self.per_gpu_batch else self.batch


class Row(NamedTuple):
    """One number of GPUs. Bytes (MB = 1e6) are those sent in a step; as many are received.

    ``hidden_ms`` is the part of ``communication_ms`` that overlaps with computation.
    ``efficiency`` is images/s relative to so many times the images/s of one GPU. ``cores`` is the
    number of cores that decode the images.
    """

    gpus: int
    nodes: int
    images_per_gpu: int
    gradient_mb: float
    gpu_mb: float
    node_mb: float
    compute_ms: float
    communication_ms: float
    hidden_ms: float
    step_ms: float
    images_per_second: float
    efficiency: float
    jpeg_mb_per_second: float
    cores: Optional[float]


def scaling_row(training: Training, gpus: int) -> Row:
    """The step of ``training`` on so many GPUs."""
    images = training.images_per_gpu(gpus)
    passes = 1e3 * training.step.per_image * images
    compute = passes + 1e3 * training.step.per_step
    communication = _communication(training, gpus, passes)
    step = compute + communication.exposed
    rate = 1e3 * training.images(gpus) / step
    return Row(
        gpus,
        training.network.nodes(gpus),
        images,
        training.parameters * training.grad_bytes / MEGABYTE,
        _sent(training, gpus, gpu_bytes),
        _sent(training, gpus, training.network.node_bytes),
        compute,
        communication.busy,
        communication.hidden,
        step,
        rate,
        rate / (gpus * _one_gpu_rate(training)),
        rate * training.image_kb / 1e3,
        rate / training.core_rate if training.core_rate else None,
    )


def _one_gpu_rate(training: Training) -> float:
    """Images per second of one GPU."""
    images = training.images(1)
    return images / (training.step.per_image * images + training.step.per_step)


def _communication(training: Training, gpus: int, passes: float) -> Communication:
    """Of a step whose forward and backward pass together take ``passes`` milliseconds."""
    if gpus == 1:
        return Communication(0.0, 0.0)
    layers, network, size = training.layers, training.network, training.grad_bytes
    forward, backward = split_passes(passes, layers)
    if training.sharded:
        found = fsdp_communication(
            fsdp_units(layers, forward, backward),
            lambda count: network.half_ms(WEIGHT_BYTES * count, gpus),
            lambda count: network.half_ms(size * count, gpus),
        )
    else:
        found = ddp_communication(
            ddp_buckets(layers, backward),
            backward,
            lambda count: network.all_reduce_ms(size * count, gpus),
        )
    return found if training.overlap else Communication(found.busy, found.busy)


def _sent(training: Training, gpus: int, half: Callable[[float, int], float]) -> float:
    """MB of the step's collectives; ``half`` gives the bytes of a reduce-scatter or all-gather."""
    gradients = half(training.grad_bytes * training.parameters, gpus)
    if not training.sharded:
        return 2 * gradients / MEGABYTE
    units = fsdp_units(training.layers, 1.0, 1.0)
    gathered = sum(unit.parameters * (1 if unit.root else 2) for unit in units)
    return (gradients + half(WEIGHT_BYTES * gathered, gpus)) / MEGABYTE
