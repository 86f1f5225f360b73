"""The part of a study's report on its trainings: what they are, their cost, their commands."""

import shlex
from typing import Any

from vgg_mm.apis.chain.run import duration
from vgg_mm.apis.document import Block, Commands, Table, Text

from ..results import Results, ResultsByData, TrainingCurve, results_path
from ..study import Study
from ..verdicts import UNDECIDED


def trained(study: Study, found: ResultsByData) -> list[Block]:
    """The settings, and how each run ended."""
    headers = ['', *found]
    rows: list[list[str]] = []
    settings = ('crop', 'width', 'fc_channels', 'scales', 'curve')
    for key in settings:
        rows.append([key, *(_value(getattr(study.data[name], key)) for name in found)])
    options = dict.fromkeys(key for name in found for key in study.data[name].options)
    for key in options:
        rows.append(
            [f'`{key}`', *(_value(study.data[name].options.get(key, '')) for name in found)]
        )
    rows.append(['config', *(f'`{study.data[name].config}`' for name in found)])
    rows.append(['test images', *(_value(len(r.labels) or UNDECIDED) for r in found.values())])
    runs = [
        [run.name, run.arch, run.scale, run.init or study.init, run.source or 'random',
         *(_state(study, run.name, results) for results in found.values())]
        for run in study.runs.values()
    ]  # fmt: skip
    return [
        Table(headers, rows),
        Text('The runs, with the centre crop\'s error after the last epoch, in percent, of each '
             'seed:'),
        Table(('run', 'net', 'S', 'initialiser', 'starts from', *found), runs),
    ]  # fmt: skip


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return '; '.join(f'{key} {_value(one)}' for key, one in value.items())
    return ', '.join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _state(study: Study, run: str, results: Results) -> str:
    states = []
    for seed in study.seeds:
        course = results.courses.get(f'{run}/{seed}')
        if course is None:
            states.append(UNDECIDED)
        elif course.failed:
            states.append(course.failed.removeprefix('the loss is '))
        else:
            states.append(f'{course.errors[-1]:.1f}' if course.errors else 'trained')
    return UNDECIDED if set(states) == {UNDECIDED} else ', '.join(states)


def costs(study: Study, found: ResultsByData) -> list[Block]:
    """Hours and machines."""
    rows, total = [], 0.0
    for name, results in found.items():
        keys = _keys(study)
        courses = _courses(study, results)
        minutes = sum(course.minutes for course in courses)
        testing = sum(results.test_minutes.get(key, 0.0) for key in keys)
        mixed = sum(map(_in_mixed_precision, courses))
        total += minutes + testing
        rows.append([
            name, f'{len(courses)} of {len(keys)}', str(mixed), duration(minutes),
            duration(testing), '; '.join(results.machine),
        ])  # fmt: skip
    headers = ('data', 'trainings', 'of them with `--amp`', 'training', 'testing', 'machine')
    text = (
        f'{duration(total)} in all. What ran side by side counts each in full, as long as it took '
        'there; start-up of the tools is in trainings and not in tests.'
    )
    return [Table(headers, rows), Text(text)]


def _keys(study: Study) -> list[str]:
    return [f'{run}/{seed}' for run in study.runs for seed in study.seeds]


def _courses(study: Study, results: Results) -> list[TrainingCurve]:
    """Of the study's trainings, those that there are."""
    return [results.courses[key] for key in _keys(study) if key in results.courses]


def _in_mixed_precision(course: TrainingCurve) -> bool:
    return '--amp' in course.command.split()


def commands(study: Study, found: ResultsByData) -> list[Block]:
    """How everything, and one training, can be made again."""
    words = ['python', 'studies/run.py', study.path, '--profile', study.profile]
    command = shlex.join(words + (['--out', study.out] if study.out else []))
    courses = [course for results in found.values() for course in _courses(study, results)]
    # As most of the trainings were made.
    amp = ' --amp' if 2 * sum(map(_in_mixed_precision, courses)) > len(courses) else ''
    blocks: list[Block] = [
        Text('Everything, going on where an earlier call stopped; then this page alone:'),
        Commands([command + amp, f'{command} --report-only']),
    ]
    if not study.out:
        blocks += [
            Text('What is in the results is not computed again. All of it from the start, with '
                 'results and report in a folder of their own:'),
            Commands([f'{command}{amp} --out work_dirs/study/again']),
        ]  # fmt: skip
    single = next((course.command for course in courses if course.command), None)
    if single:
        blocks += [Text('What it runs for one of the nets:'), Commands([single])]
    files = ', '.join(f'`{results_path(study, name)}`' for name in found)
    return [*blocks, Text(f'The numbers, image by image: {files}.')]
