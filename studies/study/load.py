"""Reading and checking a study file."""

import os.path as osp
import re
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, Optional

import yaml

from vgg_mm.apis.chain.stages import STARTS, option_texts
from vgg_mm.architectures import ARCHITECTURES, STRIDE
from vgg_mm.models.initialisers import INITIALISERS

from .checks import YamlMapping, check_known
from .study import (
    BETTER,
    CENTRE,
    JITTER,
    LEARNS,
    NO_BETTER,
    ONE,
    PARTS,
    SCALES,
    STALLS,
    TEST_SCALES,
    USUAL,
    Candidate,
    Claim,
    Comparison,
    Condition,
    DataSet,
    Plots,
    Run,
    Study,
)


class _Loader(yaml.SafeLoader):
    """YAML 1.2's booleans: only true and false; ``on``, a key here, is a string."""


_BOOL = 'tag:yaml.org,2002:bool'
_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in some if tag != _BOOL]
    for letter, some in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_BOOL, re.compile('^(?:true|false)$'), list('tf'))

STUDY_KEYS = ('title', 'earlier', 'limits', 'tests', 'runs', 'claims', 'plots', 'profiles')
PROFILE_KEYS = ('about', 'hours', 'seeds', 'init', 'data', 'work_dir', 'results', 'report')
DATA_KEYS = tuple(field.name for field in fields(DataSet) if field.name != 'name')
RUN_KEYS = Run._fields[1:]
CLAIM_KEYS = Claim._fields[1:]
COMPARISON_KEYS = ('better', 'than', 'kind', 'margin', 'decides', 'on', 'paper')

#: Keys of a comparison that asks whether a net learns at all.
NET_KEYS = ('net', 'learns', 'decides', 'on')


def load_study(
    path: str,
    profile: Optional[str] = None,
    seeds: Optional[Sequence[int]] = None,
    roots: Optional[dict[str, str]] = None,
    out: Optional[str] = None,
) -> Study:
    """Read a study file (studies/README.md describes it).

    Args:
        path: The YAML file.
        profile: Which of its profiles; None: the first.
        seeds: Further seeds, besides the profile's.
        roots: Data set -> folder instead of the profile's.
        out: Folder for runs, results and report instead of the profile's.

    Raises:
        FileNotFoundError: if there is no such file, or a config that it names is missing.
        ValueError: in one line that names the file and the place, if the study is invalid.
    """
    content = YamlMapping(path, _read(path), STUDY_KEYS)
    profiles = content.get('profiles', dict)
    if not profiles:
        raise ValueError(f'{path}: profiles is empty')
    known = _data_names(profiles)
    runs = _runs(path, content.get('runs', dict), known)
    name = next(iter(profiles)) if profile is None else profile
    check_known(path, 'profile', name, list(profiles))
    entry = YamlMapping(f'{path}: profiles.{name}', profiles[name], PROFILE_KEYS)
    study = Study(
        path=path,
        title=content.get('title', str),
        profile=name,
        about=entry.get('about', str),
        hours=' '.join(entry.get('hours', str, '').split()),
        seeds=tuple(dict.fromkeys([*entry.numbers('seeds', 0), *(seeds or ())])),
        init=entry.word('init', INITIALISERS) or 'glorot',
        runs=runs,
        data=_data_sets(path, entry, roots or {}),
        claims=_claims(path, content.get('claims', list), runs, known),
        plots=_plots(f'{path}: plots', content.get('plots', dict, {}), runs),
        out=out,
        tests=_tests(f'{path}: tests', content.get('tests', dict, {})),
        earlier=' '.join(content.get('earlier', str, '').split()),
        limits=tuple(' '.join(str(text).split()) for text in content.get('limits', list, [])),
        **_folders(entry, out),
    )
    _check_places(study)
    _check_test_scales(study)
    return study


def _data_names(profiles: dict) -> list[str]:
    """The data sets of all profiles, which ``on`` may name."""
    data = (p['data'] for p in profiles.values() if isinstance(p, dict) and 'data' in p)
    return list(dict.fromkeys(name for one in data if isinstance(one, dict) for name in one))


