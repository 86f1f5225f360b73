"""What a training has logged."""

import json
from pathlib import Path


def read_scalars(work_dir: Path) -> list[dict]:
    """The rows of all runs in a work directory, those that were resumed included, in order."""
    return [
        json.loads(line)
        for path in sorted(work_dir.glob('*/vis_data/scalars.json'))
        for line in path.read_text(encoding='utf-8').splitlines()
    ]
