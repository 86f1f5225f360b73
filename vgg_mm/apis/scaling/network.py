"""How long GPUs take to sum a gradient."""

from typing import NamedTuple


class Network(NamedTuple):
    """GPUs in nodes. Bandwidths are GB/s in each direction, latencies microseconds a hop.

    Inside a node the bandwidth is one GPU's; between nodes it is that of all network cards of a
    node together, which its GPUs share.
    """

    gpus_per_node: int
    inside_bandwidth: float
    between_bandwidth: float
    inside_latency: float
    between_latency: float

    def check(self) -> 'Network':
        """Itself.

        Raises:
            ValueError: in one line, if a number makes no sense.
        """
        gpus = self.gpus_per_node
        if gpus < 1 or gpus & (gpus - 1):
            raise ValueError(f'--gpus-per-node must be a power of two, got {gpus}')
        if min(self.inside_bandwidth, self.between_bandwidth) <= 0:
            raise ValueError('--bandwidth-gbs must be positive')
        if min(self.inside_latency, self.between_latency) < 0:
            raise ValueError('--latency-us must not be negative')
        return self

    def ring_ms(self, size: float, gpus: int) -> float:
        """Milliseconds of a ring all-reduce of ``size`` bytes.

        2(N-1)/N * size / bandwidth + 2(N-1) * latency (Patarasuk & Yuan 2009): N-1 steps of
        reduce-scatter, N-1 of all-gather. Over M nodes, 2M of the hops are between nodes, as NCCL
        counts them, and the narrower link limits the bandwidth.
        """
        nodes, hops = self._nodes(gpus), 2 * (gpus - 1)
        between = min(2 * nodes, hops) if nodes > 1 else 0
        bandwidth = self.inside_bandwidth
        if nodes > 1:
            bandwidth = min(bandwidth, self.between_bandwidth)
        latency = (hops - between) * self.inside_latency + between * self.between_latency
        return _transfer_ms(2 * (gpus - 1) / gpus * size, bandwidth) + latency / 1e3

    def hierarchical_ms(self, size: float, gpus: int) -> float:
        """Milliseconds of a reduce-scatter in each node, rings between nodes, an all-gather.

        Between nodes each of a node's G GPUs sums its own 1/G of the bytes; the three phases come
        one after the other.
        """
        nodes = self._nodes(gpus)
        inside = min(gpus, self.gpus_per_node)
        hops = 2 * (inside - 1) * self.inside_latency + 2 * (nodes - 1) * self.between_latency
        return (
            _transfer_ms(2 * (inside - 1) / inside * size, self.inside_bandwidth)
            + _transfer_ms(2 * (nodes - 1) / nodes * size, self.between_bandwidth)
            + hops / 1e3
        )

    def all_reduce_ms(self, size: float, gpus: int) -> float:
        """The faster of the two."""
        return min(self.ring_ms(size, gpus), self.hierarchical_ms(size, gpus))

    def _nodes(self, gpus: int) -> int:
        return -(-gpus // self.gpus_per_node)


def sent_bytes(size: float, gpus: int) -> float:
    """What each GPU sends in an all-reduce, of either kind; as much comes in."""
    return 2 * (gpus - 1) / gpus * size


def _transfer_ms(size: float, gigabytes_per_second: float) -> float:
    return size / gigabytes_per_second / 1e6
