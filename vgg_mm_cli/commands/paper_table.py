"""``vgg-mm table``: print the paper's Tables 3 to 7 from test results."""

import argparse

from vgg_mm_cli.command import Command


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'folders', nargs='+', metavar='WORK_DIR', help='work directories, or folders above them'
    )
    parser.add_argument('--out', metavar='FOLDER', help='also write tables.md and tables.html')
    parser.add_argument(
        '--run',
        action='store_true',
        help='first test the checkpoints in work directories whose results are missing',
    )
    parser.add_argument(
        '--data-root', metavar='FOLDER', help="with --run: replaces the configs' DATA_ROOT"
    )
    parser.add_argument(
        '--all',
        action='store_true',
        dest='show_imagenet',
        help="also show the paper's tables where there is no result on ImageNet",
    )


def run(args: argparse.Namespace) -> None:
    from vgg_mm.apis.paper_table import paper_table

    paper_table(**vars(args))


COMMAND = Command(
    "Print the paper's Tables 3 to 7 from the results that tests left in work "
    "directories, beside the paper's figures where they are on ImageNet.",
    add_options,
    run,
)
