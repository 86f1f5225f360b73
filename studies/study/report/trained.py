"""The sections of a study's report on its trainings: settings, results, cost, commands."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Optional

from vgg_mm.apis.document import Block, Commands, Heading, Plot, Table, Text
from vgg_mm.progress import short_duration

from ..learnt import how_it_ended, last_fall
from ..results import Results, ResultsByData, TrainingCurve, results_path
from ..study import DataSet, Study
from ..words import listing, pixels, run_words
from .figures import learning, trained_runs
from .planned import command

SETTINGS = {
    'crop': 'crop, pixels',
    'width': 'channels of the first block (64 in the paper)',
    'fc_channels': 'channels of fc6 and fc7 (4096 in the paper)',
}

NETS = (
    'net', 'S', 'initialiser', 'starts from', 'epochs', 'error at the end, %', 'drops of the rate',
    'last fifth, points', 'has learnt',
)  # fmt: skip

#: Shown instead of missing values.
NOT_YET = '–'

HOW_WELL = (
    'Of each net and seed: the error of the centre crop after the last epoch; how often the rate '
    'dropped; how far that error fell over the last fifth of the epochs (minus: it rose). '
    f'{NOT_YET}: not trained yet.'
)

COURSES = (
    'The error of the centre crop over the epochs, on a logarithmic scale; dashed: the rate drops.'
)


def trained(study: Study, found: ResultsByData) -> list[Block]:
    """The settings; then, for each data set, the final errors and curves of its nets."""
    blocks: list[Block] = [_settings(study, found), Text(HOW_WELL)]
    for name, results in found.items():
        data = study.data[name]
        runs, left = trained_runs(study, data, results)
        blocks.append(Heading(3, data.title))
        if runs:
            draw = partial(learning, study, data, results)
            blocks += [
                Table(NETS, [_net(study, data, run, results) for run in runs]),
                Plot(f'training_{name}', f'{data.title}. {COURSES}', draw),
            ]
        if brief := [run for run in runs if study.runs[run].brief]:
            epochs = listing(sorted({str(data.epochs(study.runs[run])) for run in brief}))
            blocks.append(
                Text(f'Of nets with {epochs} epochs it is only asked whether they learn at all.')
            )
        if left:
            nets = listing([run_words(study, data, run) for run in left])
            blocks.append(Text(f'Not trained yet: {nets}.'))
    return blocks


def _settings(study: Study, found: ResultsByData) -> Table:
    rows = [
        [text, *(str(getattr(study.data[name], key)) for name in found)]
        for key, text in SETTINGS.items()
    ]
    scales = dict.fromkeys(scale for name in found for scale in study.data[name].scales)
    for scale in scales:
        shown = (study.data[name].scales.get(scale, '') for name in found)
        rows.append([f'S, {scale}', *map(pixels, shown)])
    options = dict.fromkeys(key for name in found for key in study.data[name].options)
    for key in options:
        shown = (study.data[name].options.get(key, '') for name in found)
        rows.append([f'`{key}`', *map(_value, shown)])
    rows.append(['config', *(f'`{study.data[name].config}`' for name in found)])
    rows.append(['test images', *(_value(len(r.labels) or NOT_YET) for r in found.values())])
    return Table(['', *(study.data[name].title for name in found)], rows)


def _value(value: Any) -> str:
    return ', '.join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _net(study: Study, data: DataSet, name: str, results: Results) -> list[str]:
    run = study.runs[name]
    source = data.source(run)
    start = "the authors' convolutions" if data.fine_tuned else 'random'
    if source:
        layers = 'layers of' if run.staged_from else 'all of'
        start = f'{layers} {run_words(study, data, source)}'
    courses = [results.courses.get(f'{name}/{seed}') for seed in study.seeds]
    how_well = [_how_well(course, results.chance, run.brief) for course in courses]
    return [
        run_words(study, data, name),
        pixels(data.scales[run.scale]),
        run.init or study.init,
        start,
        str(data.epochs(run) or ''),
        *map(_each, zip(*how_well)),
    ]


def _how_well(
    course: Optional[TrainingCurve], chance: Optional[float], brief: bool
) -> tuple[str, ...]:
    """Final error, drops of the rate, fall over the last fifth, and whether it has learnt."""
    if course is None:
        return (NOT_YET,) * 4
    if course.failed:
        return course.failed.removeprefix('the loss is '), '', '', 'no'
    fall = last_fall(course)
    ended = how_it_ended(course, chance, brief)
    return (
        f'{course.errors[-1]:.1f}' if course.errors else 'trained',
        str(len(course.drops)),
        '?' if fall is None else f'{fall:.1f}',
        {'has learnt': 'yes', 'not learnt': 'no'}.get(ended, ended),
    )


def _each(values: Sequence[str]) -> str:
    """The value of each seed; a single one if all are the same."""
    return values[0] if len(set(values)) == 1 else ', '.join(values)


def costs(study: Study, found: ResultsByData) -> list[Block]:
    """Hours and machines."""
    rows, total = [], 0.0
    for name, results in found.items():
        keys = _keys(study, name)
        courses = _courses(study, name, results)
        minutes = sum(course.minutes for course in courses)
        testing = sum(results.test_minutes.get(key, 0.0) for key in keys)
        mixed = sum(map(_in_mixed_precision, courses))
        total += minutes + testing
        rows.append([
            study.data[name].title, f'{len(courses)} of {len(keys)}', str(mixed),
            short_duration(minutes), short_duration(testing), '; '.join(results.machine),
        ])  # fmt: skip
    headers = ('data', 'trainings', 'of them with `--amp`', 'training', 'testing', 'machine')
    text = (
        f'{short_duration(total)} in all. What ran side by side counts each in full, as long as it '
        'took there; start-up of the tools is in trainings and not in tests.'
    )
    return [Table(headers, rows), Text(text)]


def _keys(study: Study, data: str) -> list[str]:
    return [f'{run}/{seed}' for run in study.runs_on(data) for seed in study.seeds]


def _courses(study: Study, data: str, results: Results) -> list[TrainingCurve]:
    """Those of the study's trainings that exist."""
    return [results.courses[key] for key in _keys(study, data) if key in results.courses]


def _in_mixed_precision(course: TrainingCurve) -> bool:
    return '--amp' in course.command.split()


def commands(study: Study, found: ResultsByData) -> list[Block]:
    """The commands that repeat the whole study, and one training."""
    everything = command(study)
    courses = [one for name, results in found.items() for one in _courses(study, name, results)]
    # As in most of the trainings.
    amp = ' --amp' if 2 * sum(map(_in_mixed_precision, courses)) > len(courses) else ''
    blocks: list[Block] = [
        Text('Everything, going on where an earlier call stopped; then this page alone:'),
        Commands([everything + amp, f'{everything} --report-only']),
    ]
    if not study.out:
        blocks += [
            Text('What is in the results is not computed again. All of it from the start, with '
                 'results and report in a folder of their own:'),
            Commands([f'{everything}{amp} --out work_dirs/study/again']),
        ]  # fmt: skip
    single = next((course.command for course in courses if course.command), None)
    if single:
        blocks += [Text('What it runs for one of the nets:'), Commands([single])]
    files = ', '.join(f'`{results_path(study, name)}`' for name in found)
    return [*blocks, Text(f'The numbers, image by image: {files}.')]
