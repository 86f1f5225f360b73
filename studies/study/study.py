"""The parts of a study: runs, data sets, and the comparisons for each claim."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Optional

from vgg_mm.models.tta.paper_tta import DENSE, MULTI_CROP, PROTOCOLS

#: Names of a run's S; a data set defines them in pixels.
LOW, HIGH, JITTER = 'low', 'high', 'jitter'
SCALES = (LOW, HIGH, JITTER)

#: One crop in the middle; the other protocols are PaperTTA's (Section 3.2).
CENTRE = 'centre'

#: protocol -> the tests whose posteriors it averages
PARTS = {**PROTOCOLS, CENTRE: (CENTRE,)}

#: The paper's usual protocol, dense evaluation; multi-crop evaluation if images are too small.
USUAL = 'usual'

#: Names of a run's Q; a data set defines them in pixels.
ONE, SEVERAL, WIDE = 'one', 'several', 'wide'
TEST_SCALES = (ONE, SEVERAL, WIDE)

#: Kinds of comparison: the first has fewer errors, or fewer by no more than a margin; for a single
#: net, whether it learns at all, or does not, as the paper expects.
BETTER, NO_BETTER, LEARNS, STALLS = 'better', 'no_better', 'learns', 'stalls'

#: A net does not learn if the interval excludes that it beats guessing by so many percentage
#: points.
STALLED = 5.0


class Run(NamedTuple):
    """A training.

    Args:
        name: Name of the run and of its folder.
        arch: Net of Table 1.
        scale: One of :data:`SCALES`.
        init: Initialiser; None: the profile's.
        staged_from: Run whose first four convolutional and fully-connected layers it copies.
        start_from: Run all of whose layers it copies.
        options: ``--cfg-options`` of this run; they override the data set's.
        label: Its name in the report; ``{S}`` is S in pixels. Empty: ``name``.
        on: Data sets that it is trained on; None: all.
        brief: Whether it has the data set's ``brief`` options: a run that is only checked for
            whether it learns.
    """

    name: str
    arch: str
    scale: str = JITTER
    init: Optional[str] = None
    staged_from: Optional[str] = None
    start_from: Optional[str] = None
    options: dict[str, Any] = {}
    label: str = ''
    on: Optional[tuple[str, ...]] = None
    brief: bool = False

    @property
    def source(self) -> Optional[str]:
        return self.staged_from or self.start_from


class Candidate(NamedTuple):
    """Nets and how they are tested; the posteriors of several nets are averaged.

    ``scale`` is one of :data:`TEST_SCALES`, or Q in pixels (a point of a curve).
    """

    runs: tuple[str, ...]
    protocol: str
    scale: Any

    def __str__(self) -> str:
        return f'{"+".join(self.runs)} {self.protocol} {self.scale}'


class Comparison(NamedTuple):
    """``better`` against ``than`` (None: against guessing, with LEARNS and STALLS).

    Args:
        better: The side that has fewer errors according to the paper; with NO_BETTER the side that
            does not; with LEARNS and STALLS the only net.
        than: The other side.
        kind: BETTER, NO_BETTER, LEARNS or STALLS.
        margin: With NO_BETTER: how many percentage points of error count as an improvement.
        decides: Whether the verdict depends on it; otherwise it is only shown.
        on: Data sets on which it is made; None: those of the claim.
        paper: The paper's difference in percentage points (first minus second), if its tables do
            not have it.
    """

    better: Candidate
    than: Optional[Candidate]
    kind: str = BETTER
    margin: float = 0.0
    decides: bool = True
    on: Optional[tuple[str, ...]] = None
    paper: Optional[float] = None

    @property
    def sides(self) -> tuple[Candidate, ...]:
        return (self.better,) if self.than is None else (self.better, self.than)

    @property
    def runs(self) -> list[str]:
        """All runs that it needs, each once."""
        return list(dict.fromkeys(run for side in self.sides for run in side.runs))


class Claim(NamedTuple):
    """A claim of the paper.

    Args:
        number: Counted from 1.
        name: One word, for ``--only``.
        title: One line.
        section: Section of the paper.
        says: The paper's statement, reworded, with its figures.
        paper_scale: S of the paper's figures shown for comparison; None: that of each run.
        comparisons: The comparisons that it rests on.
        on: Data sets on which it is judged; None: all.
    """

    number: int
    name: str
    title: str
    section: str
    says: str
    paper_scale: Optional[str]
    comparisons: tuple[Comparison, ...]
    on: Optional[tuple[str, ...]] = None


class Plots(NamedTuple):
    """What the report draws besides claims and trainings.

    ``curve`` are the runs that are tested at each Q of the data set's curve, ``cost`` the sides
    whose error is drawn over their time.
    """

    curve: tuple[str, ...] = ()
    cost: tuple[Candidate, ...] = ()


class Condition(NamedTuple):
    """A net that must reach an error before anything is compared on a data set.

    Args:
        run: The net.
        error: Its maximum top-1 error in percent: usual protocol, one Q, mean over seeds.
    """

    run: str
    error: float

    @property
    def side(self) -> Candidate:
        return Candidate((self.run,), USUAL, ONE)


@dataclass(frozen=True)
class DataSet:
    """Images, and the widths and sizes at which nets are trained on them.

    Args:
        name: Name of the data set.
        root: Its folder.
        config: Config that every run starts from.
        crop: Side of the training crops, a multiple of 32.
        width: ``base_channels`` of the nets; 64 in the paper.
        fc_channels: Width of fc6 and fc7; 4096 in the paper.
        scales: low, high, jitter -> S, or (S_min, S_max).
        tests: low, high, jitter -> (one, several, wide -> list of Q).
        curve: The Q of the curve of error over Q.
        options: ``--cfg-options`` of all runs, such as epochs.
        brief: Options that override these for ``brief`` runs.
        label: Its name in the report; empty: ``name``.
        fine_tuned: Whether every run starts from the authors' convolutions, by its config, and
            none from another run.
        learnt: Condition that must hold before anything is compared; None: no condition.
        dense: Whether nets are tested densely. Not with crops of 32: fc6 then has floor(Q / 32)
            positions per side, only one below Q = 64, whose window is the corner of the image.
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
    brief: dict[str, Any] = field(default_factory=dict)
    label: str = ''
    fine_tuned: bool = False
    learnt: Optional[Condition] = None
    dense: bool = True

    @property
    def title(self) -> str:
        return self.label or self.name

    def source(self, run: Run) -> Optional[str]:
        """The run that a run starts from on this data set, if any."""
        return None if self.fine_tuned else run.source

    def epochs(self, run: Run) -> Optional[int]:
        """Epochs of a training; None: the config's."""
        return self.options_of(run).get('train_cfg.max_epochs')

    def options_of(self, run: Run) -> dict[str, Any]:
        """The ``--cfg-options`` of a run."""
        return {**self.options, **(self.brief if run.brief else {}), **run.options}

    def protocol(self, side: Candidate) -> str:
        """The protocol with which a side is tested on this data set."""
        usual = DENSE if self.dense else MULTI_CROP
        return usual if side.protocol == USUAL else side.protocol

    def is_tested(self, side: Candidate) -> bool:
        """Whether the side's protocol is used on these data."""
        return self.dense or DENSE not in PARTS[self.protocol(side)]

    def test_scales(self, run: Run, scale: Any) -> tuple[int, ...]:
        """Q in pixels."""
        return (scale,) if isinstance(scale, int) else self.tests[run.scale][scale]


