"""A page of all measurements from their JSON files: tables, plots, and which goals are reached.

python benchmarks/page.py [--results benchmarks/results] [--out build/bench]

Writes index.html, which is self-contained, and index.md with its pictures. A benchmark without a
JSON file is shown as missing, with the command that writes it.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Optional

import page_sections as sections
from page_sections import Part

from vgg_mm.apis.document import BAD, DIM, GOOD, Block, Heading, Table, Text, markdown, page

ROOT = Path(__file__).resolve().parent.parent
RESULTS, OUT = ROOT / 'benchmarks/results', ROOT / 'build/bench'
TITLE = 'Measurements of vgg_mm'
MISSING = 'missing'

#: verdict -> class of its cells on the page
CLASSES = {'reached': GOOD, 'missed': BAD, MISSING: DIM}


class Section(NamedTuple):
    """A benchmark: its results file and the command that writes it, without ``python``."""

    title: str
    file: str
    command: str
    read: Callable[[dict], Part]


SECTIONS = [
    Section('From file to training crop', 'jitter.json', 'jitter.py FOLDER', sections.jitter),
    Section('Training and inference', 'model_speed.json', 'model_speed.py FOLDER',
            sections.model_speed),
    Section('Test protocols', 'test_protocols.json', 'test_protocols.py FOLDER',
            sections.test_protocols),
    Section('Test protocols in bfloat16', 'test_protocols_amp.json',
            'test_protocols.py FOLDER --amp', sections.test_protocols),
    Section('fc6 on larger maps', 'conv_head_speed.json', 'conv_head_speed.py',
            sections.conv_head),
    Section('Guards and exact resuming', 'guards.json', 'guards.py', sections.guards),
    Section('Start-up', 'start_up.json', 'start_up.py', sections.start_up),
    Section('Growth of the time of testing', 'growth.json', 'growth.py', sections.growth),
    Section('Memory over many images', 'memory.json', 'memory.py FOLDER', sections.memory),
]  # fmt: skip


def read(section: Section, folder: Path) -> Optional[Part]:
    """The content of a results file; None if it is missing."""
    path = folder / section.file
    if not path.is_file():
        return None
    try:
        return section.read(json.loads(path.read_text()))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        script = section.command.split()[0]
        sys.exit(f'{path} is not what {script} writes ({type(error).__name__}: {error})')


def goal_rows(section: Section, part: Optional[Part]) -> list[Sequence[str]]:
    if part is None:
        return [[section.title, '', '', '', f'**{MISSING}**']]
    return [
        [section.title, one.what, str(one.goal), one.figure(), f'**{one.verdict()}**']
        for one in part.outcomes
    ]


def body(section: Section, part: Optional[Part]) -> list[Block]:
    call = f'`python benchmarks/{section.command}`'
    if part is None:
        return [Heading(2, section.title), Text(f'**{MISSING}**: {call} writes {section.file}.')]
    return [Heading(2, section.title), Text(f'{call}. {part.machine}'), *part.blocks]


def report(folder: Path) -> list[Block]:
    """The page, from the results files in a folder."""
    parts = [(section, read(section, folder)) for section in SECTIONS]
    rows = [row for section, part in parts for row in goal_rows(section, part)]
    return [
        Heading(1, TITLE),
        Text(
            'Figures are medians, with the lowest and the highest repetition in brackets and as '
            'bars; ratios are of runs that took turns.'
        ),
        Heading(2, 'Goals'),
        Table(['benchmark', 'measured', 'goal', 'figure', 'verdict'], rows),
        *(block for section, part in parts for block in body(section, part)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--results', type=Path, default=RESULTS, help='folder of the JSON files')
    parser.add_argument('--out', type=Path, default=OUT, help='folder of the page')
    args = parser.parse_args()
    if not args.results.is_dir():
        sys.exit(f'no folder {args.results}: the benchmarks write their JSON files there')
    blocks = report(args.results)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / 'index.html').write_text(page(blocks, TITLE, CLASSES), encoding='utf-8')
    (args.out / 'index.md').write_text(markdown(blocks, str(args.out / 'index')), encoding='utf-8')
    print(args.out / 'index.html')


if __name__ == '__main__':
    main()
