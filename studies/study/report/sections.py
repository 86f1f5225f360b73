"""The order of a study's report, and its part on the claims."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from vgg_mm.apis.document import Block, Heading, Plot, Table, Text

from .. import statistics
from ..results import Results, ResultsByData
from ..study import Claim, Study
from ..verdicts import RULE, UNDECIDED, Finding, Judgement, guessing, judge
from . import figures
from .paper import WHOSE, paper_error
from .trained import commands, costs, trained

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


def judgements(study: Study, found: ResultsByData) -> list[Judgement]:
    """The verdict on every claim."""
    judged = []
    for claim in study.claims:
        answers: dict[str, dict] = {}
        for name, results in found.items():
            pairs = {one: results.pair(one, study.seeds) for one in claim.comparisons}
            answers[name] = {one: pair for one, pair in pairs.items() if pair is not None}
        judged.append(judge(claim, answers))
    return judged


def report(study: Study, found: ResultsByData) -> list[Block]:
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
        *trained(study, found),
        Heading(2, 'Time and machine'),
        *costs(study, found),
        Heading(2, 'Commands'),
        *commands(study, found),
    ]  # fmt: skip


def _introduction(study: Study) -> str:
    missing = 'Where results are missing the report says so.'
    return (
        f"The claims of Section 4 of arXiv 1409.1556, checked on other images than the paper's. "
        f'Profile `{study.profile}`: {study.about}. Every net is trained with the seeds '
        f'{", ".join(map(str, study.seeds))}. A verdict is on these nets, images and numbers of '
        f"epochs, which are far from the paper's. {missing}"
    )


def _summary(judged: Sequence[Judgement], data: Sequence[str]) -> Table:
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
    return Table([*SUMMARY, *(f'on {name}' for name in data)], rows)


def _plots(study: Study, judged: Sequence[Judgement], found: ResultsByData) -> list[Block]:
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


def _claim(study: Study, one: Judgement, found: ResultsByData) -> list[Block]:
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


def _without_empty_last(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A table, without its last column where nothing is in it."""
    if any(row[-1] for row in rows):
        return Table(headers, rows)
    return Table(headers[:-1], [row[:-1] for row in rows])


def _about_guessing(found: ResultsByData) -> str:
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
