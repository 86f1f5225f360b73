"""Collects a study's results from the folders of its runs."""

import os
import platform
from collections import defaultdict
from collections.abc import Iterable

import numpy as np
import torch

from vgg_mm.apis.chain.curves import read_curves, smooth
from vgg_mm.evaluation import wrong_images

from .evaluations import Evaluation, Trainings, all_evaluations, average, evaluations
from .results import Errors, Results, TrainingCurve, pack, read_results, results_path
from .study import Candidate, Study
from .trainings import Training
from .verdicts import guessing

#: Number of points that are kept of a loss curve.
POINTS = 60


def collect(study: Study, data: str, found: Trainings) -> Results:
    """Add the contents of the runs' folders to a data set's results, and write the results file.

    Results of runs whose folders are missing are kept.
    """
    results = read_results(study, data)
    sides = study.sides(study.data[data])
    for key, training in found.items():
        if key.data == data and (training.done or training.not_finite()):
            _note_curve(results, sides, training)
    # Losses that were not finite come last: they count as guessing, which needs the labels.
    cases = [
        (side, seed, evaluations(side, data, seed, found)) for side in sides for seed in study.seeds
    ]
    for side, seed, tests in cases:
        if all(test.done for test in tests):
            results.answers[f'{side}/{seed}'] = _errors(results, tests)
    for side, seed, tests in cases:
        if any(test.training.not_finite() for test in tests) and results.labels:
            wrong = guessing(np.array(results.labels), 1)[0]
            results.answers[f'{side}/{seed}'] = Errors(pack(wrong), failed=True)
    _note_costs(results, sides, data, study.seeds, found)
    if results.courses:
        results.write(results_path(study, data))
    return results


def _note_curve(results: Results, sides: list[Candidate], training: Training) -> None:
    """Store a training's curve; drop answers and tests of an earlier training of the same run."""
    run, seed = training.key.run, training.key.seed
    key = f'{run}/{seed}'
    before, course = results.courses.get(key), curve_of(training)
    if before is not None and before.finished != course.finished:
        for side in sides:
            if run in side.runs:
                results.answers.pop(f'{side}/{seed}', None)
        results.test_minutes.pop(key, None)
    results.courses[key] = course


def _errors(results: Results, tests: list[Evaluation]) -> Errors:
    content = average(tests)
    labels = content.labels.tolist()
    if results.labels and results.labels != labels:
        raise ValueError(
            f'{tests[0].posteriors}: its {len(labels)} images are not the {len(results.labels)} of '
            f'the results in {tests[0].training.study.results}: give the same images, or delete it'
        )
    results.labels = labels
    return Errors(
        pack(wrong_images(content.scores['mean'], content.labels, 1)),
        sum(test.seconds_per_image() for test in tests),
    )


def _note_costs(
    results: Results, sides: list[Candidate], data: str, seeds: Iterable[int], found: Trainings
) -> None:
    """Store the minutes of the finished tests, and the machine."""
    every = [one for seed in seeds for one in all_evaluations(sides, data, seed, found)]
    tests = [test for test in every if test.done]
    seconds: dict[str, float] = defaultdict(float)
    for test in tests:
        seconds[f'{test.key.run}/{test.key.seed}'] += test.seconds_per_image()
    for key, value in seconds.items():
        results.test_minutes[key] = round(value * len(results.labels) / 60, 3)
    if tests:
        results.machine = list(dict.fromkeys([*results.machine, machine_kind()]))


def curve_of(training: Training) -> TrainingCurve:
    """The course of a training, from the logs in its folder."""
    course = TrainingCurve(
        round(training.minutes, 2),
        training.shown_command(),
        failed=training.not_finite(),
        finished=training.finished or '',
    )
    try:
        curves = read_curves(training.folder)
    except ValueError:  # it ended before its first log line
        return course
    x, loss = curves.loss.T
    places = np.unique(np.linspace(0, len(x) - 1, POINTS).round().astype(int))
    finite = np.nan_to_num(loss, nan=0.0, posinf=0.0, neginf=0.0)
    smoothed = smooth(finite, max(1, len(x) // POINTS // 2))
    course.epochs = [round(float(v), 3) for v in x[places]]
    course.loss = [round(float(v), 4) for v in smoothed[places]]
    if 1 in curves.errors:
        epochs, errors = curves.errors[1].T
        course.error_epochs = [round(float(v), 3) for v in epochs]
        course.errors = [round(float(v), 2) for v in errors]
    course.drops = [round(float(v), 3) for v in curves.drops]
    return course


def machine_kind() -> str:
    """Processor or GPU in one line, without the host name."""
    if torch.cuda.is_available():
        return f'{torch.cuda.get_device_name()}, torch {torch.__version__}'
    capability = torch.backends.cpu.get_cpu_capability()
    return (
        f'{os.cpu_count()} cores of {_processor()} ({capability}), no GPU, torch '
        f'{torch.__version__.split("+")[0]}'
    )


def _processor() -> str:
    """Model name of the processor, if the system has it."""
    try:
        with open('/proc/cpuinfo', encoding='utf-8') as file:
            names = [line.partition(':')[2].strip() for line in file if 'model name' in line]
    except OSError:
        names = []
    return names[0] if names else platform.machine()
