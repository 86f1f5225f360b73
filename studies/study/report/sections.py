"""The structure of a study's report, and its sections on the claims."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from vgg_mm.apis.document import Block, Heading, Plot, Table, Text

from .. import statistics
from ..learnt import why_not_judged
from ..results import Results, ResultsByData
from ..study import Claim, Study
from ..verdicts import (
    CONFIRMED,
    CONTRADICTED,
    NOT_JUDGED,
    NOT_SEEN,
    RULE,
    UNDECIDED,
    Answer,
    Finding,
    Judgement,
    guessing,
    judge,
)
from ..words import listing, seeds_words, sentence, side_words
from . import figures
from .discussion import discussion, so_far, span, too_weak
from .paper import WHOSE, paper_difference
from .planned import WORDS, conditions, planned
from .trained import commands, costs, trained

SUMMARY = ('no.', 'claim', 'paper', 'verdict')
SEEN, PAPERS = 'smallest visible, points', "paper's, points"
COMPARISONS = (
    'comparison', 'data', 'first, %', 'second, %', 'difference, points', SEEN, PAPERS, 'p', 'here',
)  # fmt: skip

NOTES = (
    'Errors are top-1 errors in percent in the mean over the seeds, with 95 % intervals over '
    'images and seeds (Wilson\'s for the images and Student\'s for the seeds, added in '
    'quadrature). A difference is the first error minus the second, in percentage points, so that '
    "below zero the first is better. Its interval's half-width is the smallest visible "
    "difference: an effect of the paper that is smaller could not have been seen, whatever came "
    "out. p is McNemar's, mid-p, of the errors summed over the seeds, with Holm's correction "
    'where the comparison decides; what is shown only does not.'
)  # fmt: skip

CAPTIONS = {
    'claim': 'The difference of each comparison and, where the paper has a figure, its own on '
    'ImageNet, on the same axis.',
    'curve': 'Top-1 error over Q, one Q at a time, dense evaluation; the bands are 95 % intervals.',
    'cost': 'Top-1 error over the time that an image takes, as measured beside what else ran; the '
    'time of an average is the sum of the times of its tests.',
}


def judgements(study: Study, found: ResultsByData) -> list[Judgement]:
    """The verdict on every claim."""
    return [judge(claim, _answers(study, claim, found)) for claim in study.claims]


def _answers(study: Study, claim: Claim, found: ResultsByData) -> dict[str, dict]:
    """Data sets of a claim -> its comparisons there and their answers."""
    answers: dict[str, dict] = {}
    for name, results in found.items():
        here = study.comparisons(claim, name)
        if not any(one.decides for one in here):
            continue
        answers[name] = {}
        for one in here:
            pair: Answer = results.pair(one, study.seeds)
            if pair is not None:
                pair = why_not_judged(study, study.data[name], results, one) or pair
            answers[name][one] = pair
    return answers


def report(study: Study, found: ResultsByData) -> list[Block]:
    """The whole report; while there are no results, a short page about the plan."""
    if not any(results.answers or results.courses for results in found.values()):
        return planned(study)
    judged = judgements(study, found)
    return [
        Heading(1, study.title),
        Text(_introduction(study, judged)),
        Text(WORDS),
        Heading(2, 'What was trained, and how well it learnt'),
        *conditions(study, found),
        *trained(study, found),
        Heading(2, 'Verdicts'),
        _summary(study, judged, found),
        Heading(2, 'The rule'),
        Text('Fixed before anything was trained, and applied by the program:'),
        *(Text(text, item=True) for text in RULE),
        Text(NOTES),
        Heading(2, 'Claim by claim'),
        Text(WHOSE),
        *(block for one in judged for block in _claim(study, one, found)),
        *_plot(study, 'curve', 'Error over Q', found),
        Heading(2, 'Limits'),
        *(Text(text, item=True) for text in study.limits),
        *([Text(study.earlier, item=True)] if study.earlier else []),
        Heading(2, 'Cost'),
        *costs(study, found),
        *_plot(study, 'cost', '', found),
        Heading(2, 'Commands'),
        *commands(study, found),
    ]  # fmt: skip


def _introduction(study: Study, judged: Sequence[Judgement]) -> str:
    verdicts = [one.verdict for one in judged]
    counts = [
        f'{verdicts.count(verdict)} {verdict}'
        for verdict in (CONFIRMED, CONTRADICTED, NOT_SEEN, NOT_JUDGED, UNDECIDED)
        if verdict in verdicts
    ]
    data = listing([one.title for one in study.data.values()])
    text = (
        f'{len(judged)} claims of arXiv 1409.1556, checked on {data}: {", ".join(counts)}. Profile '
        f'`{study.profile}`: {study.about}. Each net is trained with {seeds_words(study.seeds)}.'
    )
    if UNDECIDED in verdicts:
        text += (
            ' A claim has a verdict when its nets are trained with all seeds; results of some '
            'of the seeds alone decide nothing.'
        )
    return text


def _summary(study: Study, judged: Sequence[Judgement], found: ResultsByData) -> Table:
    rows = []
    for one in judged:
        deciding = [f for f in one.findings if f.comparison.decides]
        halves = [f.paired.difference.half_width for f in deciding if f.paired is not None]
        effects = [paper_difference(study, one.claim, f.comparison) for f in deciding]
        effects = [abs(effect) for effect in effects if effect is not None]
        rows.append([
            str(one.claim.number),
            one.claim.title,
            one.claim.section,
            f'**{one.verdict}**',
            *(_on(study, one, name) for name in found),
            span(halves) if halves else '',
            span(effects) if effects else '',
        ])  # fmt: skip
    data = (f'on {study.data[name].title}' for name in found)
    return Table([*SUMMARY, *data, SEEN, PAPERS], rows)


def _on(study: Study, one: Judgement, name: str) -> str:
    """A claim's verdict on a data set, with a note if the power was too low."""
    if name not in one.by_data:
        return '–'
    verdict = one.by_data[name]
    deciding = [f for f in one.findings if f.data == name and f.comparison.decides]
    if verdict == NOT_JUDGED:
        return f'{verdict}: {next(f.reason for f in deciding if f.reason)}'
    if verdict == NOT_SEEN and any(too_weak(study, one.claim, f) for f in deciding):
        return f"{verdict}: too little power for the paper's effect"
    return verdict


