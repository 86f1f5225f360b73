"""From work directories to tables."""

import os
from collections.abc import Sequence
from typing import Optional

from vgg_mm.apis.document import DIM, markdown, page
from vgg_mm.evaluation import RECORDS_FILE
from vgg_mm.installation import command

from .collect import find_results
from .run import run_missing
from .tables import sections
from .text import MISSING, TITLE, blocks, plain


def paper_table(
    folders: Sequence[str],
    out: Optional[str] = None,
    run: bool = False,
    data_root: Optional[str] = None,
    show_imagenet: bool = False,
) -> None:
    """Print the paper's Tables 3 to 7 from the test results below the folders.

    Args:
        folders: Work directories, or folders above them.
        out: Folder for ``tables.md`` and ``tables.html``.
        run: First run the tests whose results are missing.
        data_root: With ``run``: replaces the configs' ``DATA_ROOT``.
        show_imagenet: Also the paper's tables where there is no result on ImageNet.

    Raises:
        FileNotFoundError: if there is no such folder, or no result in any.
        ValueError: if a results file is broken, or ``data_root`` is given without ``run``.
        RuntimeError: at the end, if tests failed.
    """
    if data_root is not None and not run:
        raise ValueError(f'--data-root {data_root} has no effect without --run')
    results = find_results(folders)
    tests = failed = 0
    if run:
        tests, failed = run_missing(folders, results, data_root)
        results = find_results(folders)
    if not results:
        raise FileNotFoundError(
            f'no results ({RECORDS_FILE}) in {", ".join(folders)}; '
            f'{command("test")} leaves them in its work directory'
        )
    found = sections(results, show_imagenet)
    print(plain(found))
    if out is not None:
        os.makedirs(out, exist_ok=True)
        stem = os.path.join(out, 'tables')
        _write(f'{stem}.md', markdown(blocks(found), stem))
        _write(f'{stem}.html', page(blocks(found, plots=True), TITLE, {MISSING: DIM}))
    if failed:
        raise RuntimeError(f'{failed} of {tests} tests failed (see above)')


def _write(path: str, text: str) -> None:
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)
