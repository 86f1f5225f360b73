"""A study's statistics, compared with SciPy and brute force, and its rule for verdicts."""

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from study.statistics import compare, error, holm, mcnemar
from study.study import (
    BETTER,
    LEARNS,
    NO_BETTER,
    STALLED,
    STALLS,
    Candidate,
    Claim,
    Comparison,
)
from study.verdicts import (
    CONFIRMED,
    CONTRADICTED,
    NOT_JUDGED,
    NOT_SEEN,
    UNDECIDED,
    guessing,
    judge,
    on_data_set,
    over_data_sets,
)

from tests.studies.cases import real_study

X, Y = Candidate(('X',), 'dense', 'one'), Candidate(('Y',), 'dense', 'one')
BEATS = Comparison(X, Y)
VERDICTS = (CONFIRMED, CONTRADICTED, NOT_SEEN, NOT_JUDGED, UNDECIDED)


def claim(*comparisons):
    return Claim(1, 'claim', 'A claim', '4.1', 'It is so.', None, comparisons)


def drawn(rates, images=400, seeds=3, number=0):
    """Independent random errors, an array (seeds, images) for each rate."""
    rng = np.random.default_rng(number)
    return [rng.random((seeds, images)) < rate for rate in rates]


@pytest.mark.parametrize('b, c', [(0, 0), (0, 1), (3, 0), (5, 2), (7, 7), (30, 12), (400, 380)])
def test_with_one_seed_it_is_mcnemars_exact_test(b, c):
    differences = np.array([1] * b + [-1] * c + [0] * 11)
    n, k = b + c, min(b, c)
    exact = stats.binomtest(k, n, 0.5).pvalue if n else 1.0
    ties = stats.binom.pmf(k, n, 0.5) * (1 if b == c else 2)
    assert mcnemar(differences) == pytest.approx(exact - ties / 2 if n else 1.0, abs=1e-12)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=9))
def test_with_several_seeds_it_is_a_sign_flip_test(differences):
    """It equals the enumeration of all assignments of signs to the images."""
    differences = np.array(differences)
    sums = np.array([np.dot(s, differences) for s in product((-1, 1), repeat=len(differences))])
    observed = abs(differences.sum())
    p = np.mean(np.abs(sums) > observed) + np.mean(np.abs(sums) == observed) / 2
    expected = p if differences.any() else 1.0
    assert mcnemar(differences) == pytest.approx(expected, abs=1e-12)


def test_large_numbers_are_close_to_the_normal_approximation():
    rng = np.random.default_rng(1)
    differences = rng.integers(-3, 4, 2000)
    z = differences.sum() / np.sqrt(np.sum(differences.astype(float) ** 2))
    assert mcnemar(differences) == pytest.approx(2 * stats.norm.sf(abs(z)), abs=2e-3)


def test_the_test_keeps_its_level():
    """About 5 % of equal nets differ at a level of 5 %, with errors correlated over the seeds."""
    rng = np.random.default_rng(2)
    found = 0
    for _ in range(400):
        hard = rng.random(200)
        one, two = (rng.random((3, 200)) < hard for _ in range(2))
        found += compare(one, two).p < 0.05
    assert 0.02 < found / 400 < 0.08


def test_holm_is_the_step_down_procedure():
    """The adjusted p-value is the smallest level at which the hypothesis is rejected."""
    p_values = [0.04, 0.001, 0.03, 0.2, 0.03]
    adjusted = holm(p_values)
    for level in np.linspace(0.0005, 1, 4000):
        rejected, order = set(), sorted(range(5), key=lambda i: p_values[i])
        for rank, index in enumerate(order):
            if p_values[index] > level / (5 - rank):
                break
            rejected.add(index)
        for index in range(5):
            assert (index in rejected) == (adjusted[index] <= level + 1e-9)
    assert holm([]) == [] and holm([0.3]) == [0.3]
    assert all(holm([p_values[i] for i in order]) == [adjusted[i] for i in order]
               for order in permutations(range(5)))  # fmt: skip


def test_with_one_seed_an_error_has_wilsons_interval():
    (wrong,) = drawn([0.3], seeds=1)
    found = error(wrong)
    expected = stats.binomtest(int(wrong.sum()), 400).proportion_ci(0.95, method='wilson')
    assert found.value == pytest.approx(100 * wrong.mean())
    assert (found.low, found.high) == pytest.approx((100 * expected.low, 100 * expected.high))


def test_the_seeds_part_is_students_interval():
    """With very many images, only the variation over the seeds remains."""
    rates = np.array([0.2, 0.25, 0.33])
    wrong = np.stack([np.arange(1_000_000) < rate * 1_000_000 for rate in rates])
    found = error(wrong)
    low, high = stats.t.interval(0.95, 2, rates.mean(), stats.sem(rates))
    assert (found.low, found.high) == pytest.approx((100 * low, 100 * high), abs=0.02)


