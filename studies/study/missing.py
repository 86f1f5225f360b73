"""What a study still needs for its results to be whole."""

from collections.abc import Sequence

from .evaluations import Trainings, evaluations
from .plan import Task
from .results import Results, read_results
from .study import Candidate, Study
from .trainings import Training, TrainingKey


def missing(study: Study, todo: Sequence[Task], found: Trainings) -> list[Task]:
    """The tasks without which results would be missing, in their order.

    What is in the results is not computed again, also where the folders of its runs are gone, as on
    another machine. A net that has to be trained again, because others start from it or are
    averaged with it, is tested again in all ways: answers of two nets do not mix.

    Args:
        study: The study.
        todo: What is asked for.
        found: All trainings of the study.
    """
    results = {name: read_results(study, name) for name in study.data}
    needed: set = set()
    for data, seed in dict.fromkeys((task.key.data, task.key.seed) for task in todo):
        part = [task for task in todo if (task.key.data, task.key.seed) == (data, seed)]
        needed |= _Part(study, data, seed, part, found).needed(results[data])
    return [task for task in todo if _key(task) in needed]


class _Part:
    """What is asked for of a data set and a seed."""

    def __init__(self, study: Study, data: str, seed: int, part: list[Task], found: Trainings):
        self.data = data
        self.seed = seed
        self.found = found
        self.asked = {task.key.run for task in part if isinstance(task, Training)}
        tested = {task.key.run for task in part if not isinstance(task, Training)}
        self.sides = [s for s in study.sides(study.data[data]) if tested & set(s.runs)]
        self.there = {run for run in self.asked if self._is_there(run)}

    def _is_there(self, run: str) -> bool:
        training = self._training(run)
        return training.done or bool(training.not_finite())

    def _training(self, run: str) -> Training:
        return self.found[TrainingKey(self.data, self.seed, run)]

    def needed(self, results: Results) -> set:
        """Keys of the tasks that are needed."""
        lacking = {s for s in self.sides if f'{s}/{self.seed}' not in results.answers}
        train = {run for run in self.asked if f'{run}/{self.seed}' not in results.courses}
        while True:
            more = self._runs_of(lacking) | train
            more |= {source for run in more - self.there if (source := self._source(run))}
            again = {side for side in self.sides if (more - self.there) & set(side.runs)}
            if more <= train and again <= lacking:
                break
            train |= more
            lacking |= again
        tests = {
            _key(test)
            for side in lacking
            for test in evaluations(side, self.data, self.seed, self.found)
        }
        return {TrainingKey(self.data, self.seed, run) for run in train} | tests

    def _runs_of(self, sides: set[Candidate]) -> set[str]:
        return {run for side in sides for run in side.runs}

    def _source(self, run: str) -> str:
        source = self._training(run).source
        return source.key.run if source else ''


def _key(task: Task) -> tuple:
    return task.key if isinstance(task, Training) else (task.key, task.part, task.q)
