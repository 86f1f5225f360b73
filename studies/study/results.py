"""A study's results on a data set as a small JSON file, from which the report is generated."""

import json
import os
import os.path as osp
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Optional

import numpy as np

from vgg_mm.checkpoints import write_atomically

from .study import Candidate, Comparison, DataSet, Study
from .verdicts import guessing


@dataclass
class Errors:
    """The errors of a side with a seed.

    Args:
        wrong: One bit per image, 1 for an error, as hexadecimal digits.
        seconds_per_image: Time of all its tests together; None: unknown.
        failed: Whether a loss was not finite, so that the net counts as guessing.
    """

    wrong: str
    seconds_per_image: Optional[float] = None
    failed: bool = False


@dataclass
class TrainingCurve:
    """The course of a training.

    Args:
        minutes: Its duration.
        command: The command that trains it.
        failed: What was wrong with its loss; None: nothing.
        epochs, loss: Training loss at some points.
        error_epochs, errors: Top-1 error of the centre crop at each validation, in percent.
        drops: Epochs at which the learning rate dropped.
        finished: When it ended, which distinguishes it from other trainings of the same run.
    """

    minutes: float
    command: str = ''
    failed: Optional[str] = None
    epochs: list[float] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    error_epochs: list[float] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    drops: list[float] = field(default_factory=list)
    finished: str = ''


@dataclass
class Results:
    """All results on a data set.

    Args:
        settings: Widths, sizes and runs, so that results of other studies are not mixed in.
        labels: True class of each test image, images sorted by name.
        answers: 'SIDE/SEED' -> its errors.
        courses: 'RUN/SEED' -> its training.
        test_minutes: 'RUN/SEED' -> minutes of all tests of that training.
        machine: The kinds of machine on which they were computed.
    """

    settings: dict[str, Any]
    labels: list[int] = field(default_factory=list)
    answers: dict[str, Errors] = field(default_factory=dict)
    courses: dict[str, TrainingCurve] = field(default_factory=dict)
    test_minutes: dict[str, float] = field(default_factory=dict)
    machine: list[str] = field(default_factory=list)

    def write(self, path: str) -> None:
        """Write the file atomically, with one line per entry for readable diffs."""
        content = asdict(self)
        lines = []
        for key, value in content.items():
            if isinstance(value, dict) and key != 'settings':
                inner = ',\n'.join(f'  {json.dumps(k)}: {json.dumps(v)}' for k, v in value.items())
                lines.append(f' {json.dumps(key)}: {{\n{inner}\n }}')
            else:
                lines.append(f' {json.dumps(key)}: {json.dumps(value)}')
        os.makedirs(osp.dirname(path), exist_ok=True)
        write_atomically(path, ('{\n' + ',\n'.join(lines) + '\n}\n').encode())

    def wrong(self, side: Candidate, seeds: Iterable[int]) -> Optional[np.ndarray]:
        """(seeds, images) bool; None if a seed is missing."""
        found = [self.answers.get(f'{side}/{seed}') for seed in seeds]
        if not found or None in found:
            return None
        return np.stack([unpack(one.wrong, len(self.labels)) for one in found])

    def pair(self, comparison: Comparison, seeds: Iterable[int]) -> Optional[tuple]:
        """``wrong`` of both sides; None if a side or a seed is missing."""
        seeds = tuple(seeds)
        first = self.wrong(comparison.better, seeds)
        if first is None:
            return None
        if comparison.than is None:
            return first, guessing(np.array(self.labels), len(seeds))
        second = self.wrong(comparison.than, seeds)
        return None if second is None else (first, second)

    @property
    def chance(self) -> Optional[float]:
        """The error of guessing, in percent; None before the first test."""
        return 100 * float(guessing(np.array(self.labels), 1).mean()) if self.labels else None

    def tested(self, side: Candidate, seeds: Iterable[int]) -> list[int]:
        """Those of the seeds with which a side has been tested."""
        return [seed for seed in seeds if f'{side}/{seed}' in self.answers]

    def failed(self, side: Candidate, seeds: Iterable[int]) -> list[int]:
        """Those of the seeds with which a net of the side could not be trained."""
        found = {seed: self.answers.get(f'{side}/{seed}') for seed in seeds}
        return [seed for seed, answer in found.items() if answer and answer.failed]


