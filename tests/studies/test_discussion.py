"""The sentences on a claim's outcome agree with the numbers."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from study.report.discussion import discussion, span, too_weak
from study.report.sections import judgements
from study.results import Errors, pack, unpack

from tests.studies.cases import course, made_up, real_study

STUDY = real_study()
KERNELS, START, LRN = (next(c for c in STUDY.claims if c.name == name)
                       for name in ('kernels', 'start', 'lrn'))  # fmt: skip


def results(images=2000, **rates):
    """Results in which the given runs have these error rates (the usual protocol, one Q)."""
    found = made_up(STUDY, images)
    rng = np.random.default_rng(1)
    for run, rate in rates.items():
        for seed in STUDY.seeds:
            wrong = pack(rng.random(images) < rate)
            found['cifar10'].answers[f'{run.replace("_", "-")} usual one/{seed}'] = Errors(wrong)
    return found


def paragraphs(claim, found):
    """Judgement of a claim on CIFAR-10, and the paragraphs on it."""
    (one,) = [one for one in judgements(STUDY, found) if one.claim is claim]
    return one, discussion(STUDY, one, found)


def sentences(paragraph):
    return re.split(r'(?<=\.) (?=[A-Z])', paragraph)


@settings(deadline=None, max_examples=25)
@given(st.floats(0.05, 0.17), st.floats(0.05, 0.17), st.floats(0.05, 0.17))
def test_three_sentences_name_the_right_winner(b, c, d):
    one, (paragraph,) = paragraphs(KERNELS, results(B=b, C=c, D=d))
    found, beside, power = sentences(paragraph)
    for part, finding in zip(found.split('; '), one.findings):
        value, low, high = finding.paired.difference
        first, than = re.match(r'(?:On CIFAR-10, )?(\w) erred .* than (\w) |', part).groups()
        if first is None:  # equal errors
            assert f'{abs(value):.1f}' == '0.0'
            continue
        assert (first, than) in (('C', 'B'), ('D', 'C'))
        assert f'{abs(value):.1f} points {"less" if value < 0 else "more"} than' in part
        assert low <= 0 <= high or finding.p >= 0.05 or 'chance' not in part
        assert 'chance' in part or not low <= 0 <= high
    same = sum(f.paired.difference.value < 0 for f in one.findings)  # as in the paper
    assert beside.endswith(f'point the same way in {same} of 2.') and '-0.6 and -1.1' in beside
    halves = [f.paired.difference.half_width for f in one.findings]
    assert f'From 2,000 images and 3 seeds, differences of {span(halves)} points' in power


@pytest.mark.parametrize('spread, weak', [(0.0, False), (0.06, True)])
def test_too_little_power_for_the_papers_effect_is_stated(spread, weak):
    """Power is enough if the three seeds agree (20,000 images), and too low if they differ."""
    found = made_up(STUDY, 20_000)
    rng = np.random.default_rng(2)
    for run, rate in dict(B=0.12, C=0.115, D=0.1).items():
        for seed in STUDY.seeds:
            wrong = np.arange(20_000) < (rate + spread * rng.standard_normal()) * 20_000
            found['cifar10'].answers[f'{run} usual one/{seed}'] = Errors(pack(wrong))
    one, (paragraph,) = paragraphs(KERNELS, found)
    assert {too_weak(STUDY, KERNELS, finding) for finding in one.findings} == {weak}
    assert ("too little power to see the paper's own effect" in paragraph) == weak
    assert ("enough to see the paper's own effects" in paragraph) != weak


def test_power_of_a_no_improvement_claim_is_for_its_margin():
    one, (paragraph,) = paragraphs(LRN, results(images=300))
    (finding,) = one.findings
    assert finding.paired.difference.half_width > 1 and too_weak(STUDY, LRN, finding)
    assert 'too little power' in paragraph


def test_initialisations_are_described_by_whether_the_net_learns():
    found = results(A_var=0.3, D_glorot=0.15, D=0.12)
    labels = np.array(found['cifar10'].labels)
    guess = pack(labels != np.bincount(labels).argmax())
    for seed in STUDY.seeds:
        found['cifar10'].answers[f'D-var centre one/{seed}'] = Errors(guess)
    one, (paragraph,) = paragraphs(START, found)
    outcome, expected, power = sentences(paragraph)
    assert one.verdict == 'confirmed'
    assert 'A from variance 1e-2 learnt, with an error of' in outcome
    assert 'D from variance 1e-2 did not learn' in outcome and 'D from A learnt' in outcome
    assert expected.startswith('This is as the paper says for A from variance 1e-2, D from v')
    guessed = 100 * unpack(guess, len(labels)).mean()
    assert f'guessing errs on {guessed:.1f} %' in power
    for seed in STUDY.seeds:
        found['cifar10'].answers[f'A-var centre one/{seed}'] = Errors(guess)
    one, (paragraph,) = paragraphs(START, found)
    assert one.verdict == 'contradicted'
    assert 'other than it says for A from variance 1e-2' in paragraph


def test_comparisons_that_are_not_judged_are_listed_with_the_reason():
    found = results()
    found['cifar10'].courses['C/0'] = course('C', fall=2.0)
    _, (paragraph,) = paragraphs(KERNELS, found)
    assert paragraph == (
        'Not judged on CIFAR-10: C (seed 0) still got better by 2.0 points over the last fifth of '
        'its epochs.'
    )
    for seed in STUDY.seeds:
        del found['cifar10'].answers[f'C usual one/{seed}']
    _, (paragraph,) = paragraphs(KERNELS, found)
    assert paragraph.startswith(
        'Not finished on CIFAR-10: C beats B (multi-crop, one Q); D beats C'
    )
