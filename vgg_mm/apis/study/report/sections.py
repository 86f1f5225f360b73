"""The text and tables of a study's report."""

import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Optional

import numpy as np

from vgg_mm.apis.chain.report import duration

from .. import statistics
from ..results import Course, Results, results_path
from ..study import Claim, Study
from ..verdicts import RULE, UNDECIDED, Finding, Judgement, guessing, judge
from . import figures
from .blocks import Block, Commands, Heading, Plot, Rows, Text
from .paper import WHOSE, paper_error

Found = Mapping[str, Results]

SUMMARY = ('no.', 'claim', 'paper', 'verdict')
PAPERS = "paper's, ImageNet"
COMPARISONS = (
    'comparison', 'data', 'first, %', 'second, %', 'difference, points', 'p', 'here', PAPERS,
)  # fmt: skip

NOTES = (
    'Errors are top-1 errors in percent in the mean over the seeds, with 95 % intervals over '
    'images and seeds (Wilson\'s for the images and Student\'s for the seeds, added in '
    'quadrature). A difference is the first error minus the second, so that below zero the first '
    "is better. p is McNemar's, mid-p, of the errors summed over the seeds, with Holm's "
    'correction where the comparison decides; comparisons in brackets are shown and do not decide.'
)  # fmt: skip

CAPTIONS = {
    'effects': 'The difference of every comparison (number of its claim: first - second), with its '
    '95 % interval; hollow: shown only; the bar at a claim that something does not help is its '
    'margin.',
    'depth': "Top-1 error over depth; C is beside D. The panel at the right holds the paper's "
    'figures (S = 256).',
    'curve': 'Top-1 error over Q, one Q at a time, dense evaluation; the bands are 95 % intervals.',
    'cost': 'Top-1 error over the time that an image takes, as measured beside what else ran; the '
    'time of an average is the sum of the times of its tests.',
    'training': 'The course of trainings, a line a seed; dashed: the rate falls. The error is that '
    'of the test images, which decide nothing: the last checkpoint is tested.',
}


def judgements(study: Study, found: Found) -> list[Judgement]:
    """The verdict on every claim."""
    judged = []
    for claim in study.claims:
        answers: dict[str, dict] = {}
        for name, results in found.items():
            pairs = {one: results.pair(one, study.seeds) for one in claim.comparisons}
            answers[name] = {one: pair for one, pair in pairs.items() if pair is not None}
        judged.append(judge(claim, answers))
    return judged


def report(study: Study, found: Found) -> list[Block]:
    """The whole report."""
    judged = judgements(study, found)
    return [
        Heading(1, study.title),
        Text(_introduction(study)),
        Heading(2, 'The claims'),
        _summary(judged, list(found)),
        Heading(2, 'The rule'),
        Text('Fixed before anything was trained, and applied by the program:'),
        *(Text(text, item=True) for text in RULE),
        Text(NOTES),
        Heading(2, 'In pictures'),
        *_plots(study, judged, found),
        Heading(2, 'Claim by claim'),
        Text(f'Under "{PAPERS}", where it has a figure: {WHOSE}.'),
        *(block for one in judged for block in _claim(study, one, found)),
        Heading(2, 'What was trained'),
        *_trained(study, found),
        Heading(2, 'Time and machine'),
        *_costs(study, found),
        Heading(2, 'Commands'),
        *_commands(study, found),
    ]  # fmt: skip


def _introduction(study: Study) -> str:
    missing = 'Where results are missing the report says so.'
    return (
        f"The claims of Section 4 of arXiv 1409.1556, checked on other images than the paper's. "
        f'Profile `{study.profile}`: {study.about}. Every net is trained with the seeds '
        f'{", ".join(map(str, study.seeds))}. A verdict is on these nets, images and numbers of '
        f"epochs, which are far from the paper's. {missing}"
    )


def _summary(judged: Sequence[Judgement], data: Sequence[str]) -> Rows:
    rows = [
        [
            str(one.claim.number),
            one.claim.title,
            one.claim.section,
            f'**{one.verdict}**',
            *(one.by_data[name] for name in data),
        ]
        for one in judged
    ]
    return Rows([*SUMMARY, *(f'on {name}' for name in data)], rows)


def _plots(study: Study, judged: Sequence[Judgement], found: Found) -> list[Block]:
    if not any(results.answers or results.courses for results in found.values()):
        return [Text('No run is finished yet: every plot is missing.')]
    draw = {
        'effects': partial(figures.effects, judged, found),
        'depth': partial(figures.depth, study, found),
        'curve': partial(figures.curve, study, found),
        'cost': partial(figures.cost, study, found),
    }
    wanted = [name for name in draw if name == 'effects' or getattr(study.plots, name)]
    plots: list[Block] = [Plot(name, CAPTIONS[name], draw[name]) for name in wanted]
    if study.plots.training:
        for name, one in found.items():
            draw_one = partial(figures.training, study, name, one)
            plots.append(Plot(f'training_{name}', CAPTIONS['training'], draw_one))
    return plots


