"""Whether nets have learnt; other nets are not compared."""

from collections.abc import Iterator
from typing import Optional

from . import statistics
from .results import Results, TrainingCurve
from .study import LEARNS, STALLS, Comparison, DataSet, Study
from .words import run_words, side_words

#: Minimum number of drops of the learning rate.
MIN_DROPS = 2

#: Over this last part of its epochs, the validation error of a net that has learnt falls by less
#: than so many percentage points.
LAST_PART, MAX_FALL = 1 / 5, 1.0


def last_fall(course: TrainingCurve) -> Optional[float]:
    """Percentage points by which the validation error fell over the last fifth of the epochs.

    It is measured from the last validation before them; None if there was none.
    """
    if not course.error_epochs:
        return None
    start = (1 - LAST_PART) * course.error_epochs[-1] + 1e-6
    before = [e for x, e in zip(course.error_epochs, course.errors) if x <= start]
    return before[-1] - course.errors[-1] if before else None


def guesses(course: TrainingCurve, chance: Optional[float]) -> bool:
    """Whether its last error is not a point below that of guessing, ``chance`` percent."""
    return chance is not None and bool(course.errors) and course.errors[-1] > chance - MAX_FALL


def unlearnt(course: TrainingCurve, chance: Optional[float] = None) -> str:
    """Why a net has not learnt, in words that follow its name; empty if it has.

    ``chance`` is the error of guessing, in percent.
    """
    if course.failed:
        return f'was not trained to its end ({course.failed})'
    if guesses(course, chance):
        return f'guesses: it errs on {course.errors[-1]:.1f} %'
    if len(course.drops) < MIN_DROPS:
        drops = ('never', 'once')[len(course.drops)]
        return f'was not trained on until its rate had dropped twice (it did {drops})'
    fall = last_fall(course)
    if fall is None:
        return 'was not validated before the last fifth of its epochs'
    if fall >= MAX_FALL:
        return f'still got better by {fall:.1f} points over the last fifth of its epochs'
    return ''


def how_it_ended(course: TrainingCurve, chance: Optional[float], brief: bool) -> str:
    """'guesses', 'not learnt', 'has learnt'; or 'learns', all that is asked of a brief run."""
    if not course.failed and guesses(course, chance):
        return 'guesses'
    if brief and not course.failed:
        return 'learns'
    return 'not learnt' if unlearnt(course, chance) else 'has learnt'


def why_not_judged(
    study: Study, data: DataSet, results: Results, comparison: Comparison
) -> Optional[str]:
    """Why a comparison gets no verdict on a data set, in words; None if it gets one.

    Whether a net learns at all is judged for every net, if the data set's condition holds.
    """
    reasons = _condition(study, data, results)
    if comparison.kind not in (LEARNS, STALLS):
        reasons = [*reasons, *_nets(study, data, results, comparison)]
    return next(iter(reasons), None)


def _condition(study: Study, data: DataSet, results: Results) -> list[str]:
    if data.learnt is None:
        return []
    side = side_words(study, data, data.learnt.side)
    wrong = results.wrong(data.learnt.side, study.seeds)
    if wrong is None:
        return [f'{side} has not been tested yet with all seeds']
    error = statistics.error(wrong).value
    if error > data.learnt.error:
        return [f'{side} errs on {error:.1f} %, more than {data.learnt.error:g} %']
    return []


def _nets(study: Study, data: DataSet, results: Results, comparison: Comparison) -> Iterator[str]:
    for run in comparison.runs:
        for seed in study.seeds:
            course = results.courses.get(f'{run}/{seed}')
            why = 'has no record of its training'
            if course is not None:
                why = unlearnt(course, results.chance)
            if why:
                yield f'{run_words(study, data, run)} (seed {seed}) {why}'
