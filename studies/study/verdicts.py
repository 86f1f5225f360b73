"""From comparisons to a verdict on each claim, by a rule that is fixed beforehand."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Optional

import numpy as np

from . import statistics
from .statistics import Paired
from .study import NO_BETTER, Claim, Comparison

CONFIRMED, CONTRADICTED, NOT_SEEN = 'confirmed', 'contradicted', 'not seen here'

#: Not all of its comparisons have been made yet.
UNDECIDED = 'missing'

#: Level of the tests, after the correction for their number.
ALPHA = 0.05

RULE = (
    'A comparison of two nets, "X beats Y", is **confirmed** if McNemar\'s test on the images '
    'finds X better (mid-p, corrected by Holm for the number of comparisons that decide the '
    'claim, below 0.05) and the 95 % interval of the difference, over images and seeds, excludes '
    'zero; **contradicted** if both find X worse; else **not seen here**.',
    'That something does not help is confirmed if the interval excludes a help of as much as the '
    'margin (in percentage points of error), and contradicted if a help is found by both tests.',
    'On a data set a claim is contradicted if one of the comparisons that decide it is, confirmed '
    'if all of them are, else not seen. Over the data sets it is **contradicted** if it is on one; '
    '**confirmed** if it is on one at least and contradicted on none; else **not seen here**.',
    'A net whose loss was not finite in training is counted as one that answers the same class '
    'always, the most frequent one. Nothing is left out: no seed, no data set.',
)


class Finding(NamedTuple):
    """A comparison on a data set; ``p`` is that of ``paired``, corrected where it decides."""

    comparison: Comparison
    data: str
    paired: Optional[Paired]
    p: Optional[float]
    verdict: str
    seeds: int = 0


class Judgement(NamedTuple):
    """A claim's verdict, that on each data set, and what they rest on."""

    claim: Claim
    verdict: str
    by_data: dict[str, str]
    findings: list[Finding]


def judge(claim: Claim, answers: Mapping[str, Mapping[Comparison, tuple]]) -> Judgement:
    """Apply :data:`RULE`.

    Args:
        claim: The claim.
        answers: Data set -> comparison -> the ``wrong`` of its two sides (see
            :mod:`.statistics`); without the comparisons that are not complete.
    """
    pairs = [(name, one) for name in answers for one in claim.comparisons]
    tests: dict[tuple, Paired] = {
        (name, one): statistics.compare(*answers[name][one])
        for name, one in pairs
        if one in answers[name]
    }
    p_values = {key: paired.p for key, paired in tests.items()}
    deciding = [key for key in pairs if key[1].decides]
    # Those still missing count in the correction, so that a verdict does not change by it later.
    missing = [1.0] * sum(key not in tests for key in deciding)
    done = [key for key in deciding if key in tests]
    corrected = statistics.holm([p_values[key] for key in done] + missing)
    p_values.update(zip(done, corrected))
    findings = [
        Finding(
            one, name, tests.get((name, one)), p_values.get((name, one)),
            verdict_of(one, tests.get((name, one)), p_values.get((name, one))),
            len(answers[name][one][0]) if one in answers[name] else 0,
        )
        for name, one in pairs
    ]  # fmt: skip
    by_data = {
        name: on_data_set([f.verdict for f in findings if f.data == name and f.comparison.decides])
        for name in answers
    }
    return Judgement(claim, over_data_sets(list(by_data.values())), by_data, findings)


def verdict_of(comparison: Comparison, paired: Optional[Paired], p: Optional[float]) -> str:
    """That on one comparison; ``paired`` is of ``better`` against ``than``."""
    if paired is None:
        return UNDECIDED
    value, low, high = paired.difference
    fewer = p < ALPHA and value < 0 and high < 0
    if comparison.kind == NO_BETTER:
        if fewer:
            return CONTRADICTED
        return CONFIRMED if low > -comparison.margin else NOT_SEEN
    if fewer:
        return CONFIRMED
    return CONTRADICTED if p < ALPHA and value > 0 and low > 0 else NOT_SEEN


def on_data_set(verdicts: Sequence[str]) -> str:
    """A claim's verdict from those on the comparisons that decide it."""
    if UNDECIDED in verdicts:
        return UNDECIDED
    if CONTRADICTED in verdicts:
        return CONTRADICTED
    return CONFIRMED if all(one == CONFIRMED for one in verdicts) else NOT_SEEN


def over_data_sets(verdicts: Sequence[str]) -> str:
    """A claim's verdict from those on the data sets."""
    if not verdicts or UNDECIDED in verdicts:
        return UNDECIDED
    if CONTRADICTED in verdicts:
        return CONTRADICTED
    return CONFIRMED if CONFIRMED in verdicts else NOT_SEEN


def guessing(labels: np.ndarray, seeds: int) -> np.ndarray:
    """``wrong`` of always answering the most frequent class, (seeds, images)."""
    answer = np.bincount(labels).argmax()
    return np.tile(labels != answer, (seeds, 1))
