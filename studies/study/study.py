"""What a study is: runs, data, and which of them are compared for each claim."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Optional

from vgg_mm.models.tta.paper_tta import DENSE, PROTOCOLS

#: What a run's S is called; a data set says which pixels each means.
LOW, HIGH, JITTER = 'low', 'high', 'jitter'
SCALES = (LOW, HIGH, JITTER)

#: One crop in the middle; the other ways to look at an image are PaperTTA's (Section 3.2).
CENTRE = 'centre'

#: protocol -> the tests whose posteriors it averages
PARTS = {**PROTOCOLS, CENTRE: (CENTRE,)}

#: What a run's Q is called; a data set says which pixels each means.
ONE, SEVERAL, WIDE = 'one', 'several', 'wide'
TEST_SCALES = (ONE, SEVERAL, WIDE)

#: In place of a net: always answering the most frequent class.
GUESSING = 'guessing'

#: Kinds of comparison: fewer errors, or no more than a margin fewer.
BETTER, NO_BETTER = 'better', 'no_better'


class Run(NamedTuple):
    """A training.

    Args:
        name: Of the run and its folder.
        arch: Net of Table 1.
        scale: One of :data:`SCALES`.
        init: Initialiser; None: the profile's.
        staged_from: Run whose first four convolutional and fully-connected layers it takes.
        start_from: Run all of whose layers it takes.
        options: ``--cfg-options`` of this run; they win over the data set's.
    """

    name: str
    arch: str
    scale: str = JITTER
    init: Optional[str] = None
    staged_from: Optional[str] = None
    start_from: Optional[str] = None
    options: dict[str, Any] = {}

    @property
    def source(self) -> Optional[str]:
        return self.staged_from or self.start_from


class Candidate(NamedTuple):
    """Nets and how they are tested; of several nets the posteriors are averaged.

    ``scale`` is one of :data:`TEST_SCALES`, or Q in pixels (a point of a curve).
    """

    runs: tuple[str, ...]
    protocol: str
    scale: Any

    def __str__(self) -> str:
        return f'{"+".join(self.runs)} {self.protocol} {self.scale}'


class Comparison(NamedTuple):
    """``better`` against ``than`` (None: guessing).

    Args:
        better: The side that the paper says has fewer errors; with NO_BETTER, the one that it
            says has not.
        than: The other one.
        kind: BETTER or NO_BETTER.
        margin: With NO_BETTER: percentage points of error that count as a help.
        decides: Whether the verdict depends on it, or it is only shown.
    """

    better: Candidate
    than: Optional[Candidate]
    kind: str = BETTER
    margin: float = 0.0
    decides: bool = True

    def __str__(self) -> str:
        than = GUESSING if self.than is None else self.than
        if self.kind == NO_BETTER:
            unit = 'point' if self.margin == 1 else 'points'
            return f'{self.better} is not {self.margin:g} {unit} better than {than}'
        return f'{self.better} beats {than}'


class Claim(NamedTuple):
    """A claim of the paper.

    Args:
        number: From 1.
        name: A word, for ``--only``.
        title: In a line.
        section: Of the paper.
        says: The paper's statement, in other words than its own, with its figures.
        paper_scale: S of the paper's figures that are shown beside; None: that of each run.
        comparisons: What decides it.
    """

    number: int
    name: str
    title: str
    section: str
    says: str
    paper_scale: Optional[str]
    comparisons: tuple[Comparison, ...]


class Plots(NamedTuple):
    """What the report draws besides the comparisons.

    ``depth`` and ``cost`` are sides, ``curve`` runs that are tested at each Q of the data set's
    curve, ``training`` runs whose course is drawn.
    """

    depth: tuple[Candidate, ...] = ()
    curve: tuple[str, ...] = ()
    cost: tuple[Candidate, ...] = ()
    training: tuple[str, ...] = ()


@dataclass(frozen=True)
class DataSet:
    """Images, and at which widths and sizes nets are trained on them.

    Args:
        name: Of the data set.
        root: Its folder.
        config: Config that every run starts from.
        crop: Side of the training crops, a multiple of 32.
        width: ``base_channels`` of the nets; 64 in the paper.
        fc_channels: Of fc6 and fc7; 4096 in the paper.
        scales: low, high, jitter -> S, or (S_min, S_max).
        tests: low, high, jitter -> (one, several, wide -> several Q).
        curve: Q of the curve of error over Q.
        options: ``--cfg-options`` of all runs: epochs and the like.
    """

    name: str
    root: str
    config: str
    crop: int
    width: int
    fc_channels: int
    scales: dict[str, Any]
    tests: dict[str, dict[str, tuple[int, ...]]]
    curve: tuple[int, ...]
    options: dict[str, Any] = field(default_factory=dict)

    def test_scales(self, run: Run, scale: Any) -> tuple[int, ...]:
        """Q in pixels."""
        return (scale,) if isinstance(scale, int) else self.tests[run.scale][scale]


@dataclass(frozen=True)
class Study:
    """A study at one of its profiles.

    Args:
        path: Of its file.
        title: In a line.
        profile: Name of the profile.
        about: What the profile is, in a sentence.
        seeds: Of every run.
        init: Initialiser of the runs that name none.
        runs, data: By name; every run is on all data.
        claims: In the paper's order.
        plots: What is drawn.
        work_dir: Folder of the runs.
        results: Folder of the JSON files.
        report: Path of the report without its ending.
        out: Folder that holds these three in place of the profile's, if one was given.
    """

    path: str
    title: str
    profile: str
    about: str
    seeds: tuple[int, ...]
    init: str
    runs: dict[str, Run]
    data: dict[str, DataSet]
    claims: tuple[Claim, ...]
    plots: Plots
    work_dir: str
    results: str
    report: str
    out: Optional[str] = None

    def curve_sides(self, data: DataSet) -> list[Candidate]:
        """The points of the curves of error over Q."""
        return [Candidate((run,), DENSE, q) for run in self.plots.curve for q in data.curve]

    def sides(self, data: DataSet, claim: Optional[Claim] = None) -> list[Candidate]:
        """What has to be tested on a data set, for one claim or for all and the plots."""
        claims = self.claims if claim is None else (claim,)
        found = [
            side
            for one in claims
            for comparison in one.comparisons
            for side in (comparison.better, comparison.than)
            if side is not None
        ]
        if claim is None:
            found += [*self.plots.depth, *self.curve_sides(data), *self.plots.cost]
        return list(dict.fromkeys(found))