def _on(entry: YamlMapping, known: list[str]) -> Optional[tuple[str, ...]]:
    """The value of ``on``: data sets; None: all."""
    names = entry.get('on', list, None)
    for name in names or ():
        check_known(f'{entry.where}.on', 'data set', name, known)
    if names == []:
        raise ValueError(f'{entry.where}: on is empty')
    return None if names is None else tuple(names)


def _tests(where: str, words: dict) -> dict[str, str]:
    for test, label in words.items():
        parts = str(test).split()
        if len(parts) != 2 or not isinstance(label, str):
            raise ValueError(f"{where}: 'PROTOCOL Q': TEXT is expected, got {test!r}: {label!r}")
        check_known(where, 'protocol', parts[0], list(PARTS))
        check_known(where, 'Q', parts[1], list(TEST_SCALES))
    return words


def _folders(profile: YamlMapping, out: Optional[str]) -> dict[str, str]:
    folders = {key: profile.get(key, str) for key in ('work_dir', 'results', 'report')}
    if out is None:
        return folders
    return dict(work_dir=out, results=osp.join(out, 'results'), report=osp.join(out, 'study'))


def _claims(path: str, entries: list, runs: dict[str, Run], known: list[str]) -> tuple[Claim, ...]:
    claims = [_claim(path, number, one, runs, known) for number, one in enumerate(entries, start=1)]
    names = [*(claim.name for claim in claims), *runs, *known]
    if len(set(names)) < len(names):
        raise ValueError(
            f'{path}: claims, runs and data sets must have different names (--only takes all)'
        )
    return tuple(claims)


def _data_sets(path: str, profile: YamlMapping, roots: dict[str, str]) -> dict[str, DataSet]:
    data = {
        name: _data(f'{profile.where}.data.{name}', name, content, path)
        for name, content in profile.get('data', dict).items()
    }
    if not data:
        raise ValueError(f'{profile.where}: data is empty')
    for name, root in roots.items():
        check_known(f'--data {name}={root}', 'data set', name, list(data))
        data[name] = replace(data[name], root=root)
    return data


def _read(path: str) -> Any:
    if not osp.isfile(path):
        raise FileNotFoundError(f'study not found: {path}')
    with open(path, encoding='utf-8') as file:
        try:
            return yaml.load(file, _Loader)
        except yaml.YAMLError as error:
            raise ValueError(f'{path} is no YAML: {" ".join(str(error).split())}') from error


def _runs(path: str, entries: dict, known: list[str]) -> dict[str, Run]:
    runs: dict[str, Run] = {}
    for name, content in entries.items():
        where = f'{path}: runs.{name}'
        if not isinstance(name, str) or set(name) & set(' +/=') or not name:
            raise ValueError(f'{where}: a run is named by a word without blanks, +, / and =')
        entry = YamlMapping(where, content, RUN_KEYS)
        entry.get('arch', str)
        # Only from earlier runs, so that there are no cycles.
        starts = {key: entry.word(key, runs) for key in ('staged_from', 'start_from')}
        run = Run(
            name,
            arch=entry.word('arch', ARCHITECTURES),
            scale=entry.word('scale', SCALES, JITTER),
            init=entry.word('init', INITIALISERS),
            **starts,
            options=_options(where, entry.get('options', dict, {})),
            label=entry.get('label', str, ''),
            on=_on(entry, known),
            brief=entry.get('brief', bool, False),
        )
        if run.staged_from and run.start_from:
            raise ValueError(f'{where}: staged_from (some layers) and start_from (all): give one')
        runs[name] = run
    if not runs:
        raise ValueError(f'{path}: runs is empty')
    return runs


