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
        help="folders of the data sets instead of the profile's",
    )
    parser.add_argument(
        '--seeds',
        nargs='+',
        type=int,
        metavar='N',
        help="seeds to run (default: the profile's); further seeds are added to the profile's",
    )
    parser.add_argument(
        '--only',
        nargs='+',
        default=[],
        metavar='CLAIM|RUN|DATA',
        help='only these claims (by name or number), runs (with those that they start from) and '
        'data sets',
    )
    parser.add_argument('--amp', action='store_true', help='mixed precision (bfloat16)')
    parser.add_argument(
        '--out',
        metavar='FOLDER',
        help="folder for runs, results and report instead of the profile's: starts afresh",
    )
    parser.add_argument(
        '--jobs',
        type=int,
        default=1,
        metavar='N',
        help='parallel trainings and tests, each with its share of the cores (default: 1)',
    )
    parser.add_argument(
        '--dry-run',
        action='store_true',
        help='print what is left to do, with hours estimated from finished runs or a few measured '
        'steps',
    )
    parser.add_argument(
        '--no-measure',
        action='store_false',
        dest='measure',
        help='with --dry-run: measure no steps',
    )
    parser.add_argument(
        '--report-only', action='store_true', help='only write the report, from existing results'
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
