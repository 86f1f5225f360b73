"""What a study has to do, in order, and what is there of it."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Union

from .checks import check_known
from .evaluations import Evaluation, Trainings, all_evaluations
from .study import Candidate, Claim, DataSet, Study
from .trainings import Training, TrainingKey

#: A thing to do.
Task = Union[Training, Evaluation]


class Selection(NamedTuple):
    """What is to be done on a data set.

    ``runs`` are those whose tests, of the ``sides``, are wanted, and those that they start from.
    """

    sides: list[Candidate]
    runs: list[str]
    tested: set[str]


def select(study: Study, only: Sequence[str] = ()) -> dict[str, Selection]:
    """What ``--only`` asks for, by data set.

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
    """Everything chosen, seed by seed; each training is followed by its tests."""
    for seed in seeds:
        for data, (sides, runs, tested) in chosen.items():
            tests = all_evaluations(sides, data, seed, found, tested)
            for run in runs:
                yield found[TrainingKey(data, seed, run)]
                yield from (test for test in tests if test.key.run == run)