def _claim(path: str, number: int, content: Any, runs: dict[str, Run], known: list[str]) -> Claim:
    where = f'{path}: claim {number}'
    entry = YamlMapping(where, content, CLAIM_KEYS)
    comparisons = entry.get('comparisons', list)
    claim = Claim(
        number=number,
        name=entry.get('name', str),
        title=entry.get('title', str),
        section=str(entry.content.get('section', '')),
        says=' '.join(entry.get('says', str).split()),
        paper_scale=entry.word('paper_scale', SCALES),
        comparisons=tuple(
            _comparison(f'{where}, comparison {i}', one, runs, known)
            for i, one in enumerate(comparisons, start=1)
        ),
        on=_on(entry, known),
    )
    if not any(comparison.decides for comparison in claim.comparisons):
        raise ValueError(f'{where}: none of its comparisons decides it')
    return claim


def _comparison(where: str, content: Any, runs: dict[str, Run], known: list[str]) -> Comparison:
    if isinstance(content, dict) and 'net' in content:
        entry = YamlMapping(where, content, NET_KEYS)
        return Comparison(
            better=_side(where, entry.get('net', str), runs),
            than=None,
            kind=LEARNS if entry.get('learns', bool) else STALLS,
            decides=entry.get('decides', bool, True),
            on=_on(entry, known),
        )
    entry = YamlMapping(where, content, COMPARISON_KEYS)
    comparison = Comparison(
        better=_side(where, entry.get('better', str), runs),
        than=_side(where, entry.get('than', str), runs),
        kind=entry.word('kind', (BETTER, NO_BETTER), BETTER),
        margin=float(entry.get('margin', float, 0)),
        decides=entry.get('decides', bool, True),
        on=_on(entry, known),
        paper=entry.get('paper', float, None),
    )
    for name in comparison.runs:
        if runs[name].brief:
            raise ValueError(
                f'{where}: {name} is brief: nothing may be asked of it but whether it learns, with '
                'net and learns in place of better and than'
            )
    if comparison.better == comparison.than:
        raise ValueError(f'{where}: {comparison.better} is compared with itself')
    if (comparison.kind == NO_BETTER) != (comparison.margin > 0):
        raise ValueError(
            f'{where}: kind {NO_BETTER} and a margin above 0 (percentage points) go together'
        )
    return comparison


def _side(where: str, text: Any, runs: dict[str, Run]) -> Candidate:
    """'D dense several', 'D+E dense one'."""
    parts = text.split() if isinstance(text, str) else []
    if len(parts) != 3:
        raise ValueError(
            f"{where}: what is compared is 'RUN[+RUN] PROTOCOL Q', e.g. 'D dense several', got "
            f'{text!r}'
        )
    names, protocol, scale = parts[0].split('+'), *parts[1:]
    for name in names:
        check_known(where, 'run', name, list(runs))
    if len(set(names)) < len(names):
        raise ValueError(f'{where}: {text!r} names a run twice')
    check_known(where, 'protocol', protocol, [*PARTS, USUAL])
    check_known(where, 'Q', scale, list(TEST_SCALES))
    if protocol == CENTRE and scale != ONE:
        raise ValueError(f"{where}: {text!r}: the centre crop is taken at Q 'one' only")
    return Candidate(tuple(names), protocol, scale)


def _plots(where: str, content: Any, runs: dict[str, Run]) -> Plots:
    entry = YamlMapping(where, content, Plots._fields)
    curve = entry.get('curve', list, [])
    for name in curve:
        check_known(f'{where}.curve', 'run', name, list(runs))
    return Plots(
        curve=tuple(curve),
        cost=tuple(_side(f'{where}.cost', t, runs) for t in entry.get('cost', list, [])),
    )


