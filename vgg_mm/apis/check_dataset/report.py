"""From a folder to the report."""

import json
import os
import re
import time
from typing import Optional

from ..cores import available_cores
from ..tables import say
from .findings import SERIOUS, Findings, count_problems, find_duplicates, problems
from .layout import find_layout
from .picture import picture
from .scan import scan
from .summary import summary
from .text import render, verdict

REPORT, PROBLEMS, PICTURE = 'report.json', 'problems.txt', 'report.png'

#: Exit status of a program that the user stopped.
STOPPED = 130


def check_dataset(
    folder: str, out: Optional[str] = None, workers: Optional[int] = None, crop_size: int = 224
) -> int:
    """Read every image of a data set, print what is wrong and write it to files.

    Args:
        folder: Holds CLASS/* or SPLIT/CLASS/*.
        out: Folder for ``report.json``, ``problems.txt`` (path, kind and reason in a line, with
            tabs) and ``report.png``; work_dirs/check_dataset/NAME if None.
        workers: Processes that read images; as many as there are cores if None.
        crop_size: Side in pixels of the crops to train on.

    Returns:
        Exit status: 0; 1 if there are unreadable files, duplicates across splits or splits with
        different classes; 130 if the user stopped it, with files about what was read by then.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if there are no images in class folders, ``out`` lies in the data set, or a
            number is not positive.
    """
    for name, value in (('--workers', workers), ('--crop-size', crop_size)):
        if value is not None and value < 1:
            raise ValueError(f'{name} must be positive, got {value}')
    layout = find_layout(folder)
    name = os.path.basename(os.path.realpath(folder))
    out = out or os.path.join('work_dirs', 'check_dataset', name)
    _make_folder(out, folder)
    workers = workers or available_cores()
    processes = 'one process' if workers == 1 else f'{workers} processes'
    say(f'{folder}: reading {len(layout.paths):,} images with {processes}')
    start = time.monotonic()
    images = scan(layout, workers)
    seconds = time.monotonic() - start
    findings = Findings(layout, images, find_duplicates(layout, images), crop_size)
    say(f'{images.seen:,} images in {seconds:,.1f} s\n\n{render(findings)}\n')
    conclusion = verdict(findings)
    serious = any(count_problems(findings)[kind] for kind in SERIOUS)
    status = int(serious) if findings.complete else STOPPED
    _write_problems(os.path.join(out, PROBLEMS), findings)
    with open(os.path.join(out, REPORT), 'w', encoding='utf-8') as file:
        json.dump(dict(summary(findings), verdict=conclusion, exit_status=status), file, indent=1)
    picture(findings, conclusion, os.path.join(out, PICTURE))
    say(f'{REPORT}, {PROBLEMS} and {PICTURE} are in {out}\n{conclusion}')
    return status


def _make_folder(out: str, data: str) -> None:
    where, inside = os.path.realpath(out), os.path.realpath(data)
    if os.path.commonpath([where, inside]) == inside:
        raise ValueError(
            f'{out} lies in the data set, which the report would change: --out FOLDER elsewhere'
        )
    os.makedirs(out, exist_ok=True)


def _write_problems(path: str, findings: Findings) -> None:
    # surrogateescape gives file names back byte by byte.
    with open(path, 'w', encoding='utf-8', errors='surrogateescape') as file:
        for problem in problems(findings):
            file.write('\t'.join(re.sub(r'[\t\r\n]', ' ', text) for text in problem) + '\n')
