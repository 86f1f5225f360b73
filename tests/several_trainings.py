"""Runs tools/train.py once for every line of a file, in the same process(es): saves their start.

Where it ends with an error, the next line is run all the same. What the runs print as errors stands
in errors_RANK.txt, each process's in a file of its own, since two that write to one pipe mix lines.
"""

import contextlib
import os
import runpy
import shlex
import sys
from pathlib import Path

TRAIN = Path(__file__).parent.parent / 'tools' / 'train.py'

if __name__ == '__main__':
    sys.path.insert(0, str(TRAIN.parent))
    lines = Path(sys.argv[1]).read_text().splitlines()
    with (
        open(f'errors_{os.environ.get("RANK", 0)}.txt', 'w', buffering=1) as errors,
        contextlib.redirect_stderr(errors),
    ):
        for line in lines:
            sys.argv = [str(TRAIN), *shlex.split(line)]
            try:
                runpy.run_path(str(TRAIN), run_name='__main__')
            except SystemExit as end:
                print(f'{line}: ended with status {end.code}', file=sys.stderr)
