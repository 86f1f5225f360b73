"""The goals of the measurements."""

from typing import NamedTuple


class Goal(NamedTuple):
    """A bound on a ratio or a difference."""

    bound: float
    at_least: bool = True

    def __str__(self) -> str:
        return f'at {"least" if self.at_least else "most"} {self.bound:g}'

    def verdict(self, value: float) -> str:
        """'reached' or 'missed'."""
        reached = value >= self.bound if self.at_least else value <= self.bound
        return 'reached' if reached else 'missed'


def at_most(bound: float) -> Goal:
    return Goal(bound, at_least=False)


#: Times as fast as the peer (jitter.py), by set of files.
JITTER = {
    'photos': {'MMPretrain': Goal(1.6), 'decoding alone': Goal(1.2)},
    '12 megapixels': {'MMPretrain': Goal(4.0)},
}

#: Times as fast as the peer on a CPU, in float32 and in bfloat16 (model_speed.py).
MODEL_SPEED = {
    'training iteration': (Goal(1.25), Goal(2.2)),
    'training iteration with data': (Goal(1.25), Goal(2.2)),
    'inference': (Goal(1.3), Goal(1.3)),
}

#: Peak memory of a training iteration relative to the peer's (model_speed.py --memory).
MODEL_MEMORY = {'vgg_mm': at_most(1), 'vgg_mm, with_cp': at_most(0.5)}

#: (b) and (c): times as fast as (a); (d): time relative to (b) plus (c) (test_protocols.py).
TEST_PROTOCOLS = {'b': Goal(1.25), 'c': Goal(6.5), 'd': at_most(1.02)}

#: The same with (b) to (d) in bfloat16.
TEST_PROTOCOLS_AMP = {'b': Goal(2)}

#: Share of an iteration that is spent inside the guards (guards.py).
GUARDS = at_most(0.01)

#: Time relative to the peer's (start_up.py).
START_UP = {
    'import': at_most(1.05),
    'train.py --help': at_most(0.5),
    'test.py --help': at_most(0.5),
}

#: By how much a curve's exponent may exceed that of the work it does (growth.py).
GROWTH = at_most(0.1)

#: Memory held at the end relative to that after three fifths of the images (memory.py).
MEMORY = at_most(1.05)
