"""From a folder to the report: in the terminal and in files."""

import json
import os
import re
import time
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Optional, Union

import numpy as np

from vgg_mm.checkpoints import write_atomically
from vgg_mm.installation import argument
from vgg_mm.text import first_few

from ..image_folders import is_inside
from ..subprocess_tools import available_cores
from ..tables import format_table, say
from .findings import (
    MISSING_CLASS,
    RATIOS,
    SERIOUS,
    UNREADABLE,
    Findings,
    class_counts,
    count_problems,
    find_duplicates,
    histogram,
    label_shift,
    problems,
    shared_images,
    summary,
)
from .layout import NO_SPLITS, find_layout
from .picture import picture
from .scan import scan

REPORT, PROBLEMS, PICTURE = 'report.json', 'problems.txt', 'report.png'

#: Exit status of a program that the user stopped.
STOPPED = 130

#: Problems of a kind that are shown.
EXAMPLES = 5

#: Length of the longest bar of a histogram.
BAR = 40

#: Names of the ranges between the bounds in ``RATIOS``.
RATIO_NAMES = ('below 1:2', '1:2 to 3:4', '3:4 to 4:3', '4:3 to 2:1', '2:1 and more')


def check_dataset(
    folder: Union[str, os.PathLike],
    out: Union[str, os.PathLike, None] = None,
    workers: Optional[int] = None,
    crop_size: int = 224,
) -> int:
    """Read every image of a data set, print what is wrong and write it to files.

    Args:
        folder: Contains CLASS/* or SPLIT/CLASS/*.
        out: Folder for ``report.json``, ``problems.txt`` (path, kind and reason in a line, with
            tabs) and ``report.png``; work_dirs/check_dataset/NAME if None.
        workers: Processes that read images; as many as there are cores if None.
        crop_size: Side in pixels of the crops to train on.

    Returns:
        Exit status: 0; 1 if there are unreadable files, duplicates across splits or splits with
        different classes; 130 if the user stopped it, with files about what was read by then.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if there are no images in class folders, ``out`` is in the data set, or a
            number is not positive.
    """
    for name, value in (('workers', workers), ('crop_size', crop_size)):
        if value is not None and value < 1:
            raise ValueError(f'{argument(name)} must be positive, got {value}')
    folder = os.fspath(folder)
    layout = find_layout(folder)
    name = os.path.basename(os.path.realpath(folder))
    out = os.fspath(out or os.path.join('work_dirs', 'check_dataset', name))
    if is_inside(out, folder):
        raise ValueError(
            f'{out} lies in the data set, which the report would change: give '
            f'{argument("out", "FOLDER")} elsewhere'
        )
    os.makedirs(out, exist_ok=True)
    workers = workers or available_cores()
    processes = 'one process' if workers == 1 else f'{workers} processes'
    say(f'{folder}: reading {len(layout.paths):,} images with {processes}')
    start = time.monotonic()
    images = scan(layout, workers)
    seconds = time.monotonic() - start
    findings = Findings(layout, images, find_duplicates(layout, images), crop_size)
    blocks = [_splits(findings), *_classes(findings)]
    if len(findings.sides):
        blocks += [_sizes(findings), _modes(findings)]
    blocks += [*_skipped(findings), *_problems(findings)]
    say('\n\n'.join([f'{images.seen:,} images in {seconds:,.1f} s', *blocks]) + '\n')
    conclusion = verdict(findings)
    serious = any(count_problems(findings)[kind] for kind in SERIOUS)
    status = int(serious) if findings.complete else STOPPED
    lines = (
        '\t'.join(re.sub(r'[\t\r\n]', ' ', text) for text in problem) + '\n'
        for problem in problems(findings)
    )
    # surrogateescape gives file names back byte by byte.
    content = ''.join(lines).encode('utf-8', 'surrogateescape')
    write_atomically(os.path.join(out, PROBLEMS), content)
    facts = dict(summary(findings), verdict=conclusion, exit_status=status)
    write_atomically(os.path.join(out, REPORT), json.dumps(facts, indent=1).encode())
    picture(findings, conclusion, os.path.join(out, PICTURE))
    say(f'{REPORT}, {PROBLEMS} and {PICTURE} are in {out}\n{conclusion}')
    return status


