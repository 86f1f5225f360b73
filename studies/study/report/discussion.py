"""The outcome of a claim, in three sentences generated from the numbers."""

from collections.abc import Sequence

import numpy as np

from .. import statistics
from ..results import Results, ResultsByData
from ..study import LEARNS, Claim, DataSet, Study
from ..verdicts import ALPHA, CONFIRMED, CONTRADICTED, NOT_SEEN, Finding, Judgement, guessing
from ..words import listing, pair_words, seeds_words, sentence, start_words
from .paper import paper_difference


def discussion(study: Study, one: Judgement, found: ResultsByData) -> list[str]:
    """One paragraph per data set: the findings, the paper's effect, and the statistical power.

    It covers the comparisons that decide the claim. What is not finished or not judged is stated
    instead, or after it.
    """
    paragraphs = []
    for name in one.by_data:
        findings = [f for f in one.findings if f.data == name and f.comparison.decides]
        if not findings:
            continue
        data = study.data[name]
        judged = [f for f in findings if f.paired is not None]
        sentences = []
        if judged:
            net = judged[0].comparison.than is None
            sentences += [
                f'On {data.title}, {"; ".join(_found(study, data, f, found) for f in judged)}.',
                _expected(study, data, judged) if net else _beside(study, one.claim, judged),
                _power(study, data, one.claim, judged, found),
            ]
        sentences += _without(study, data, findings, found)
        paragraphs.append(' '.join(sentences))
    return paragraphs


def _found(study: Study, data: DataSet, finding: Finding, found: ResultsByData) -> str:
    """'D erred on 12.3 %, 1.8 points less than A from A (dense, one Q)'."""
    comparison = finding.comparison
    first, _ = found[data.name].pair(comparison, study.seeds)
    error = f'{statistics.error(first).value:.1f} %'
    if comparison.than is None:
        net = start_words(study, data, comparison.better)
        return f'{net} {_learning(finding)}, with an error of {error}'
    value = finding.paired.difference.value
    better, than, test = pair_words(study, data, comparison)
    words = f'{abs(value):.1f} points {"less" if value < 0 else "more"} than'
    if f'{abs(value):.1f}' == '0.0':
        words = 'as much as'
    chance = ', which may be chance' if _by_chance(finding) else ''
    return f'{better} erred on {error}, {words} {than}{test}{chance}'


def _by_chance(finding: Finding) -> bool:
    """Whether the interval contains zero, or the corrected test found nothing."""
    return (
        finding.paired.difference.low <= 0 <= finding.paired.difference.high or finding.p >= ALPHA
    )


def _learning(finding: Finding) -> str:
    learnt = CONFIRMED if finding.comparison.kind == LEARNS else CONTRADICTED
    if finding.verdict == NOT_SEEN:
        return 'may or may not have learnt'
    return 'learnt' if finding.verdict == learnt else 'did not learn'


def _expected(study: Study, data: DataSet, judged: Sequence[Finding]) -> str:
    """Comparison with what the paper says of each start."""
    by_verdict = {
        verdict: [start_words(study, data, f.comparison.better) for f in judged
                  if f.verdict == verdict]
        for verdict in (CONFIRMED, CONTRADICTED, NOT_SEEN)
    }  # fmt: skip
    texts = ('as the paper says for', 'other than it says for', 'open for')
    parts = [f'{text} {listing(nets)}' for text, nets in zip(texts, by_verdict.values()) if nets]
    return f'This is {", ".join(parts)}.'


