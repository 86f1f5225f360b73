"""The tests of a study: runs of ``tools/test.py`` over the test images, each at one Q.

Averages over several Q, protocols and nets are computed from the posteriors of these runs. The
result is the same as in one pass with all of them (Section 3.2), and nothing is tested twice.
"""

import json
import os.path as osp
import shlex
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Optional

import numpy as np

from vgg_mm.apis.chain.stages import option_texts
from vgg_mm.apis.subprocess_tools import tool_command
from vgg_mm.apis.test_results import CENTRE_CROP
from vgg_mm.checkpoints import write_atomically
from vgg_mm.evaluation import RECORDS_FILE, Posteriors, load_posteriors, read_records
from vgg_mm.evaluation.ensemble import Member, ensembles

from .study import CENTRE, PARTS, Candidate
from .trainings import Training, TrainingKey

#: A training by its run, data set and seed.
Trainings = Mapping[TrainingKey, Training]


class Evaluation(NamedTuple):
    """A test of a training: ``part`` is 'dense', 'multi_crop' or 'centre', ``q`` in pixels."""

    training: Training
    part: str
    q: int

    def __str__(self) -> str:
        return f'{self.key}: {self.part} at Q = {self.q}'

    @property
    def key(self) -> TrainingKey:
        """The key of its training."""
        return self.training.key

    @property
    def folder(self) -> str:
        return osp.join(self.training.folder, 'tests', f'{self.part}_{self.q}')

    @property
    def posteriors(self) -> str:
        return osp.join(self.folder, 'posteriors.npz')

    @property
    def note(self) -> str:
        """The file that records which checkpoint was tested, and how."""
        return osp.join(self.folder, 'study_test.json')

    def arguments(self) -> list[str]:
        """Arguments of ``tools/test.py``."""
        training, options = self.training, dict(self.training.options)
        views = next(k for k in options if k.startswith('tta_pipeline.')).rpartition('.')[0]
        if self.part != CENTRE:
            options.update({'tta_model.protocol': self.part, f'{views}.scales': self.q})
        return [
            *(training.job.stage.config, training.job.checkpoint()),
            *([] if self.part == CENTRE else ['--tta']),
            *('--work-dir', self.folder, '--out', self.posteriors),
            *(['--amp'] if training.amp else []),
            *('--cfg-options', *option_texts(options), *training.common),
        ]

    def command(self) -> list[str]:
        return tool_command('test.py', *self.arguments())

    def shown_command(self) -> str:
        return shlex.join(['python', 'tools/test.py', *self.arguments()])

    def inputs(self) -> dict:
        """Everything that its result depends on."""
        return dict(arguments=self.arguments(), trained=self.training.finished)

    @property
    def done(self) -> bool:
        if not (osp.isfile(self.note) and osp.isfile(self.posteriors) and self.training.done):
            return False
        with open(self.note, encoding='utf-8') as file:
            return json.load(file)['key'] == self.inputs()

    def note_done(self) -> None:
        """Record that the posteriors belong to the current checkpoint and settings."""
        record = read_records(osp.join(self.folder, RECORDS_FILE))[-1]
        content = dict(key=self.inputs(), seconds_per_image=record.seconds_per_image)
        write_atomically(self.note, json.dumps(content, indent=1).encode())

    def seconds_per_image(self) -> float:
        """Wall time of the finished test, data included."""
        with open(self.note, encoding='utf-8') as file:
            return json.load(file)['seconds_per_image']

    def member(self) -> Member:
        return Member(self.posteriors, CENTRE_CROP if self.part == CENTRE else self.part)


def evaluations(side: Candidate, data: str, seed: int, found: Trainings) -> list[Evaluation]:
    """The tests from which a side's posteriors are averaged."""
    some = [found[TrainingKey(data, seed, run)] for run in side.runs]
    return [
        Evaluation(training, part, q)
        for training in some
        for part in PARTS[training.data.protocol(side)]
        for q in training.data.test_scales(training.run, side.scale)
    ]


def all_evaluations(
    sides: Iterable[Candidate], data: str, seed: int, found: Trainings, runs: Optional[set] = None
) -> list[Evaluation]:
    """The tests of some sides, each once; only those of ``runs`` if these are given."""
    tests = [one for side in sides for one in evaluations(side, data, seed, found)]
    return [one for one in dict.fromkeys(tests) if runs is None or one.key.run in runs]


def average(tests: list[Evaluation]) -> Posteriors:
    """Mean of the tests' posteriors, images sorted by name; ``scores`` has one entry."""
    members = [test.member() for test in tests]
    if len(members) == 1:
        content = load_posteriors(members[0].path)
    else:
        content = ensembles(members)[0].posteriors
    order = np.argsort(content.names)
    (scores,) = content.scores.values()
    return content._replace(
        scores={'mean': scores[order]},
        labels=content.labels[order],
        names=[content.names[i] for i in order],
    )
