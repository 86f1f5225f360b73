"""``make demo``: from the embedded digits to a table of errors, through the command-line tools."""

import json
import os
import subprocess
import sys
import time
from typing import NamedTuple, Optional

from vgg_mm.evaluation import RECORDS_FILE, TestRecord, read_records, scale_texts

from .tables import error_cell, format_table

HEADERS = ('net', 'S', 'Q', 'protocol', 'top-1 error', 'top-5 error', 'minutes')


class Stage(NamedTuple):
    """One net of the demo; ``tta_cfg`` is how it is tested (``configs/_base_/tta``)."""

    net: str
    config: str
    tta_cfg: str
    initialised_from: Optional[str] = None  # the net whose checkpoint it starts from


STAGES = (
    Stage('A', 'vgg11_jitter_digits', 'dense'),
    Stage('D', 'vgg16_jitter_digits', 'all', initialised_from='A'),
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
        self._tool('prepare_data.py', 'digits', '--out', self.data_root)
        rows = []
        for stage in STAGES:
            minutes = self._train(stage)
            print(f'\nTesting net {stage.net}.', flush=True)
            self._test(stage)
            records = read_records(os.path.join(self._work_dir(stage), RECORDS_FILE))
            rows += [_row(record, minutes) for record in records]
        table = format_table(HEADERS, rows)
        print(
            '\nErrors in percent on the last 360 digits (other writers), with 95 % confidence '
            f'intervals.\n\n{table}\n\n'
            'minutes: to train the net, and to test it (several protocols in one pass).\n'
            f'Checkpoints and logs: {self.work_dir}'
        )
        return table

    def _work_dir(self, stage: Stage) -> str:
        return os.path.join(self.work_dir, stage.net)

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
        work_dir = self._work_dir(stage)
        os.makedirs(work_dir, exist_ok=True)
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

    def _test(self, stage: Stage) -> None:
        """Test; the results are added to the work directory."""
        self._tool(
            'test.py', self._config(stage), self._checkpoint(stage.net), '--tta', '--tta-cfg',
            stage.tta_cfg, '--work-dir', self._work_dir(stage), '--cfg-options',
            f'DATA_ROOT={self.data_root}',
        )  # fmt: skip

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
                if 'Epoch(val)' in line or 'training and test images' in line:
                    print('  ' + line.split(' - ')[-1].split('  data_time')[0].rstrip(), flush=True)
        if process.returncode:
            raise RuntimeError(f'{name} failed:\n{"".join(lines[-5:])}')
        return time.monotonic() - started


def _row(record: TestRecord, training: float) -> list[str]:
    errors = [error_cell(record, k) for k in (1, 5)]
    testing = record.images * record.seconds_per_image / 60
    return [
        record.net,
        *scale_texts(record),
        record.protocol,
        *errors,
        f'{training:.1f} + {testing:.1f}',
    ]


def _read_number(path: str) -> float:
    try:
        with open(path, encoding='utf-8') as file:
            return float(json.load(file))
    except FileNotFoundError:
        return 0.0