def _claim(study: Study, one: Judgement, found: Found) -> list[Block]:
    claim = one.claim
    rows = [_comparison(study, claim, finding, found[finding.data]) for finding in one.findings]
    notes = [
        f'{name}: {side} could not be trained with seed {", ".join(map(str, seeds))} (the loss was '
        'not finite) and is counted as guessing.'
        for name, results in found.items()
        for side in study.sides(study.data[name], claim)
        if (seeds := results.failed(side, study.seeds))
    ]
    if any(comparison.than is None for comparison in claim.comparisons):
        notes.append(_about_guessing(found))
    return [
        Heading(3, f'{claim.number}. {claim.title}: {one.verdict}'),
        Text(f'The paper (Section {claim.section}): {claim.says}'),
        _without_empty_last(COMPARISONS, rows),
        *(Text(note, item=True) for note in notes),
    ]


def _without_empty_last(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> Rows:
    """A table, without its last column where nothing is in it."""
    if any(row[-1] for row in rows):
        return Rows(headers, rows)
    return Rows(headers[:-1], [row[:-1] for row in rows])


def _about_guessing(found: Found) -> str:
    errors = [
        f'{100 * guessing(np.array(results.labels), 1).mean():.1f} % on {name}'
        for name, results in found.items()
        if results.labels
    ]
    return (
        'Guessing answers the most frequent class of the test images always'
        + (f': an error of {", ".join(errors)}' if errors else '')
        + '. A net that has learned nothing answers one class, too, maybe a rarer one, and can be '
        'worse than that.'
    )


def _comparison(study: Study, claim: Claim, finding: Finding, results: Results) -> list[str]:
    comparison, paired = finding.comparison, finding.paired
    text = str(comparison) if comparison.decides else f'({comparison})'
    papers = [
        paper_error(study, side, claim.paper_scale) for side in (comparison.better, comparison.than)
    ]
    paper = ' against '.join(f'{error:.1f}' for error in papers) if None not in papers else ''
    if paired is None:
        return [text, finding.data, UNDECIDED, UNDECIDED, '', '', finding.verdict, paper]
    first, second = results.pair(comparison, study.seeds)
    return [
        text,
        finding.data,
        _estimate(statistics.error(first)),
        _estimate(statistics.error(second)),
        _estimate(paired.difference, sign=True),
        f'{finding.p:.3f}' if finding.p >= 0.001 else '< 0.001',
        finding.verdict,
        paper,
    ]


def _estimate(estimate: statistics.Estimate, sign: bool = False) -> str:
    form = '+.1f' if sign else '.1f'
    value, low, high = (format(number, form) for number in estimate)
    return f'{value} [{low}, {high}]'


def _trained(study: Study, found: Found) -> list[Block]:
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
        Rows(headers, rows),
        Text('The runs, with the centre crop\'s error after the last epoch, in percent, of each '
             'seed:'),
        Rows(('run', 'net', 'S', 'initialiser', 'starts from', *found), runs),
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


def _costs(study: Study, found: Found) -> list[Block]:
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
    return [Rows(headers, rows), Text(text)]


def _keys(study: Study) -> list[str]:
    return [f'{run}/{seed}' for run in study.runs for seed in study.seeds]


def _courses(study: Study, results: Results) -> list[Course]:
    """Of the study's trainings, those that there are."""
    return [results.courses[key] for key in _keys(study) if key in results.courses]


def _in_mixed_precision(course: Course) -> bool:
    return '--amp' in course.command.split()


def _commands(study: Study, found: Found) -> list[Block]:
    command = shlex.join(['python', 'tools/run_study.py', study.path, '--profile', study.profile])
    courses = [course for results in found.values() for course in _courses(study, results)]
    # As most of the trainings were made.
    amp = ' --amp' if 2 * sum(map(_in_mixed_precision, courses)) > len(courses) else ''
    single = _example(study, found)
    blocks: list[Block] = [
        Text('Everything, going on where an earlier call stopped; then this page alone:'),
        Commands([command + amp, f'{command} --report-only']),
    ]
    if single:
        blocks += [Text('What it runs for one of the nets:'), Commands([single])]
    files = ', '.join(f'`{results_path(study, name)}`' for name in found)
    return [*blocks, Text(f'The numbers, image by image: {files}.')]


def _example(study: Study, found: Found) -> Optional[str]:
    """The command of the first training that there is."""
    for results in found.values():
        for key, course in results.courses.items():
            if study.runs.get(key.partition('/')[0]) and course.command:
                return course.command
    return None