@pytest.mark.parametrize('seed_spread', [0.0, 0.03, 0.1])
def test_intervals_contain_the_truth(seed_spread):
    """About 95 % of the intervals or more contain the mean if errors depend on image and seed."""
    rng = np.random.default_rng(3)
    held = np.zeros(2)
    for _ in range(400):
        # Two nets with mean error rates of 0.40 and 0.35 over all images and seeds.
        hard = rng.uniform(-0.2, 0.2, 150)
        luck = rng.normal(0, seed_spread, (2, 3, 1))
        rate = np.clip(np.array([0.40, 0.35])[:, None, None] + hard + luck, 0, 1)
        one, two = rng.random((2, 3, 150)) < rate
        first, difference = error(one), compare(one, two).difference
        held += [first.low <= 40 <= first.high, difference.low <= 5 <= difference.high]
    assert (held / 400 > 0.93).all()


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6), st.floats(0, 1), st.floats(0, 1), st.integers(1, 4))
def test_comparisons_are_symmetric(number, one, two, seeds):
    """Swapping the nets changes the signs; the order of images and seeds does not matter."""
    rng = np.random.default_rng(number)
    first, second = (rng.random((seeds, 60)) < rate for rate in (one, two))
    found, swapped = compare(first, second), compare(second, first)
    value, low, high = found.difference
    assert low <= value <= high and 0 <= found.p <= 1
    assert swapped.difference == pytest.approx((-value, -high, -low))
    assert swapped.p == pytest.approx(found.p, abs=1e-12)
    assert value == pytest.approx(100 * (found.first_only - found.second_only) / 60)
    images, order = rng.permutation(60), rng.permutation(seeds)
    shuffled = compare(first[order][:, images], second[order][:, images])
    assert shuffled.difference == pytest.approx(found.difference)
    assert shuffled.p == found.p


def test_nets_on_different_images_are_not_compared():
    with pytest.raises(ValueError, match=r'\(3, 400\) and \(2, 400\)'):
        compare(*drawn([0.3]), *drawn([0.3], seeds=2))


@pytest.mark.parametrize('rates, verdict', [
    ((0.2, 0.5), CONFIRMED), ((0.5, 0.2), CONTRADICTED), ((0.4, 0.4), NOT_SEEN),
])  # fmt: skip
def test_a_comparison_is_decided_by_both_tests(rates, verdict):
    judged = judge(claim(BEATS), {'photos': {BEATS: drawn(rates)}})
    assert judged.verdict == verdict and judged.by_data == {'photos': verdict}


def test_a_difference_between_images_alone_is_not_enough():
    """With one lucky seed of three, McNemar's test is significant, the interval over seeds not."""
    better, worse = drawn([0.3, 0.3])
    better[0] = False
    judged = judge(claim(BEATS), {'photos': {BEATS: (better, worse)}})
    (finding,) = judged.findings
    assert finding.p < 0.001 and finding.paired.difference.low < 0 < finding.paired.difference.high
    assert judged.verdict == NOT_SEEN


@pytest.mark.parametrize('rates, images, verdict', [
    ((0.3, 0.3), 40_000, CONFIRMED),  # precise enough to exclude an improvement of 5 points
    ((0.5, 0.3), 400, CONFIRMED),  # it is worse
    ((0.3, 0.3), 60, NOT_SEEN),  # too few images to exclude it
    ((0.1, 0.4), 400, CONTRADICTED),
])  # fmt: skip
def test_no_improvement_is_confirmed_only_by_a_narrow_interval(rates, images, verdict):
    comparison = Comparison(X, Y, NO_BETTER, margin=5)
    judged = judge(claim(comparison), {'photos': {comparison: drawn(rates, images)}})
    assert judged.verdict == verdict


def test_comparisons_that_are_only_shown_decide_nothing():
    shown = Comparison(Y, X, BETTER, decides=False)
    answers = {BEATS: drawn([0.2, 0.5]), shown: drawn([0.5, 0.2])}
    judged = judge(claim(BEATS, shown), {'photos': answers})
    assert [f.verdict for f in judged.findings] == [CONFIRMED, CONTRADICTED]
    assert judged.verdict == CONFIRMED


def test_more_comparisons_make_each_harder():
    """A p-value of 0.04 is enough alone, but not as one of four, even if the others are missing."""
    wrong = np.zeros((1, 60), bool), np.zeros((1, 60), bool)
    wrong[0][0, :5], wrong[1][0, 5:19] = True, True
    alone = judge(claim(BEATS), {'photos': {BEATS: wrong}})
    assert alone.findings[0].p == pytest.approx(0.0414, abs=5e-4) and alone.verdict == CONFIRMED
    others = [Comparison(X, Candidate((name,), 'dense', 'one')) for name in 'ZVW']
    judged = judge(claim(BEATS, *others), {'photos': {BEATS: wrong} | dict.fromkeys(others)})
    assert judged.findings[0].p == pytest.approx(4 * alone.findings[0].p)
    assert judged.findings[0].verdict == NOT_SEEN and judged.verdict == UNDECIDED


