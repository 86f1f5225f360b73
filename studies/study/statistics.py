"""Errors, differences and tests over images and seeds.

All functions take ``wrong``, a bool array (seeds, images): the images that each seed's net got
wrong.
"""

from collections.abc import Sequence
from math import hypot, sqrt
from typing import NamedTuple

import numpy as np

try:
    from scipy import stats
except ImportError as error:
    raise ImportError('the statistics of a study need a library: pip install scipy') from error

#: Confidence level of every interval.
LEVEL = 0.95

#: The corresponding quantile of the normal distribution.
Z = float(stats.norm.ppf((1 + LEVEL) / 2))


class Estimate(NamedTuple):
    """A value in percent and its 95 % confidence interval."""

    value: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the interval in percentage points: the smallest difference it can show."""
        return (self.high - self.low) / 2


class Paired(NamedTuple):
    """Two nets on the same images.

    Args:
        difference: Error of the first minus that of the second, in percentage points.
        p: p-value of McNemar's test, two-sided, mid-p.
        first_only, second_only: Images that only the first, or only the second, got wrong, averaged
            over the seeds.
        per_seed: The difference of each seed, in percentage points.
    """

    difference: Estimate
    p: float
    first_only: float
    second_only: float
    per_seed: tuple[float, ...]


def error(wrong: np.ndarray) -> Estimate:
    """Mean error over the seeds, in percent.

    The interval covers other images and other seeds: Wilson's half-width for the mean error on so
    many images, and Student's for the mean over the seeds, added in quadrature. As the spread over
    seeds already contains part of that over images, it is conservative. With one seed, it is
    Wilson's alone and says nothing about other seeds.
    """
    mean = float(wrong.mean())
    low, high = _wilson(mean, wrong.shape[1])
    seeds = _seed_half_width(wrong.mean(axis=1))
    return Estimate(
        100 * mean,
        100 * max(0.0, mean - hypot(mean - low, seeds)),
        100 * min(1.0, mean + hypot(high - mean, seeds)),
    )


def _wilson(share: float, count: int) -> tuple[float, float]:
    """Wilson's score interval (1927) of a share; ``share * count`` need not be a whole number."""
    scale = 1 + Z**2 / count
    centre = (share + Z**2 / (2 * count)) / scale
    half = Z * sqrt(share * (1 - share) / count + (Z / (2 * count)) ** 2) / scale
    return centre - half, centre + half


def compare(first: np.ndarray, second: np.ndarray) -> Paired:
    """Test whether two nets make equally many errors on the same images.

    The interval of the difference is computed like that of :func:`error`, with the normal
    half-width of the images' differences, averaged over the seeds.
    """
    if first.shape != second.shape:
        raise ValueError(f'paired test: {first.shape} and {second.shape} (seeds, images) differ')
    differences = first.astype(int) - second.astype(int)
    by_image, by_seed = differences.mean(axis=0), differences.mean(axis=1)
    images = len(by_image)
    half = Z * float(by_image.std(ddof=1)) / sqrt(images) if images > 1 else 1.0
    half = hypot(half, _seed_half_width(by_seed))
    mean = float(by_image.mean())
    return Paired(
        Estimate(100 * mean, 100 * max(-1.0, mean - half), 100 * min(1.0, mean + half)),
        mcnemar(differences.sum(axis=0)),
        float((differences > 0).sum(axis=1).mean()),
        float((differences < 0).sum(axis=1).mean()),
        tuple(100 * float(value) for value in by_seed),
    )


def _seed_half_width(means: np.ndarray) -> float:
    """Half-width of Student's interval of the mean over the seeds; 0 for one seed."""
    count = len(means)
    if count < 2:
        return 0.0
    quantile = float(stats.t.ppf((1 + LEVEL) / 2, count - 1))
    return quantile * float(means.std(ddof=1)) / sqrt(count)


def mcnemar(differences: np.ndarray) -> float:
    """Exact McNemar test of differences summed over seeds; two-sided mid-p.

    With one seed, it is McNemar's exact test: an image that only one net got wrong belongs to
    either net with probability 1/2. With several seeds, an image counts with all of them together,
    as images are independent but seeds on the same image are not: its difference, summed over the
    seeds, has either sign with probability 1/2 (an exact sign-flip test of the sum). The mid-p
    (Lancaster 1961) counts half of the probability of the observed outcome; the exact p is far too
    conservative if few images differ (Fagerland et al. 2013).

    Args:
        differences: (images,) int, errors of the first net minus errors of the second.
    """
    sizes = np.abs(differences[differences != 0])
    if not len(sizes):
        return 1.0
    total = int(sizes.sum())
    # Probability of each sum -total, ..., total: for each size, a binomial spread on its lattice.
    chances = np.ones(1)
    for size, count in zip(*np.unique(sizes, return_counts=True)):
        steps = np.zeros(2 * size * count + 1)
        steps[:: 2 * size] = stats.binom.pmf(np.arange(count + 1), count, 0.5)
        chances = np.convolve(chances, steps)
    sums = np.arange(-total, total + 1)
    observed = abs(int(differences.sum()))
    p = chances[np.abs(sums) > observed].sum() + chances[np.abs(sums) == observed].sum() / 2
    return float(min(1.0, p))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number (Holm 1979), in the order given."""
    order = np.argsort(p_values, kind='stable')
    adjusted, largest = np.empty(len(p_values)), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted.tolist()
