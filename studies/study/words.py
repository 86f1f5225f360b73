"""The names of runs, tests and comparisons in a report."""

from collections.abc import Sequence
from typing import Any

from .study import LEARNS, NO_BETTER, STALLS, Candidate, Comparison, DataSet, Study


def run_words(study: Study, data: DataSet, run: str) -> str:
    """'D, S = 36': the run's label with S in pixels."""
    one = study.runs[run]
    return (one.label or run).replace('{S}', pixels(data.scales[one.scale]))


def seeds_words(seeds: Sequence[int]) -> str:
    """'seed 0', 'seeds 0 and 2'."""
    return f'seed{"s" if len(seeds) > 1 else ""} {listing([str(seed) for seed in seeds])}'


def listing(words: Sequence[str]) -> str:
    """'A, B and D'."""
    return ' and '.join([', '.join(words[:-1]), words[-1]] if len(words) > 1 else words)


def pixels(scale: Any) -> str:
    """S: '36', or '[36; 56]'."""
    return f'[{scale[0]}; {scale[1]}]' if isinstance(scale, list) else str(scale)


def nets_words(study: Study, data: DataSet, side: Candidate) -> str:
    """'D', 'D and E averaged'."""
    names = [run_words(study, data, run) for run in side.runs]
    return names[0] if len(names) == 1 else f'{" and ".join(names)} averaged'


def start_words(study: Study, data: DataSet, side: Candidate) -> str:
    """The net and what it starts from, unless its label says that: 'D from A'."""
    run = study.runs[side.runs[0]]
    source = data.source(run)
    name = nets_words(study, data, side)
    return f'{name} from {run_words(study, data, source)}' if source and not run.label else name


def test_words(study: Study, data: DataSet, side: Candidate) -> str:
    """'dense, one Q'."""
    test = f'{data.protocol(side)} {side.scale}'
    return study.tests.get(test, test.replace('_', '-'))


def side_words(study: Study, data: DataSet, side: Candidate) -> str:
    """'D (dense, one Q)'."""
    return f'{nets_words(study, data, side)} ({test_words(study, data, side)})'


def pair_words(study: Study, data: DataSet, comparison: Comparison) -> tuple[str, str, str]:
    """Both sides, and the test if both share it: ('D', 'A', ' (dense, one Q)')."""
    first, second = comparison.sides
    if (first.protocol, first.scale) != (second.protocol, second.scale):
        return side_words(study, data, first), side_words(study, data, second), ''
    names = [nets_words(study, data, side) for side in (first, second)]
    return names[0], names[1], f' ({test_words(study, data, first)})'


def sentence(study: Study, data: DataSet, comparison: Comparison) -> str:
    """What a comparison claims: 'D beats A from A (dense, one Q)'."""
    if comparison.kind in (LEARNS, STALLS):
        verb = 'learns' if comparison.kind == LEARNS else 'does not learn'
        return f'{start_words(study, data, comparison.better)} {verb}'
    first, second, test = pair_words(study, data, comparison)
    if comparison.kind == NO_BETTER:
        unit = 'point' if comparison.margin == 1 else 'points'
        return f'{first} is less than {comparison.margin:g} {unit} better than {second}{test}'
    return f'{first} beats {second}{test}'
