"""The tasks of a study in order, and those whose results are missing."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Union

from .checks import check_known
from .evaluations import Evaluation, Trainings, all_evaluations, evaluations
from .results import Results, read_results
from .study import Candidate, Claim, DataSet, Study
from .trainings import Training, TrainingKey

#: A training or a test.
Task = Union[Training, Evaluation]


class Selection(NamedTuple):
    """What to do on a data set.

    ``tested`` are the runs to test for the ``sides``; ``runs`` are these and the runs that they
    start from.
    """

    sides: list[Candidate]
    runs: list[str]
    tested: set[str]


def select(study: Study, only: Sequence[str] = ()) -> dict[str, Selection]:
    """What ``--only`` selects, by data set.

    Args:
        only: Names or numbers of claims, names of runs and of data sets; everything if empty.

    Raises:
        ValueError: in one line, if there is no such claim, run or data set.
    """
    claims = {claim.name: claim for claim in study.claims}
    numbers = {str(claim.number): claim.name for claim in study.claims}
    words = [numbers.get(word, word) for word in only]
    for word in words:
        check_known('--only', 'claim, run or data set', word, [*claims, *study.runs, *study.data])
    chosen = [claims[word] for word in words if word in claims]
    runs = {word for word in words if word in study.runs}
    selected = {}
    for name, data in study.data.items():
        if name in words or not study.data.keys() & words:
            selected[name] = _selection(study, data, chosen, runs)
    return selected


def _selection(study: Study, data: DataSet, claims: list[Claim], runs: set[str]) -> Selection:
    here = study.runs_on(data.name)
    sides = asked = study.sides(data)
    if claims or runs:
        asked = [side for claim in claims for side in study.sides(data, claim)]
    if not runs:
        sides = list(dict.fromkeys(asked))
    tested = runs.intersection(here) | {run for side in asked for run in side.runs}
    needed = set(tested)
    for name in reversed(here):  # a run comes after the one it starts from
        if name in needed and study.runs[name].source:
            needed.add(study.runs[name].source)
    return Selection(sides, [name for name in here if name in needed], tested)


def tasks(chosen: dict[str, Selection], found: Trainings, seeds: Iterable[int]) -> Iterator[Task]:
    """All selected tasks, seed by seed; each training is followed by its tests."""
    for seed in seeds:
        for data, (sides, runs, tested) in chosen.items():
            tests = all_evaluations(sides, data, seed, found, tested)
            for run in runs:
                yield found[TrainingKey(data, seed, run)]
                yield from (test for test in tests if test.key.run == run)


def missing(study: Study, todo: Sequence[Task], found: Trainings) -> list[Task]:
    """The tasks of ``todo`` whose results are missing, in their order.

    Existing results are not computed again, even if the folders of their runs are missing, for
    example on another machine. A net that has to be trained again, because others start from it or
    are averaged with it, is tested again with all protocols, so that the answers of two different
    nets are never mixed.
    """
    results = {name: read_results(study, name) for name in study.data}
    needed: set[Task] = set()
    for data, seed in dict.fromkeys((task.key.data, task.key.seed) for task in todo):
        part = [task for task in todo if (task.key.data, task.key.seed) == (data, seed)]
        needed |= _missing(study, data, seed, part, results[data], found)
    return [task for task in todo if task in needed]


def _missing(
    study: Study, data: str, seed: int, todo: list[Task], results: Results, found: Trainings
) -> set[Task]:
    """Those for one data set and seed."""
    asked = {task.key.run: task for task in todo if isinstance(task, Training)}
    trained = {run for run, training in asked.items() if training.done or training.not_finite()}
    tested = {task.key.run for task in todo if not isinstance(task, Training)}
    sides = [side for side in study.sides(study.data[data]) if tested & set(side.runs)]
    lacking = {side for side in sides if f'{side}/{seed}' not in results.answers}
    train = {run for run in asked if f'{run}/{seed}' not in results.courses}
    while True:
        more = train.union(*(side.runs for side in lacking))
        sources = [found[TrainingKey(data, seed, run)].source for run in more - trained]
        more |= {source.key.run for source in sources if source}
        again = {side for side in sides if (more - trained) & set(side.runs)}
        if more <= train and again <= lacking:
            break
        train |= more
        lacking |= again
    tests = (test for side in lacking for test in evaluations(side, data, seed, found))
    return {found[TrainingKey(data, seed, run)] for run in train}.union(tests)
