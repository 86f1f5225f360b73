"""From comparisons to a verdict on each claim, by a rule fixed in advance."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Optional, Union

import numpy as np

from . import statistics
from .statistics import Paired
from .study import LEARNS, NO_BETTER, STALLED, STALLS, Claim, Comparison

CONFIRMED, CONTRADICTED, NOT_SEEN = 'confirmed', 'contradicted', 'not seen here'

#: Not all of its comparisons have been made yet.
UNDECIDED = 'not finished'

#: Its nets have not learnt.
NOT_JUDGED = 'not judged'

#: Significance level of the tests, after the correction for their number.
ALPHA = 0.05

RULE = (
    '**Learnt first, compared then.** A net has learnt if, with every seed, its rate has dropped '
    'at least twice and its validation error, at least a point below that of guessing, fell by '
    'less than a point over the last fifth of its epochs. A comparison of nets of which one has '
    'not is **not judged**, and neither is any comparison on a data set whose condition does not '
    'hold (an error that one of its nets must reach first).',
    'A comparison of two nets, "X beats Y", is **confirmed** if McNemar\'s test on the images '
    'finds X better (mid-p, corrected by Holm for the number of comparisons that decide the '
    'claim, below 0.05) and the 95 % interval of the difference, over images and seeds, excludes '
    'zero; **contradicted** if both find X worse; else **not seen here**.',
    'That something does not help is confirmed if the interval excludes a help of as much as the '
    'margin (in percentage points of error), and contradicted if a help is found by both tests.',
    f'Whether a net learns at all is asked of any net, also of one that has not learnt by the '
    f'first point: it **learns** if both tests find it better than guessing (the most frequent '
    f'class always), and does not if the interval excludes that it is better by {STALLED:g} '
    'points. What the paper expects of it is confirmed or contradicted by that; in between it is '
    'not seen. A net whose loss was not finite counts as one that guesses.',
    'On a data set a claim is contradicted if one of the comparisons that decide it is, confirmed '
    'if all of them are, not judged if one of them is not, else not seen. Over the data sets on '
    'which it is judged it is **contradicted** if it is on one; **confirmed** if it is on one at '
    'least and contradicted on none; else **not seen here**. No seed is left out.',
)


class Finding(NamedTuple):
    """A comparison on a data set; ``p`` is that of ``paired``, corrected if the comparison decides.

    ``reason`` says why it is not judged.
    """

    comparison: Comparison
    data: str
    paired: Optional[Paired]
    p: Optional[float]
    verdict: str
    reason: str = ''


class Judgement(NamedTuple):
    """A claim's verdict, its verdict on each data set, and the findings behind them."""

    claim: Claim
    verdict: str
    by_data: dict[str, str]
    findings: list[Finding]


#: ``wrong`` of both sides (see :mod:`.statistics`), None if missing, or why it is not judged.
Answer = Union[Sequence[np.ndarray], str, None]


def judge(claim: Claim, answers: Mapping[str, Mapping[Comparison, Answer]]) -> Judgement:
    """Apply :data:`RULE`; ``answers``: data set -> comparison that is made on it -> its answer."""
    cases = {(name, one): a for name, some in answers.items() for one, a in some.items()}
    pairs = {key: a for key, a in cases.items() if a is not None and not isinstance(a, str)}
    tests = {key: statistics.compare(*pair) for key, pair in pairs.items()}
    p_values = {key: paired.p for key, paired in tests.items()}
    deciding = [key for key in cases if key[1].decides]
    # Missing comparisons count in the correction, so that they cannot change a verdict later.
    done = [key for key in deciding if key in tests]
    without = [1.0] * (len(deciding) - len(done))
    corrected = statistics.holm([p_values[key] for key in done] + without)
    p_values.update(zip(done, corrected))
    findings = []
    for (name, one), answer in cases.items():
        paired, p = tests.get((name, one)), p_values.get((name, one))
        reason = answer if isinstance(answer, str) else ''
        verdict = NOT_JUDGED if reason else verdict_of(one, paired, p)
        findings.append(Finding(one, name, paired, p, verdict, reason))
    by_data = {
        name: on_data_set([f.verdict for f in findings if f.data == name and f.comparison.decides])
        for name in answers
    }
    return Judgement(claim, over_data_sets(list(by_data.values())), by_data, findings)


def verdict_of(comparison: Comparison, paired: Optional[Paired], p: Optional[float]) -> str:
    """The verdict on one comparison; ``paired`` is ``better`` against ``than``."""
    if paired is None:
        return UNDECIDED
    value, low, high = paired.difference
    fewer = p < ALPHA and value < 0 and high < 0
    if comparison.kind in (LEARNS, STALLS):
        if fewer:
            return CONFIRMED if comparison.kind == LEARNS else CONTRADICTED
        if low > -STALLED:
            return CONTRADICTED if comparison.kind == LEARNS else CONFIRMED
        return NOT_SEEN
    if comparison.kind == NO_BETTER:
        if fewer:
            return CONTRADICTED
        return CONFIRMED if low > -comparison.margin else NOT_SEEN
    if fewer:
        return CONFIRMED
    return CONTRADICTED if p < ALPHA and value > 0 and low > 0 else NOT_SEEN


def on_data_set(verdicts: Sequence[str]) -> str:
    """A claim's verdict from those on the comparisons that decide it."""
    for one in (UNDECIDED, CONTRADICTED, NOT_JUDGED):
        if one in verdicts:
            return one
    return CONFIRMED if all(one == CONFIRMED for one in verdicts) else NOT_SEEN


def over_data_sets(verdicts: Sequence[str]) -> str:
    """A claim's verdict from those on the data sets; data sets without a judgement do not count."""
    if not verdicts or UNDECIDED in verdicts:
        return UNDECIDED
    for one in (CONTRADICTED, CONFIRMED, NOT_SEEN):
        if one in verdicts:
            return one
    return NOT_JUDGED


def guessing(labels: np.ndarray, seeds: int) -> np.ndarray:
    """``wrong`` of always answering the most frequent class, (seeds, images)."""
    answer = np.bincount(labels).argmax()
    return np.tile(labels != answer, (seeds, 1))
