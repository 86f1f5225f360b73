"""Results as they come: on the terminal and in a file."""

import csv
import io
import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Optional

from vgg_mm.apis.subprocess_tools import interruptible
from vgg_mm.apis.tables import say
from vgg_mm.checkpoints import write_atomically
from vgg_mm.installation import argument
from vgg_mm.progress import Progress, with_progress
from vgg_mm.text import printable

#: Formats of ``out``, by its ending.
ENDINGS = ('.csv', '.json')

#: Seconds between two writes of a file while results come; more if a write takes long.
SAVE_EVERY = 60


def check_out(path: str, endings: Sequence[str] = ENDINGS) -> None:
    """Refuse a file that could not be written at the end, and make its folder.

    Raises:
        ValueError: if it does not end as it should, or is a folder.
        OSError: if its folder cannot be made or written to.
    """
    if not path.lower().endswith(tuple(endings)):
        raise ValueError(f'{argument("out", path)}: the file must end in {" or ".join(endings)}')
    if os.path.isdir(path):
        raise ValueError(f'{argument("out", path)} is a folder; give a file in it')
    make_folder(os.path.dirname(path) or '.', argument('out'))


def make_folder(folder: str, option: str) -> None:
    """Make a folder for results.

    Raises:
        OSError: in one line with the option that named it.
    """
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise OSError(f'{option}: the folder {folder} cannot be made: {reason}') from error
    if not os.access(folder, os.W_OK):
        raise PermissionError(f'{option}: the folder {folder} cannot be written to')


def collect(
    results: Iterable[Any],
    progress: Progress,
    describe: Callable[[list[Any]], str],
    out: Optional[str] = None,
    info: Optional[dict[str, Any]] = None,
    pictures: Optional[str] = None,
) -> int:
    """Collect results until the end, an error or a signal; print and write them.

    If killed, the file contains the results up to about a minute before.

    Args:
        results: Of images; each has ``image``, ``error`` ('' if it was read), ``picture`` (a file
            or ''), and ``to_json()`` and ``csv_rows()`` of what else there is.
        progress: Of all images.
        describe: What the terminal shows of results.
        out: A file that :func:`check_out` passes. Names that are no text are written with
            ``\\udcxx`` for their bytes.
        info: Further content of a JSON file.
        pictures: Folder of the pictures.

    Returns:
        Exit status: 0, or 1 if no image could be read.
    """
    done: list[Any] = []
    due = time.monotonic() + SAVE_EVERY
    try:
        with interruptible():
            for one in with_progress(results, progress):
                done.append(one)
                start = time.monotonic()
                if out is not None and start >= due:
                    _write(out, done, info, complete=False)
                    end = time.monotonic()
                    # A long file must not cost more time than the results do.
                    due = end + max(SAVE_EVERY, 20 * (end - start))
    finally:
        if done:
            say(describe(done))
            if len(done) < progress.total:
                say(f'{len(done):,} of {progress.total:,} images')
            if pictures is not None:
                say(f'pictures are in {printable(pictures)}')
            if out is not None:
                _write(out, done, info, complete=len(done) == progress.total)
                say(f'results are in {printable(out)}')
    return int(all(one.error for one in done))


def _write(out: str, done: list[Any], info: Optional[dict[str, Any]], complete: bool) -> None:
    """Write a file, whole or not at all."""
    if out.lower().endswith('.csv'):
        text = _csv(done)
    else:
        content = dict(info or {}, complete=complete, predictions=[_entry(one) for one in done])
        text = json.dumps(content, ensure_ascii=False, indent=1) + '\n'
    write_atomically(out, text.encode('utf-8', 'backslashreplace'))


def _entry(one: Any) -> dict[str, Any]:
    entry = dict(image=one.image) | (dict(error=one.error) if one.error else one.to_json())
    return dict(entry, picture=one.picture) if one.picture else entry


def _csv(done: list[Any]) -> str:
    rows = [
        dict(image=one.image, error=one.error, picture=one.picture, **row)
        for one in done
        for row in one.csv_rows() or [{}]
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
