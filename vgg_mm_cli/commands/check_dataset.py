"""``vgg-mm check``: check a data set ahead of training."""

import argparse
import sys

from vgg_mm_cli.command import Command


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('folder', help='holds CLASS/* or train/CLASS/* and val/CLASS/*')
    parser.add_argument(
        '--out',
        metavar='DIR',
        help='folder for report.json, problems.txt and report.png '
        '(default: work_dirs/check_dataset/NAME)',
    )
    parser.add_argument(
        '--workers', type=int, metavar='N', help='processes that read (default: one a core)'
    )
    parser.add_argument('--crop-size', type=int, default=224, metavar='PIXELS', help='default: 224')


def run(args: argparse.Namespace) -> None:
    from vgg_mm.apis.check_dataset import check_dataset

    sys.exit(check_dataset(**vars(args)))


COMMAND = Command(
    'Read every image of a data set; print and write what is wrong. Exit status: 0 if training '
    'can start, 1 if there are unreadable files, the same images in two splits, or splits with '
    'different classes.',
    add_options,
    run,
)