def _data(where: str, name: str, content: Any, path: str) -> DataSet:
    entry = YamlMapping(where, content, DATA_KEYS)
    crop = entry.number('crop', STRIDE)
    if crop % STRIDE:
        raise ValueError(f'{where}: crop must be a multiple of {STRIDE}, got {crop}')
    config = osp.normpath(osp.join(osp.dirname(path), entry.get('config', str)))
    if not osp.isfile(config):
        raise FileNotFoundError(f'{where}: config not found: {config}')
    scales = YamlMapping(f'{where}.scales', entry.get('scales', dict), SCALES)
    tests = YamlMapping(f'{where}.tests', entry.get('tests', dict), SCALES)
    words = {
        scale: YamlMapping(f'{where}.tests.{scale}', value, TEST_SCALES)
        for scale, value in tests.content.items()
    }
    return DataSet(
        name=name,
        root=entry.get('root', str),
        config=config,
        crop=crop,
        width=entry.number('width', 1),
        fc_channels=entry.number('fc_channels', 1),
        scales={scale: _scale(scales, scale, crop) for scale in scales.content},
        tests={
            scale: {word: one.numbers(word, crop) for word in one.content}
            for scale, one in words.items()
        },
        curve=entry.numbers('curve', crop) if 'curve' in entry.content else (),
        options=_options(where, entry.get('options', dict, {})),
        brief=_options(where, entry.get('brief', dict, {})),
        label=entry.get('label', str, ''),
        fine_tuned=entry.get('fine_tuned', bool, False),
        learnt=_condition(f'{where}.learnt', entry.get('learnt', dict, None)),
        dense=entry.get('dense', bool, True),
    )


def _condition(where: str, content: Optional[dict]) -> Optional[Condition]:
    if content is None:
        return None
    entry = YamlMapping(where, content, Condition._fields)
    error = float(entry.get('error', float))
    if not 0 < error < 100:
        raise ValueError(f'{where}: error must be between 0 and 100 (percent), got {error:g}')
    return Condition(entry.get('run', str), error)


def _scale(scales: YamlMapping, name: str, crop: int) -> Any:
    """S as ``vgg_mm.ScaleJitter`` takes it."""
    values = scales.numbers(name, crop)
    if len(values) != (2 if name == JITTER else 1) or list(values) != sorted(values):
        expected = '[S_MIN, S_MAX]' if name == JITTER else 'one number'
        raise ValueError(f'{scales.where}: {name} must be {expected}, got {list(values)}')
    return list(values) if name == JITTER else values[0]


def _options(where: str, options: dict) -> dict[str, Any]:
    for key in options:
        if key in (*STARTS, 'DATA_ROOT', 'randomness.seed'):
            raise ValueError(f'{where}.options: {key} is set by the study')
    try:
        option_texts(options)
    except ValueError as error:
        raise ValueError(f'{where}.options: {error}') from error
    return options


def _check_places(study: Study) -> None:
    """Check that runs, conditions and claims find what they need on their data sets."""
    where = f'{study.path}: profiles.{study.profile}.data'
    for name, data in study.data.items():
        here = study.runs_on(name)
        for run in here:
            source = data.source(study.runs[run])
            if source and source not in here:
                raise ValueError(
                    f'{where}.{name}: run {run} starts from {source}, which is not on {name}: '
                    'say which data sets a run is on'
                )
        if data.learnt:
            check_known(f'{where}.{name}.learnt', 'run', data.learnt.run, here)
        for claim in study.claims:
            wanted = name in (claim.on or ())
            if wanted and not any(c.decides for c in study.comparisons(claim, name)):
                raise ValueError(
                    f'{study.path}: claim {claim.number}: it is on {name}, and none of the '
                    'comparisons that decide it is'
                )


def _check_test_scales(study: Study) -> None:
    """Check that every data set has every S and Q that is needed."""
    where = f'{study.path}: profiles.{study.profile}.data'
    for data in study.data.values():
        if study.plots.curve and not data.curve:
            raise ValueError(f'{where}.{data.name}: curve is missing, which plots.curve needs')
        for run in (study.runs[name] for name in study.runs_on(data.name)):
            if run.scale not in data.scales:
                raise ValueError(
                    f'{where}.{data.name}.scales: {run.scale} is missing, which run {run.name} '
                    'needs'
                )
            one = data.tests.get(run.scale, {}).get(ONE, ())
            if len(one) != 1:
                raise ValueError(
                    f'{where}.{data.name}.tests.{run.scale}: one must be one Q, got {list(one)}'
                )
        for side in study.sides(data):
            for run in (study.runs[name] for name in side.runs):
                if isinstance(side.scale, str) and side.scale not in data.tests[run.scale]:
                    raise ValueError(
                        f'{where}.{data.name}.tests.{run.scale}: {side.scale} is missing, which '
                        f'{str(side)!r} needs'
                    )