def verdict(findings: Findings) -> str:
    """The last line: whether training can start, and why not."""
    counts = count_problems(findings)
    reasons = [_count(counts[UNREADABLE], 'unreadable file')] if counts[UNREADABLE] else []
    for small, large, count in shared_images(findings):
        verb = 'is' if count == 1 else 'are'
        reasons.append(f'{_count(count, "image")} of {small} {verb} also in {large}')
    if counts[MISSING_CLASS]:
        reasons.append('the splits have different classes')
    reasons += [f'the images of {name} are in no class folders' for name in findings.flat]
    text = '; '.join(reasons)
    if not findings.complete:
        seen, total = findings.scan.seen, len(findings.layout.paths)
        return f'stopped after {seen:,} of {total:,} images: {text or "nothing wrong so far"}'
    if reasons:
        return f'not ready for training: {text}'
    minor = ', '.join(f'{kind} {count:,}' for kind, count in counts.items())
    return 'ready for training' + (minor and f'; worth a look: {minor}')


def _count(number: int, noun: str) -> str:
    return f'{number:,} {noun}{"s" * (number != 1)}'


def _splits(findings: Findings) -> str:
    rows = []
    for split, classes in class_counts(findings.layout).items():
        smallest, largest = (choose(classes, key=classes.__getitem__) for choose in (min, max))
        sizes = [f'{name} ({classes[name]:,})' for name in (smallest, largest)]
        count = f'{sum(classes.values()):,}'
        rows.append([split or 'all', count, f'{len(classes):,}', *sizes])
    return format_table(('split', 'images', 'classes', 'smallest class', 'largest class'), rows)


def _classes(findings: Findings) -> Iterator[str]:
    splits = findings.layout.splits
    if NO_SPLITS in splits or len(splits) < 2:
        return
    if not findings.missing:
        yield 'All splits have the same classes.'
        return
    lines = []
    for split, names in findings.missing.items():
        some = first_few(names, EXAMPLES)
        lines.append(f'{split} lacks {len(names):,} of the classes: {some}')
    shifts = [f'Labels are the places of the sorted folders: {s}' for s in label_shift(splits)]
    yield '\n'.join(lines + shifts)


def _sizes(findings: Findings) -> str:
    short, bounds = findings.short_sides, findings.bounds
    names = [f'{low:,}-{high - 1:,}' for low, high in zip(bounds, bounds[1:])]
    names = [f'below {bounds[0]:,}', *names, f'{bounds[-1]:,} and more']
    median = f'{np.median(short):,.0f}'
    below = f'{_count(findings.small, "image")} ({_percent(findings.small, len(short))})'
    return (
        f'Short side in pixels: {short.min():,} to {short.max():,}, median {median}\n'
        f'{_bars(histogram(short, bounds), names)}\n'
        f'Below the crop of {findings.crop_size}, so that any S enlarges them: {below}\n\n'
        'Width to height\n'
        f'{_bars(histogram(findings.ratios, RATIOS), RATIO_NAMES)}'
    )


def _bars(counts: np.ndarray, names: Sequence[str]) -> str:
    """One line per bin, without the empty ones at both ends."""
    filled = np.flatnonzero(counts)
    shown = slice(filled[0], filled[-1] + 1)
    width = max(map(len, names[shown]))
    return '\n'.join(
        f'  {name:>{width}}  {count:>9,}  {_percent(count, counts.sum()):>7}  '
        f'{"#" * round(BAR * count / counts.max())}'.rstrip()
        for name, count in zip(names[shown], counts[shown])
    )


def _percent(part: int, whole: int) -> str:
    return f'{100 * part / whole:.1f} %'


def _modes(findings: Findings) -> str:
    modes = [f'{name} {len(images):,}' for name, images in findings.modes.items()]
    if len(findings.rotated):
        modes.append(f'turned by EXIF {len(findings.rotated):,}')
    return f'Pixels: {", ".join(modes)}'


def _skipped(findings: Findings) -> Iterator[str]:
    skipped = findings.layout.skipped
    if skipped:
        kinds = ', '.join(f'{name}: {count:,}' for name, count in skipped.most_common(8))
        yield f'Ignored, as in training: {_count(skipped.total(), "other file")} ({kinds})'


def _problems(findings: Findings) -> Iterator[str]:
    for kind, found in groupby(problems(findings), key=lambda problem: problem.kind):
        lines = [f'{path}: {reason}' for path, _, reason in found]
        some = first_few(lines, EXAMPLES, '\n  ')
        yield f'{kind}: {len(lines):,}\n  {some}'
