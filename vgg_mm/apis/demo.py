"""``make demo``: from the embedded digits to a table of errors, through the command-line tools."""

import json
import os
import subprocess
import sys
import time
from typing import NamedTuple, Optional

from mmengine.config import Config

from .tables import format_table

HEADERS = ('net', 'S', 'Q', 'protocol', 'top-1 error', 'top-5 error', 'minutes')


class Stage(NamedTuple):
    """One net of the demo."""

    net: str
    config: str
    initialised_from: Optional[str] = None  # the net whose checkpoint it starts from


STAGES = (
    Stage('A', 'vgg11_jitter_digits'),
    Stage('D', 'vgg16_jitter_digits', initialised_from='A'),
)


class Demo:
    """Trains A, then D from A, and tests both.

    Args:
        root: Folder that holds ``tools`` and ``configs``.
        work_dir: Folder for checkpoints and logs. Runs that are finished there are used, ones that
            were interrupted go on.
        data_root: Folder for the digits.
    """

    def __init__(self, root: str, work_dir: str = 'work_dirs/demo', data_root: str = 'data/digits'):
        self.root = root
        self.work_dir = work_dir
        self.data_root = data_root

    def run(self) -> str:
        """Do everything; returns the table, errors in percent."""
        os.makedirs(self.work_dir, exist_ok=True)
        self._tool('prepare_data.py', 'digits', '--out', self.data_root)
        rows = []
        for stage in STAGES:
            minutes = self._train(stage)
            rows += [[*row, f'{minutes + test:.1f}'] for *row, test in self._test(stage)]
        table = format_table(HEADERS, rows)
        print(
            f'\nErrors in percent on the last 360 digits (other writers).\n\n{table}\n\n'
            'minutes: to train the net and to test it so.\n'
            f'Checkpoints and logs: {self.work_dir}'
        )
        return table

    def _checkpoint(self, net: str) -> str:
        with open(os.path.join(self.work_dir, net, 'last_checkpoint'), encoding='utf-8') as file:
            return file.read()

    def _config(self, stage: Stage) -> str:
        return os.path.join(self.root, 'configs', 'vgg', f'{stage.config}.py')

    def _train(self, stage: Stage) -> float:
        """Train, or go on; returns the minutes it took in all."""
        options = [f'DATA_ROOT={self.data_root}']
        if stage.initialised_from:
            source = self._checkpoint(stage.initialised_from)
            options.append(f'default_hooks.staged_init.checkpoint={source}')
        work_dir = os.path.join(self.work_dir, stage.net)
        started_from = f', initialised from {stage.initialised_from}' if len(options) > 1 else ''
        print(f'\nTraining net {stage.net}{started_from}:', flush=True)
        spent = os.path.join(work_dir, 'minutes.json')
        before = _read_number(spent)
        seconds = self._tool(
            'train.py', self._config(stage), '--resume', '--work-dir', work_dir,
            '--cfg-options', *options,
        )  # fmt: skip
        # A run that only finds itself finished adds nothing to what was measured.
        minutes = before or seconds / 60
        with open(spent, 'w', encoding='utf-8') as file:
            json.dump(minutes, file)
        return minutes

    def _test(self, stage: Stage) -> list[list]:
        """Rows of the table up to the errors, each with the minutes of its test."""
        cfg = Config.fromfile(self._config(stage))
        scale = '[{};{}]'.format(*_find(cfg.train_pipeline, 'vgg_mm.ScaleJitter').scale)
        centre = _find(cfg.test_pipeline, 'ResizeEdge').scale
        scales = tuple(_find(cfg.tta_pipeline, 'vgg_mm.TestScales').scales)
        tests = [(centre, 'centre crop', [])]
        for q in (scales[:1], scales):
            option = f'tta_pipeline.1.scales=({",".join(map(str, q))},)'
            tests.append((','.join(map(str, q)), 'dense', ['--tta', '--cfg-options', option]))
        rows = []
        print(f'\nTesting net {stage.net}:', flush=True)
        for q, protocol, options in tests:
            out = os.path.join(self.work_dir, 'metrics.json')
            options = options or ['--cfg-options']
            seconds = self._tool(
                'test.py', self._config(stage), self._checkpoint(stage.net), '--work-dir',
                self.work_dir, '--out', out, '--out-item', 'metrics',
                *options, f'DATA_ROOT={self.data_root}',
            )  # fmt: skip
            with open(out, encoding='utf-8') as file:
                metrics = json.load(file)
            errors = [f'{metrics[f"error/top{k}"]:.1f}' for k in (1, 5)]
            rows.append([stage.net, scale, q, protocol, *errors, seconds / 60])
        return rows

    def _tool(self, name: str, *args: str) -> float:
        """Run a tool, showing the lines that matter; returns its seconds.

        Raises:
            RuntimeError: if it fails, with its last lines.
        """
        started = time.monotonic()
        command = [sys.executable, os.path.join(self.root, 'tools', name), *args]
        lines = []
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            for line in process.stdout:
                lines.append(line)
                if 'Epoch(val)' in line or 'Epoch(test)' in line or 'images' in line:
                    print('  ' + line.split(' - ')[-1].split('  data_time')[0].rstrip(), flush=True)
        if process.returncode:
            raise RuntimeError(f'{name} failed:\n{"".join(lines[-5:])}')
        return time.monotonic() - started


def _find(pipeline: list, kind: str):
    """The transform of that type in a pipeline."""
    return next(step for step in pipeline if step['type'] == kind)


def _read_number(path: str) -> float:
    try:
        with open(path, encoding='utf-8') as file:
            return float(json.load(file))
    except FileNotFoundError:
        return 0.0
