"""Nets are compared only if they have learnt."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from study.learnt import last_fall, unlearnt, why_not_judged
from study.load import load_study
from study.report.sections import judgements
from study.results import Errors, Results, TrainingCurve, pack
from study.verdicts import NOT_JUDGED, UNDECIDED

from tests.studies.cases import course, made_up, real_study, tiny, write


def validated(errors, epochs=None, drops=(1.0, 2.0)):
    """Training curves with these validation errors, by default one after each epoch."""
    epochs = range(1, len(errors) + 1) if epochs is None else epochs
    return TrainingCurve(1.0, error_epochs=list(epochs), errors=list(errors), drops=list(drops))


@pytest.mark.parametrize('errors, epochs, fall', [
    ([90, 50, 30, 20, 19.5], None, 0.5),  # the last fifth begins after the fourth of five epochs
    ([90, 50, 30, 20, 25], None, -5),
    ([90, 40, 30], [4, 8, 10], 10),
    ([90, 40, 30], [4, 7, 10], 10),  # longer than a fifth without a validation in between
    ([30], [10], None),
    ([], [], None),
])  # fmt: skip
def test_the_last_fifth(errors, epochs, fall):
    found = last_fall(validated(errors, epochs))
    assert found == (None if fall is None else pytest.approx(fall))


@given(st.lists(st.floats(0, 100), min_size=5, max_size=60), st.integers(0, 4))
def test_the_rule_of_learning(errors, drops):
    """A net has learnt after two drops, if the last fifth improves by less than a point."""
    one = validated(errors, drops=range(drops))
    before = errors[(4 * len(errors)) // 5 - 1]
    assert (unlearnt(one) == '') == (drops >= 2 and before - errors[-1] < 1)


@pytest.mark.parametrize('one, words', [
    (course('D'), ''),
    (course('D', fall=2.5), 'still got better by 2.5 points over the last fifth of its epochs'),
    (course('D', drops=()), 'its rate had dropped twice (it did never)'),
    (course('D', drops=(12.0,)), 'its rate had dropped twice (it did once)'),
    (course('D', failed='the loss is nan at iteration 3'), '(the loss is nan at iteration 3)'),
    (validated([20], [24]), 'was not validated before the last fifth of its epochs'),
])  # fmt: skip
def test_reasons_why_a_net_has_not_learnt(one, words):
    assert (unlearnt(one) == '') == (words == '') and words in unlearnt(one)


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return real_study()


def verdicts(study, found, data='cifar10'):
    """Claim -> verdict on a data set."""
    by_claim = {one.claim.name: one.by_data.get(data) for one in judgements(study, found)}
    return {name: verdict for name, verdict in by_claim.items() if verdict is not None}


def test_all_claims_are_judged_if_all_nets_have_learnt(study):
    found = made_up(study)
    on_cifar10, on_clothing = verdicts(study, found), verdicts(study, found, 'clothing')
    assert not {*on_cifar10.values(), *on_clothing.values()} & {NOT_JUDGED, UNDECIDED}
    assert set(on_cifar10) == {claim.name for claim in study.claims} - {'protocols'}
    assert set(on_clothing) == {'jitter', 'scales', 'protocols', 'fusion'}


def test_an_unlearnt_net_leaves_its_claims_without_a_verdict(study):
    """One seed that has not learnt is enough; claims on other nets are judged."""
    found = made_up(study)
    found['cifar10'].courses['C/1'] = course('C', fall=3.0)
    assert {n for n, v in verdicts(study, found).items() if v == NOT_JUDGED} == {'kernels'}
    (judged,) = [one for one in judgements(study, found) if one.claim.name == 'kernels']
    for finding in judged.findings:
        assert finding.paired is None
        assert finding.reason.startswith('C (seed 1) still got better by 3.0 points')


def test_claims_on_learning_are_judged_even_if_nets_have_not_learnt(study):
    found = made_up(study)
    for run in study.runs:
        for seed in study.seeds:
            found['cifar10'].courses[f'{run}/{seed}'] = course(run, drops=())
    by_claim = verdicts(study, found)
    assert by_claim.pop('start') not in (NOT_JUDGED, UNDECIDED)
    assert set(by_claim.values()) == {NOT_JUDGED}


@pytest.mark.parametrize('error, judged', [(0.19, True), (0.21, False)])
def test_nets_are_compared_only_if_the_condition_holds(study, error, judged):
    """The condition is on D's mean error over the seeds, separately for each data set."""
    found = made_up(study)
    results = found['cifar10']
    wrong = np.arange(len(results.labels)) < error * len(results.labels)
    for seed in study.seeds:
        results.answers[f'D usual one/{seed}'] = Errors(pack(wrong))
    assert (set(verdicts(study, found).values()) == {NOT_JUDGED}) != judged
    assert NOT_JUDGED not in verdicts(study, found, 'clothing').values()
    data = study.data['cifar10']
    reason = why_not_judged(study, data, results, study.claims[1].comparisons[0])
    assert reason == (None if judged else 'D (multi-crop, one Q) errs on 21.0 %, more than 20 %')
    # Claims on both data sets are judged by the data sets on which the condition holds.
    assert {one.verdict for one in judgements(study, found)[4:8]}.isdisjoint({NOT_JUDGED})


def test_nets_are_not_compared_without_the_net_of_the_condition(study):
    found = made_up(study)
    for seed in study.seeds:
        del found['cifar10'].answers[f'D usual one/{seed}']
    by_claim = verdicts(study, found)
    assert by_claim['lrn'] == by_claim['five'] == NOT_JUDGED
    assert by_claim['depth'] == UNDECIDED, 'it needs D itself'


def test_without_a_condition_only_the_compared_nets_must_have_learnt(tmp_path):
    study = load_study(write(tmp_path, tiny()))
    found = made_up(study)
    assert verdicts(study, found, 'digits')['depth'] != NOT_JUDGED
    found['digits'].courses['A/0'] = course('A', drops=(1.0,))
    assert verdicts(study, found, 'digits')['depth'] == NOT_JUDGED


def test_a_claim_is_judged_only_on_its_data_sets(study):
    claims = tuple(one._replace(on=('clothing',)) for one in study.claims[4:8])
    there = replace(study, claims=claims)
    for one in judgements(there, made_up(there)):
        assert set(one.by_data) == {'clothing'} == {f.data for f in one.findings}


def test_a_net_that_guesses_has_not_learnt():
    stuck = validated([90.0] * 10, drops=(6, 8))
    assert unlearnt(stuck, 90.0) == 'guesses: it errs on 90.0 %' and not unlearnt(stuck)
    assert not unlearnt(validated([88.9] * 10, drops=(6, 8)), 90.0)
    labels = Results({}, labels=[0, 1, 1, 2])
    assert labels.chance == 50.0 and Results({}).chance is None
