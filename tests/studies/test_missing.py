"""What a study computes if its results exist and the folders of its runs do not."""

import pytest
from study.evaluations import Evaluation
from study.plan import missing, select, tasks
from study.results import results_path
from study.trainings import Training, trainings

from tests.studies.cases import made_up, real_study


@pytest.fixture
def study(tmp_path, monkeypatch):
    """The study of the claims, in a folder without runs."""
    monkeypatch.chdir(tmp_path)
    return real_study()


@pytest.fixture
def whole(study):
    """Complete results; ``write`` saves them."""
    return made_up(study)


def write(study, results):
    for name, one in results.items():
        one.write(results_path(study, name))


def forget(results, seed, *words):
    """Remove the answers of a seed for these runs."""
    for key in list(results.answers):
        if key.endswith(f'/{seed}') and set(words) & set(key.partition(' ')[0].split('+')):
            del results.answers[key]


def needed(study, only=(), seeds=None):
    """Missing trainings as (data, seed, run), and tests as (data, seed, run, part, Q)."""
    found = trainings(study)
    todo = list(tasks(select(study, only), found, seeds or study.seeds))
    left = missing(study, todo, found)
    assert [task for task in todo if task in left] == left, 'in their order'
    trained = {tuple(task.key) for task in left if isinstance(task, Training)}
    tested = {(*task.key, task.part, task.q) for task in left if isinstance(task, Evaluation)}
    return trained, tested


def test_without_results_everything_is_missing(study):
    trained, tested = needed(study)
    runs = sum(len(study.runs_on(name)) for name in study.data)
    assert len(trained) == runs * len(study.seeds)
    assert {one[:3] for one in tested} <= trained


def test_with_all_results_nothing_is_missing(study, whole):
    write(study, whole)
    assert needed(study) == (set(), set())


def test_a_net_is_trained_again_from_a_source_and_both_are_tested(study, whole):
    forget(whole['cifar10'], 1, 'C')
    write(study, whole)
    trained, tested = needed(study)
    assert trained == {('cifar10', 1, 'A'), ('cifar10', 1, 'C')}
    assert tested == {('cifar10', 1, run, 'multi_crop', 42) for run in 'AC'}


def test_nets_that_are_averaged_are_trained_and_tested_together(study, whole):
    del whole['cifar10'].answers['E usual several/0']
    write(study, whole)
    trained, tested = needed(study)
    assert {run for *_, run in trained} == {'A', 'D', 'E'}
    assert {part for *_, run, part, _ in tested if run == 'D'} == {'multi_crop', 'centre'}


def test_a_training_without_curves_is_missing(study, whole):
    del whole['cifar10'].courses['B-random/2']
    write(study, whole)
    trained, tested = needed(study)
    assert trained == {('cifar10', 2, 'B-random')}
    assert tested == {('cifar10', 2, 'B-random', 'centre', 42)}


def test_only_selected_runs_are_trained(study, whole):
    forget(whole['cifar10'], 0, 'D-glorot', 'A-LRN')
    write(study, whole)
    assert needed(study, only=['lrn'])[0] == {('cifar10', 0, 'A-LRN')}
    assert needed(study, seeds=[1, 2]) == (set(), set())


def test_trained_nets_are_only_tested(study, whole, monkeypatch):
    forget(whole['cifar10'], 1, 'E')
    write(study, whole)
    monkeypatch.setattr(Training, 'done', True)
    trained, tested = needed(study)
    assert {run for *_, run in trained} == {'D', 'E'}, 'found done when their turn comes'
    several = {('D', 'multi_crop', q) for q in (36, 42, 48)}
    assert {one[2:] for one in tested if one[2] == 'D'} == several
