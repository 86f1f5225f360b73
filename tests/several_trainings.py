"""Runs tools/train.py for every line of a file in the same process(es), which saves their start.

After an error, the next line is run. Each process writes its error output to errors_RANK.txt, since
lines of two processes that write to the same pipe would be mixed.
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
