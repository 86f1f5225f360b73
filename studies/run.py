"""Check the paper's claims on other images: python studies/run.py studies/claims.yaml"""

import argparse
import sys
from pathlib import Path

ROOT = str(Path(__file__).resolve().parent.parent)
sys.path.insert(1, ROOT)
from vgg_mm_cli.command import RESUMES, Command  # noqa: E402


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('study', help='study file (studies/claims.yaml)')
    parser.add_argument(
        '--profile', metavar='NAME', help='widths, sizes and data (default: the first of the file)'
    )
    parser.add_argument(
        '--data',
        nargs='+',
        default=[],
        metavar='NAME=FOLDER',
        help="folders of the data sets in place of the profile's",
    )
    parser.add_argument(
        '--seeds',
        nargs='+',
        type=int,
        metavar='N',
        help="which seeds to run (default: the profile's); others than those are added to them",
    )
    parser.add_argument(
        '--only',
        nargs='+',
        default=[],
        metavar='CLAIM|RUN|DATA',
        help='claims, by name or number, and runs to work on, with what they start from; on the '
        'data sets that are named',
    )
    parser.add_argument('--amp', action='store_true', help='mixed precision (bfloat16)')
    parser.add_argument(
        '--out',
        metavar='FOLDER',
        help="runs, results and report there, in place of the profile's folders: all of the study "
        'afresh',
    )
    parser.add_argument(
        '--jobs',
        type=int,
        default=1,
        metavar='N',
        help='trainings and tests at a time, each with its share of the cores (default: 1)',
    )
    parser.add_argument(
        '--dry-run',
        action='store_true',
        help='print what is to be done, with hours from finished runs or a few measured steps',
    )
    parser.add_argument(
        '--no-measure', action='store_false', dest='measure', help='with --dry-run: no steps'
    )
    parser.add_argument(
        '--report-only', action='store_true', help='only make the report from what is there'
    )


def run(args: argparse.Namespace) -> None:
    from study import run_study

    run_study(**vars(args))


COMMAND = Command(
    'Train and test what a study needs, compare the nets claim by claim, and write a report. '
    'If it is interrupted, run the same command again: it resumes.',
    add_options,
    run,
    when_stopped=RESUMES,
)

if __name__ == '__main__':
    COMMAND.main('studies/run.py')
