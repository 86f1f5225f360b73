"""What a study has to do, in order, and what is there of it."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Optional, Union

from .checks import check_known
from .evaluations import Evaluation, Trainings, all_evaluations
from .study import Candidate, Study
from .trainings import Training, TrainingKey

#: A thing to do.
Task = Union[Training, Evaluation]


class Selection(NamedTuple):
    """Part of a study: its ``sides``, and the ``runs`` that they need with those before them.

    ``tested`` are the runs whose tests are wanted; None: all.
    """

    sides: dict[str, list[Candidate]]
    runs: list[str]
    tested: Optional[set[str]]


def select(study: Study, only: Sequence[str] = ()) -> Selection:
    """What ``--only`` asks for: names or numbers of claims, names of runs; everything if empty.

    Raises:
        ValueError: in one line, if there is no such claim or run.
    """
    claims = {claim.name: claim for claim in study.claims}
    numbers = {str(claim.number): claim.name for claim in study.claims}
    words = [numbers.get(word, word) for word in only]
    for word in words:
        check_known('--only', 'claim or run', word, [*claims, *study.runs])
    chosen = [claims[word] for word in words if word in claims]
    runs = {word for word in words if word in study.runs}
    sides = {
        name: study.sides(data)
        if runs or not only
        else list(dict.fromkeys(s for claim in chosen for s in study.sides(data, claim)))
        for name, data in study.data.items()
    }
    of_claims = {r for claim in chosen for d in study.data.values()
                 for side in study.sides(d, claim) for r in side.runs}  # fmt: skip
    tested = (runs | of_claims) if only else None
    needed = set(tested or {r for some in sides.values() for side in some for r in side.runs})
    for name in reversed(study.runs):  # a run comes after the one it starts from
        if name in needed and study.runs[name].source:
            needed.add(study.runs[name].source)
    return Selection(sides, [name for name in study.runs if name in needed], tested)


def tasks(
    study: Study, chosen: Selection, found: Trainings, seeds: Iterable[int]
) -> Iterator[Task]:
    """Everything chosen, seed by seed; each training is followed by its tests."""
    for seed in seeds:
        for data in study.data:
            tests = all_evaluations(chosen.sides[data], data, seed, found, chosen.tested)
            for run in (run for run in chosen.runs if run in study.runs_on(data)):
                yield found[TrainingKey(data, seed, run)]
                yield from (test for test in tests if test.key.run == run)