@given(st.lists(st.sampled_from(VERDICTS), min_size=1, max_size=4))
def test_the_rule(verdicts):
    """The rule, written independently of the code."""
    some, some_missing = set(verdicts), UNDECIDED in verdicts
    on_one, over = on_data_set(verdicts), over_data_sets(verdicts)
    assert (on_one == UNDECIDED) == (over == UNDECIDED) == some_missing
    assert (on_one == CONTRADICTED) == (CONTRADICTED in some and not some_missing)
    assert (on_one == CONFIRMED) == (some == {CONFIRMED})
    assert (over == CONTRADICTED) == (CONTRADICTED in some and not some_missing)
    assert (over == CONFIRMED) == (some - {NOT_SEEN, NOT_JUDGED} == {CONFIRMED})
    # A comparison that is not judged leaves the claim without a verdict on the data set; a data set
    # that is not judged leaves the verdict to the others.
    assert (on_one == NOT_JUDGED) == (NOT_JUDGED in some and not some & {CONTRADICTED, UNDECIDED})
    assert (over == NOT_JUDGED) == (some == {NOT_JUDGED})
    assert over_data_sets([*verdicts, NOT_JUDGED]) == over
    # A comparison or data set that contradicts a claim never improves its verdict.
    assert on_data_set([*verdicts, CONTRADICTED]) in (CONTRADICTED, UNDECIDED)
    assert over_data_sets([*verdicts, CONTRADICTED]) in (CONTRADICTED, UNDECIDED)


@pytest.mark.parametrize('learns', [True, False, None])
def test_a_net_learns_if_it_is_better_than_guessing(learns):
    """The paper's expectation is confirmed or contradicted, or not seen if the seeds differ."""
    labels = np.arange(1000) % 10
    (wrong,) = drawn([0.4 if learns else 0.9], len(labels))
    if learns is None:  # one seed of three learns a little
        wrong[0, :150] = False
    expected = {True: (CONFIRMED, CONTRADICTED), False: (CONTRADICTED, CONFIRMED),
                None: (NOT_SEEN, NOT_SEEN)}[learns]  # fmt: skip
    for kind, verdict in zip((LEARNS, STALLS), expected):
        one = Comparison(X, None, kind)
        judged = judge(claim(one), {'photos': {one: (wrong, guessing(labels, 3))}})
        assert judged.verdict == verdict
    assert STALLED == 5


def test_unjudged_comparisons_have_no_verdict_and_count_in_the_correction():
    wrong = drawn([0.3, 0.34], 4000)
    alone = judge(claim(BEATS), {'photos': {BEATS: wrong}})
    other = Comparison(X, Candidate(('Z',), 'dense', 'one'))
    judged = judge(claim(BEATS, other), {'photos': {BEATS: wrong, other: 'Z has not learnt'}})
    first, second = judged.findings
    assert (second.verdict, second.reason, second.paired) == (NOT_JUDGED, 'Z has not learnt', None)
    assert first.p == pytest.approx(2 * alone.findings[0].p)
    assert judged.verdict == NOT_JUDGED


def test_a_data_set_that_is_not_judged_leaves_the_verdict_to_the_others():
    answers = {'photos': {BEATS: drawn([0.2, 0.5])}, 'drawings': {BEATS: 'X has not learnt'}}
    judged = judge(claim(BEATS), answers)
    assert judged.by_data == {'photos': CONFIRMED, 'drawings': NOT_JUDGED}
    assert judged.verdict == CONFIRMED


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6), st.floats(0.1, 0.9), st.integers(50, 400))
def test_the_smallest_visible_difference_is_the_half_width(number, rate, images):
    """The interval excludes zero exactly if the difference is larger than its half-width."""
    difference = compare(*drawn([rate, rate / 2], images, number=number)).difference
    assert difference.half_width == pytest.approx((difference.high - difference.low) / 2)
    excludes_zero = difference.low > 0 or difference.high < 0
    assert excludes_zero == (abs(difference.value) > difference.half_width)


def test_a_claim_counts_all_data_sets_in_the_correction():
    study = real_study()
    one = study.claims[0]
    pairs = {comparison: drawn([0.3, 0.5]) for comparison in one.comparisons}
    judged = judge(one, {'clothing': pairs, 'cifar10': pairs})
    deciding = [f for f in judged.findings if f.comparison.decides]
    assert len(deciding) == 6 and judged.verdict == CONFIRMED
    smallest = min(f.paired.p for f in deciding)
    assert min(f.p for f in deciding) == pytest.approx(6 * smallest)


def test_guessing_is_the_most_frequent_class():
    labels = np.array([0, 1, 1, 2, 1])
    expected = [[True, False, False, True, False]] * 3
    np.testing.assert_array_equal(guessing(labels, 3), expected)
