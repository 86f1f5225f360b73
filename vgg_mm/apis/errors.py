"""One clear line for every error that a user can cause."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

#: What wrong configs, files and data raise; anything else is a defect and shows its traceback.
EXPECTED = (
    ValueError,
    TypeError,
    KeyError,
    AssertionError,
    OSError,
    ImportError,
    SyntaxError,
    RuntimeError,
)

#: mmengine's registry puts this before the message of each object that it could not build.
_BUILD_PREFIX = re.compile(r'^(class )?`[\w.]+` in [\w./]+: ')

#: With this variable set, tools show the traceback, too.
TRACEBACK_VARIABLE = 'VGG_MM_TRACEBACK'


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Print an expected error as one line on standard error and leave with status 1."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (head, less) has seen enough; nothing may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except EXPECTED as error:
        if os.environ.get(TRACEBACK_VARIABLE):
            raise
        print(f'error: {one_line(error)}', file=sys.stderr, flush=True)
        sys.exit(1)


def one_line(error: BaseException) -> str:
    """The message of an exception without the layers that mmengine and torch put around it."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    if lines[0].startswith('Caught ') and 'DataLoader worker' in lines[0]:
        # torch puts the worker's whole traceback into the message; its last line is the error.
        line = re.sub(r'^[\w.]+: ', '', lines[-1])
    else:
        line = ' '.join(lines)
    while _BUILD_PREFIX.match(line):
        line = _BUILD_PREFIX.sub('', line)
    return line