def _beside(study: Study, claim: Claim, judged: Sequence[Finding]) -> str:
    """Comparison with the paper's effects."""
    effects = [paper_difference(study, claim, finding.comparison) for finding in judged]
    pairs = [
        (finding.paired.difference.value, effect)
        for finding, effect in zip(judged, effects)
        if effect is not None
    ]
    if not pairs:
        return 'The paper gives no figures for these comparisons.'
    of = f' ({len(pairs)} of {len(judged)} have one)' if len(pairs) < len(judged) else ''
    same = sum(value * effect > 0 for value, effect in pairs)
    if len(pairs) == 1:
        ((value, effect),) = pairs
        text = 'points the same way' if same else 'does not point the same way'
        return (
            f"The paper's difference on ImageNet is {effect:+.1f} points{of}: ours of "
            f'{value:+.1f} {text}.'
        )
    return (
        f"The paper's differences on ImageNet are {listing([f'{e:+.1f}' for _, e in pairs])} "
        f'points{of}: ours of {listing([f"{v:+.1f}" for v, _ in pairs])} point the same way in '
        f'{same} of {len(pairs)}.'
    )


def _power(
    study: Study, data: DataSet, claim: Claim, judged: Sequence[Finding], found: ResultsByData
) -> str:
    """The smallest detectable difference, and whether the paper's effect would be detected."""
    labels = np.array(found[data.name].labels)
    halves = [finding.paired.difference.half_width for finding in judged]
    images = f'From {len(labels):,} images and {len(study.seeds)} seed'
    images += 's' if len(study.seeds) > 1 else ''
    if judged[0].comparison.than is None:
        return (
            f'{images}, the 95 % intervals reach at most {max(halves):.1f} points to either side, '
            f'and guessing errs on {100 * guessing(labels, 1).mean():.1f} %.'
        )
    text = f'{images}, differences of {span(halves)} points and more would have been seen'
    low = [f for f in judged if too_weak(study, claim, f)]
    if low:
        which = '' if len(low) == len(judged) else f': {"; ".join(_claims(study, data, low))}'
        return f"{text}, which is too little power to see the paper's own effect{which}."
    known = any(paper_difference(study, claim, f.comparison) is not None for f in judged)
    return f"{text}, which is enough to see the paper's own effects." if known else f'{text}.'


def _claims(study: Study, data: DataSet, findings: Sequence[Finding]) -> list[str]:
    return [sentence(study, data, finding.comparison) for finding in findings]


def too_weak(study: Study, claim: Claim, finding: Finding) -> bool:
    """Whether a difference as large as the paper's could not have been detected.

    That something does not help can be detected if the interval is narrower than the margin.
    """
    if finding.paired is None:
        return False
    half = finding.paired.difference.half_width
    if finding.comparison.margin:
        return half > finding.comparison.margin
    effect = paper_difference(study, claim, finding.comparison)
    return effect is not None and half > abs(effect)


def span(values: Sequence[float]) -> str:
    """'0.8', or '0.8 to 1.3'."""
    low, high = f'{min(values):.1f}', f'{max(values):.1f}'
    return low if low == high else f'{low} to {high}'


def so_far(study: Study, finding: Finding, results: Results) -> str:
    """'with seed 0 22.5 % and 21.1 %' for an unfinished comparison, or ''."""
    sides = finding.comparison.sides
    tested = study.seeds
    for side in sides:
        tested = results.tested(side, tested)
    if not tested:
        return ''
    errors = (statistics.error(results.wrong(side, tested)).value for side in sides)
    return f'with {seeds_words(tested)} {listing([f"{error:.1f} %" for error in errors])}'


def _without(
    study: Study, data: DataSet, findings: Sequence[Finding], found: ResultsByData
) -> list[str]:
    """What is not finished, and what is not judged, for each reason."""
    texts, open_ones = [], []
    for finding in findings:
        if finding.paired is None and not finding.reason:
            text = sentence(study, data, finding.comparison)
            errors = so_far(study, finding, found[data.name])
            open_ones.append(f'{text} ({errors})' if errors else text)
    if open_ones:
        texts.append(f'Not finished on {data.title}: {"; ".join(open_ones)}.')
    for reason in dict.fromkeys(f.reason for f in findings if f.reason):
        some = [f for f in findings if f.reason == reason]
        which = '' if len(some) == len(findings) else f' ({"; ".join(_claims(study, data, some))})'
        texts.append(f'Not judged on {data.title}{which}: {reason}.')
    return texts