@dataclass(frozen=True)
class Study:
    """A study at one of its profiles.

    Args:
        path: Path of its file.
        title: One line.
        profile: Name of the profile.
        about: What the profile is, in a sentence.
        seeds: Seeds of every run.
        init: Initialiser of the runs that name none.
        runs, data: By name.
        claims: In the paper's order.
        plots: What else is drawn.
        work_dir: Folder of the runs.
        results: Folder of the JSON files.
        report: Path of the report without its ending.
        out: Folder that holds these three in place of the profile's, if one was given.
        hours: How long it takes, and on what, in a sentence.
        tests: 'PROTOCOL Q' -> what the report calls it.
        earlier: What the report says of an earlier study.
        limits: Limits of the results, a sentence or two each.
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
    hours: str = ''
    tests: dict[str, str] = field(default_factory=dict)
    earlier: str = ''
    limits: tuple[str, ...] = ()

    def runs_on(self, data: str) -> list[str]:
        """The runs that are trained on a data set."""
        return [name for name, run in self.runs.items() if _is_on(run.on, data)]

    def comparisons(self, claim: Claim, data: str) -> list[Comparison]:
        """The comparisons of a claim on a data set: those whose runs and tests exist there."""
        here = set(self.runs_on(data))
        is_tested = self.data[data].is_tested
        return [
            one
            for one in claim.comparisons
            if _is_on(claim.on, data)
            and _is_on(one.on, data)
            and here.issuperset(one.runs)
            and all(map(is_tested, one.sides))
        ]

    def curve_sides(self, data: DataSet) -> list[Candidate]:
        """The points of the curves of error over Q."""
        here = self.runs_on(data.name)
        return [
            Candidate((r,), USUAL, q) for r in self.plots.curve if r in here for q in data.curve
        ]

    def cost_sides(self, data: DataSet) -> list[Candidate]:
        """The sides whose error is plotted over their time per image."""
        here = set(self.runs_on(data.name))
        # If multi-crop evaluation is the usual protocol, it is not plotted twice.
        once: dict[tuple, Candidate] = {}
        for side in self.plots.cost:
            if here.issuperset(side.runs) and data.is_tested(side):
                once.setdefault((side.runs, data.protocol(side), side.scale), side)
        return list(once.values())

    def sides(self, data: DataSet, claim: Optional[Claim] = None) -> list[Candidate]:
        """What has to be tested on a data set, for one claim, or for all claims and the plots."""
        claims = self.claims if claim is None else (claim,)
        found = [
            side
            for one in claims
            for comparison in self.comparisons(one, data.name)
            for side in comparison.sides
        ]
        if claim is None:
            found += [*self.curve_sides(data), *self.cost_sides(data)]
            found += [data.learnt.side] if data.learnt else []
        return list(dict.fromkeys(found))


def _is_on(names: Optional[tuple[str, ...]], data: str) -> bool:
    return names is None or data in names
