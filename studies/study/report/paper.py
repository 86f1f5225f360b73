"""The paper's own figures for the comparisons of a study: on ImageNet, not measured here."""

from typing import Optional

from vgg_mm.datasets.transforms.rescale import paper_test_scales
from vgg_mm.evaluation.paper_results import (
    JITTER,
    S256,
    S384,
    TABLE_3,
    TABLE_4,
    TABLE_5,
    TABLE_6,
)
from vgg_mm.models.tta.paper_tta import DENSE

from ..study import HIGH, LOW, ONE, SEVERAL, USUAL, Candidate, Claim, Comparison, Study
from ..study import JITTER as JITTERED

#: S in the paper for each name.
SCALES = {LOW: S256, HIGH: S384, JITTERED: JITTER}

WHOSE = (
    "The paper's effects are differences of its top-1 errors on the 50,000 validation images of "
    'ILSVRC-2012, in percentage points (Tables 3 to 6, and Section 4.1 for the 5x5 layers); they '
    'are not measurements of this package.'
)


def paper_error(study: Study, side: Optional[Candidate], scale: Optional[str]) -> Optional[float]:
    """The paper's top-1 error in percent; None if it gives none, or for guessing (no side).

    ``scale`` replaces the S of the runs.
    """
    if side is None or side.scale not in (ONE, SEVERAL):
        return None
    runs = [study.runs[name] for name in side.runs]
    if any(run.init for run in runs):  # not initialised as the paper's nets
        return None
    several = side.scale == SEVERAL
    if len(runs) > 1:
        name = ' + '.join(run.arch for run in runs)
        rows = [row for row in TABLE_6 if row.net == name and several]
    else:
        s = SCALES[scale or runs[0].scale]
        wanted = runs[0].arch, s, paper_test_scales(s, several)
        rows = [row for row in (*TABLE_3, *TABLE_4, *TABLE_5) if row[:3] == wanted]
    protocol = DENSE if side.protocol == USUAL else side.protocol
    return next((row.top1 for row in rows if row.protocol == protocol), None)


def paper_difference(study: Study, claim: Claim, comparison: Comparison) -> Optional[float]:
    """The paper's effect in percentage points, first minus second; None if it gives none."""
    if comparison.paper is not None:
        return comparison.paper
    first, second = (
        paper_error(study, side, claim.paper_scale) for side in (comparison.better, comparison.than)
    )
    return None if first is None or second is None else round(first - second, 1)