#: Data set -> its results.
ResultsByData = Mapping[str, Results]


def pack(wrong: np.ndarray) -> str:
    """(images,) bool -> hexadecimal digits."""
    return np.packbits(wrong).tobytes().hex()


def unpack(text: str, images: int) -> np.ndarray:
    """The reverse of :func:`pack`.

    Raises:
        ValueError: if it is for another number of images.
    """
    content = np.frombuffer(bytes.fromhex(text), np.uint8)
    if len(content) != -(-images // 8):
        raise ValueError(f'an answer of {8 * len(content)} images, not {images}')
    return np.unpackbits(content, count=images).astype(bool)


def settings_of(study: Study, data: DataSet) -> dict[str, Any]:
    """What the results depend on, except folders and the working directory."""
    content = asdict(data)
    for key in ('root', 'label', 'learnt'):
        del content[key]
    content['config'] = osp.relpath(data.config, osp.dirname(study.path)).replace(os.sep, '/')
    content['init'] = study.init
    content['runs'] = {
        name: {k: v for k, v in study.runs[name]._asdict().items() if k not in ('label', 'on')}
        for name in study.runs_on(data.name)
    }
    return json.loads(json.dumps(content))


def results_path(study: Study, data: str) -> str:
    return osp.join(study.results, f'{data}.json')


def read_results(study: Study, data: str) -> Results:
    """The results file of a data set; empty results if it is missing.

    Results of runs that the study no longer has, or has with other settings, are left out.

    Raises:
        ValueError: naming the file, if it is broken, or of other settings of the data set.
    """
    path = results_path(study, data)
    new = Results(settings_of(study, study.data[data]))
    if not osp.isfile(path):
        return new
    try:
        with open(path, encoding='utf-8') as file:
            found = Results(**json.load(file))
        found.answers = {key: Errors(**value) for key, value in found.answers.items()}
        found.courses = {key: TrainingCurve(**value) for key, value in found.courses.items()}
        before = dict(found.settings['runs'])
        for answer in found.answers.values():
            unpack(answer.wrong, len(found.labels))
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise ValueError(f'{path} is broken ({error}): restore or delete it') from error
    # Each point of the curve is a test of its own.
    for key in sorted(new.settings.keys() - {'runs', 'curve'}):
        if found.settings.get(key) != new.settings[key]:
            raise ValueError(
                f'{path} has results with {key}={found.settings.get(key)!r}, the study has '
                f'{new.settings[key]!r}: move the file away, or give --out'
            )
    return _without(found, _outdated(before, new.settings['runs']), new.settings)


def _outdated(before: dict[str, dict], now: dict[str, dict]) -> set[str]:
    """Runs whose settings differ, or those of a run that they start from."""
    found = {name for name in before if before[name] != now.get(name)}
    while more := {
        name
        for name in before.keys() - found
        if found & {before[name]['staged_from'], before[name]['start_from']}
    }:
        found |= more
    return found


def _without(results: Results, runs: set[str], settings: dict[str, Any]) -> Results:
    """The results without those of some runs, for these settings."""

    def kept(found: dict) -> dict:
        # 'A+B dense one/0' of a side, 'A/0' of a run.
        names = {key: re.split(r'[ /]', key)[0].split('+') for key in found}
        return {key: value for key, value in found.items() if not runs.intersection(names[key])}

    return replace(
        results,
        settings=settings,
        answers=kept(results.answers),
        courses=kept(results.courses),
        test_minutes=kept(results.test_minutes),
    )
