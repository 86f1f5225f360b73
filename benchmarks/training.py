"""Trainings of the shipped configs with tools/train.py, and their logs."""

import statistics
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from vgg_mm.apis.chain.curves import read_rows  # noqa: E402
from vgg_mm.apis.subprocess_tools import tool_command  # noqa: E402

#: Settings of ``--cfg-options``.
Options = Mapping[str, Any]


def run_tool(tool: str, log_dir: Path, *arguments: Any, options: Options) -> None:
    """Run tools/TOOL; its output is appended to log.txt in the folder."""
    log_dir.mkdir(parents=True, exist_ok=True)
    settings = [f'{key}={value}' for key, value in options.items()]
    command = tool_command(tool, *map(str, arguments), '--cfg-options', *settings)
    with open(log_dir / 'log.txt', 'a', encoding='utf-8') as log:
        subprocess.run(command, check=True, stdout=log, stderr=log)


def prepare_digits(folder: str) -> None:
    """Write scikit-learn's digits to a folder, as their configs expect."""
    command = tool_command('prepare_data.py', 'digits', '--out', folder)
    subprocess.run(command, check=True)


def run_training(config: Path, work_dir: Path, options: Options, *flags: str) -> list[dict]:
    """Train, or resume; a finished training is not run again.

    Args:
        flags: Other arguments of the tool.

    Returns:
        All rows of the log in order, those of resumed runs included.
    """
    done = work_dir / 'done'
    if not done.exists():
        arguments = [config, '--work-dir', work_dir, '--resume', *flags]
        run_tool('train.py', work_dir, *arguments, options=options)
        done.touch()
    logs = sorted(work_dir.glob('*/vis_data/scalars.json'))
    return [row for log in logs for row in read_rows(str(log))]


def losses(rows: list[dict]) -> dict[int, float]:
    """Iteration -> loss."""
    return {row['step']: round(row['loss'], 4) for row in rows if 'loss' in row}


def seconds_an_iteration(rows: list[dict]) -> float:
    """Median duration of an iteration."""
    return statistics.median(row['time'] for row in rows if 'loss' in row)
