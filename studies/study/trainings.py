"""The trainings of a study: each a chain of ``tools/train_chain.py`` in a folder of its own."""

import json
import os
import os.path as osp
import re
import shlex
from functools import cached_property
from typing import Any, NamedTuple, Optional

from mmengine.config import Config

from vgg_mm.apis.chain import load_chain
from vgg_mm.apis.chain.job import DONE, Job
from vgg_mm.apis.chain.stages import RunOptions, option_texts
from vgg_mm.apis.subprocess_tools import tool_command
from vgg_mm.architectures import STRIDE
from vgg_mm.checkpoints import write_atomically

from .study import ONE, DataSet, Run, Study

#: File in a run's folder if its loss was not finite.
OUTCOME_FILE = 'study_outcome.json'

#: The message of the loss guard in that case.
NOT_FINITE = re.compile(r'the loss is (nan|-?inf) at iteration (\d+)')


class TrainingKey(NamedTuple):
    """A run on a data set with a seed."""

    data: str
    seed: int
    run: str

    def __str__(self) -> str:
        return f'{self.data}, seed {self.seed}, {self.run}'


class Training:
    """A run on a data set with a seed; ``source`` is the training that it starts from, if any."""

    def __init__(
        self,
        study: Study,
        key: TrainingKey,
        amp: bool = False,
        source: Optional['Training'] = None,
    ):
        self.study = study
        self.key = key
        self.run: Run = study.runs[key.run]
        self.data: DataSet = study.data[key.data]
        self.source = source
        self.amp = amp
        self.parent = osp.join(study.work_dir, key.data, f'seed{key.seed}')
        self.folder = osp.join(self.parent, key.run)
        self.chain = osp.join(study.work_dir, key.data, 'chains', f'{key.run}.py')

    def __str__(self) -> str:
        return str(self.key)

    @cached_property
    def options(self) -> dict[str, Any]:
        """``--cfg-options`` of training and tests, except seed and data folder."""
        return run_options(self.study, self.data, self.run)

    @cached_property
    def common(self) -> list[str]:
        """``--cfg-options`` of all runs with this seed on these data."""
        options = {'DATA_ROOT': self.data.root, 'randomness.seed': self.key.seed}
        if 'views' in Config.fromfile(self.data.config).train_cfg:
            # Otherwise, the cached maps would be of the same crops with every seed.
            options['train_cfg.seed'] = self.key.seed
        return option_texts(options)

    @cached_property
    def job(self) -> Job:
        """Its stage of the chain.

        Raises:
            ValueError, FileNotFoundError: in one line, if its settings are wrong.
        """
        self.write_chain()
        stage = load_chain(self.chain)[-1]
        options = RunOptions(self.parent, tuple(self.common), self.amp)
        return Job(stage, options, self.source.job if self.source else None)

    def stages(self) -> list[dict[str, Any]]:
        """Its own stage and those before it, as in a chain file."""
        before = self.source.stages() if self.source else []
        keys = ('staged_from', 'start_from') if self.source else ()
        start = {key: value for key in keys if (value := getattr(self.run, key))}
        config = osp.relpath(self.data.config, osp.dirname(self.chain))
        return [*before, dict(name=self.run.name, config=config, **start, options=self.options)]

    def write_chain(self) -> None:
        """Write the chain, unless it exists with the same content."""
        text = f'# Written by studies/run.py {self.study.path}\nstages = [\n'
        text += ''.join(f'    {stage!r},\n' for stage in self.stages()) + ']\n'
        if osp.isfile(self.chain):
            with open(self.chain, encoding='utf-8') as file:
                if file.read() == text:
                    return
        os.makedirs(osp.dirname(self.chain), exist_ok=True)
        with open(self.chain, 'w', encoding='utf-8') as file:
            file.write(text)

    def command(self) -> list[str]:
        """The call of ``tools/train_chain.py`` that trains it."""
        return tool_command('train_chain.py', *self.arguments())

    def arguments(self) -> list[str]:
        return [
            *(self.chain, '--work-dir', self.parent, '--from', self.run.name),
            *(['--amp'] if self.amp else []),
            *('--cfg-options', *self.common),
        ]

    def shown_command(self) -> str:
        return shlex.join(['python', 'tools/train_chain.py', *self.arguments()])

    def problem(self) -> str:
        """Why an existing training cannot be used, in one line; empty if it can."""
        return self.job.problem()

    @property
    def done(self) -> bool:
        """Whether it is finished with the current settings."""
        there = osp.isdir(self.folder) and self.job.state() == DONE
        return there and not self.problem()

    @property
    def finished(self) -> Optional[str]:
        """When it ended, which identifies the training."""
        record = self.job.record()
        return record.finished if record else None

    @property
    def minutes(self) -> float:
        record = self.job.record()
        return record.minutes if record else 0.0

    def not_finite(self) -> Optional[str]:
        """What was wrong with the loss under the current settings; None: nothing so far."""
        path = osp.join(self.folder, OUTCOME_FILE)
        if not osp.isfile(path):
            return None
        with open(path, encoding='utf-8') as file:
            outcome = json.load(file)
        return outcome['line'] if outcome['settings'] == self.job.settings else None

    def note_failure(self, line: str) -> bool:
        """Record that the loss was not finite; False if the failure is of another kind."""
        found = NOT_FINITE.search(line)
        if not found:
            return False
        outcome = dict(settings=self.job.settings, line=found.group(0))
        path = osp.join(self.folder, OUTCOME_FILE)
        write_atomically(path, json.dumps(outcome, indent=1).encode())
        return True