def _plot(study: Study, name: str, title: str, found: ResultsByData) -> list[Block]:
    if not getattr(study.plots, name):
        return []
    figure = getattr(figures, name)(study, found)
    if not any(panel.has_data() for panel in figure.axes):
        return []
    return [*([Heading(2, title)] if title else []), Plot(name, CAPTIONS[name], lambda: figure)]


def _claim(study: Study, one: Judgement, found: ResultsByData) -> list[Block]:
    claim = one.claim
    rows = [_comparison(study, claim, finding, found[finding.data]) for finding in one.findings]
    notes = [
        f'{study.data[name].title}: {side_words(study, study.data[name], side)} could not be '
        f'trained with {seeds_words(seeds)} (the loss was not finite) and is counted as guessing.'
        for name, results in found.items()
        for side in study.sides(study.data[name], claim)
        if (seeds := results.failed(side, study.seeds))
    ]
    if any(comparison.than is None for comparison in claim.comparisons):
        notes.append(_about_guessing(study, found))
    plot = Plot(claim.name, f'Claim {claim.number}. {CAPTIONS["claim"]}',
                partial(figures.claim, study, one))  # fmt: skip
    return [
        Heading(3, f'{claim.number}. {claim.title}: {one.verdict}'),
        Text(f'The paper (Section {claim.section}): {claim.says}'),
        *([plot] if any(f.paired is not None for f in one.findings) else []),
        *(Text(text) for text in discussion(study, one, found)),
        _without_empty(COMPARISONS, rows),
        *(Text(note, item=True) for note in notes),
    ]


def _without_empty(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A table without its empty columns."""
    kept = [i for i in range(len(headers)) if any(row[i] for row in rows)]
    return Table([headers[i] for i in kept], [[row[i] for i in kept] for row in rows])


def _about_guessing(study: Study, found: ResultsByData) -> str:
    errors = [
        f'{100 * guessing(np.array(results.labels), 1).mean():.1f} % on {study.data[name].title}'
        for name, results in found.items()
        if results.labels
    ]
    return (
        'Guessing, the second of these comparisons, answers the most frequent class of the test '
        'images always' + (f': an error of {", ".join(errors)}' if errors else '') + '.'
    )


def _comparison(study: Study, claim: Claim, finding: Finding, results: Results) -> list[str]:
    comparison, paired, data = finding.comparison, finding.paired, study.data[finding.data]
    text = sentence(study, data, comparison)
    text = text if comparison.decides else f'shown only: {text}'
    effect = paper_difference(study, claim, comparison)
    paper = '' if effect is None else f'{effect:+.1f}'
    if paired is None:
        why = finding.reason or so_far(study, finding, results)
        verdict = f'{finding.verdict}: {why}' if why else finding.verdict
        return [text, data.title, '', '', '', '', paper, '', verdict]
    first, second = results.pair(comparison, study.seeds)
    return [
        text,
        data.title,
        _estimate(statistics.error(first)),
        _estimate(statistics.error(second)),
        _estimate(paired.difference, sign=True),
        f'{paired.difference.half_width:.1f}',
        paper,
        f'{finding.p:.3f}' if finding.p >= 0.001 else '< 0.001',
        finding.verdict,
    ]


def _estimate(estimate: statistics.Estimate, sign: bool = False) -> str:
    form = '+.1f' if sign else '.1f'
    value, low, high = (format(number, form) for number in estimate)
    return f'{value} [{low}, {high}]'
