"""Traffic and time of summing gradients over GPUs in nodes."""

from typing import NamedTuple


class Network(NamedTuple):
    """GPUs in nodes.

    Bandwidths are in GB/s (1e9 bytes), in each direction: ``intra`` is that of one GPU to the
    others in its node, ``inter`` that of all network cards of a node together, which its GPUs
    share. Latencies are in microseconds per hop.
    """

    gpus_per_node: int = 8
    intra: float = 300.0
    inter: float = 25.0
    intra_latency: float = 5.0
    inter_latency: float = 15.0

    def nodes(self, gpus: int) -> int:
        """Number of nodes for so many GPUs.

        Raises:
            ValueError: in one line, if there are several nodes and one of them is not full.
        """
        if gpus > self.gpus_per_node and gpus % self.gpus_per_node:
            raise ValueError(
                f'--gpus {gpus}: more than one node must be whole nodes of {self.gpus_per_node} '
                'GPUs; --gpus-per-node N changes that'
            )
        return -(-gpus // self.gpus_per_node)

    def half_ms(self, size: float, gpus: int) -> float:
        """Milliseconds of a ring reduce-scatter, or all-gather, of ``size`` bytes.

        In one node (p-1)/p * size / intra + (p-1) * latency (Patarasuk & Yuan 2009). Over M nodes
        of G GPUs, hierarchical: the G GPUs of each node divide the bytes among them, then each GPU
        has its own ring through all nodes for its 1/G of them; all G rings share the node's
        network cards.
        """
        nodes = self.nodes(gpus)
        inside = gpus // nodes
        transfer = (inside - 1) / inside * size / self.intra
        transfer += (nodes - 1) / nodes * size / self.inter
        hops = (inside - 1) * self.intra_latency + (nodes - 1) * self.inter_latency
        return transfer / 1e6 + hops / 1e3

    def all_reduce_ms(self, size: float, gpus: int) -> float:
        """Milliseconds of an all-reduce: a reduce-scatter and an all-gather."""
        return 2 * self.half_ms(size, gpus)

    def node_bytes(self, size: float, gpus: int) -> float:
        """Bytes that a node sends to others in :meth:`half_ms`; it receives as many."""
        nodes = self.nodes(gpus)
        return (nodes - 1) / nodes * size


def gpu_bytes(size: float, gpus: int) -> float:
    """Bytes that each GPU sends in a reduce-scatter or an all-gather, in a ring or hierarchical.

    Hierarchically it is (G-1)/G * size in the node and (M-1)/M * size/G between nodes, which is
    (p-1)/p * size again, as p = G M.
    """
    return (gpus - 1) / gpus * size
