"""Trainings of the shipped configs through tools/train.py, and what they have logged."""

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def run_tool(tool: str, log_dir: Path, *arguments: Any) -> None:
    """Run tools/TOOL; what it prints is added to log.txt of the folder."""
    log_dir.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, ROOT / 'tools' / tool, *arguments]
    with open(log_dir / 'log.txt', 'a', encoding='utf-8') as log:
        subprocess.run(list(map(str, command)), check=True, stdout=log, stderr=log)


def train(config: Path, work_dir: Path, options: Mapping[str, Any], *flags: str) -> list[dict]:
    """Train, or resume; a training that is complete is not run again.

    Args:
        options: --cfg-options.
        flags: other arguments of the tool.

    Returns:
        What was logged, resumed runs included, in order.
    """
    done = work_dir / 'done'
    if not done.exists():
        settings = [f'{key}={value}' for key, value in options.items()]
        arguments = [config, '--work-dir', work_dir, '--resume', *flags, '--cfg-options', *settings]
        run_tool('train.py', work_dir, *arguments)
        done.touch()
    return [
        json.loads(line)
        for path in sorted(work_dir.glob('*/vis_data/scalars.json'))
        for line in path.read_text(encoding='utf-8').splitlines()
    ]


def last_checkpoint(work_dir: Path) -> Path:
    """The checkpoint after the last epoch."""
    return Path((work_dir / 'last_checkpoint').read_text(encoding='utf-8'))


def losses(rows: list[dict]) -> dict[int, float]:
    """Iteration -> loss."""
    return {row['step']: round(row['loss'], 4) for row in rows if 'loss' in row}


def seconds_an_iteration(rows: list[dict]) -> float:
    """The median."""
    return statistics.median(row['time'] for row in rows if 'loss' in row)