def run_options(study: Study, data: DataSet, run: Run) -> dict[str, Any]:
    """The options that turn the data set's config into that of a run."""
    cfg = Config.fromfile(data.config)
    init, scale = run.init or study.init, data.scales[run.scale]
    (one,) = data.tests[run.scale][ONE]
    train = _step(cfg.train_dataloader.dataset.pipeline, 'vgg_mm.ScaleJitter', data)
    options = {
        'model.backbone.arch': run.arch,
        'model.backbone.base_channels': data.width,
        'model.backbone.init_cfg': init,
        'model.head.init_cfg': init,
        'model.head.in_channels': 8 * data.width,
        'model.head.fc_channels': data.fc_channels,
        'model.head.kernel_size': data.crop // STRIDE,
        f'train_dataloader.dataset.pipeline.{train}.scale': scale,
        f'train_dataloader.dataset.pipeline.{train}.crop_size': data.crop,
    }
    for loader in ('val_dataloader', 'test_dataloader'):
        pipeline = cfg[loader].dataset.pipeline
        start = f'{loader}.dataset.pipeline'
        crop = f'{start}.{_step(pipeline, "vgg_mm.CentralCrop", data)}'
        options |= {f'{crop}.scale': one, f'{crop}.crop_size': data.crop}
    views = _step(cfg.get('tta_pipeline') or [], 'vgg_mm.TestScales', data)
    options[f'tta_pipeline.{views}.trained_at'] = scale
    return {**options, **data.options_of(run)}


def _step(pipeline: list[dict], kind: str, data: DataSet) -> int:
    """Index of the step of that type."""
    for number, step in enumerate(pipeline):
        if step['type'] == kind:
            return number
    raise ValueError(f'data set {data.name}: {data.config} has no {kind} where a study needs it')


def trainings(study: Study, amp: bool = False) -> dict[TrainingKey, Training]:
    """All runs on their data sets with all seeds, each after the run that it starts from."""
    found: dict[TrainingKey, Training] = {}
    for seed in study.seeds:
        for data in study.data:
            for name in study.runs_on(data):
                key = TrainingKey(data, seed, name)
                before = study.data[data].source(study.runs[name])
                source = found[TrainingKey(data, seed, before)] if before else None
                found[key] = Training(study, key, amp, source)
    return found
