"""``vgg-mm ensemble``: average the posteriors of several nets."""

import argparse

from vgg_mm_cli.command import Command


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'files', nargs='*', metavar='FILE[:PROTOCOL]', help='two or more files of posteriors'
    )
    parser.add_argument('--weights', nargs='+', type=float, help='one for each file')
    parser.add_argument('--protocol', help='of the files that name none (default: all in common)')
    parser.add_argument(
        '--recipe',
        help='in place of files: a config, or the name of one in configs/ensembles: table6_d_e',
    )
    parser.add_argument(
        '--results',
        default='work_dirs',
        metavar='FOLDER',
        help="where a recipe's FOLDER/CONFIG_NAME/posteriors.npz are (default: work_dirs)",
    )
    parser.add_argument('--out', metavar='FILE.npz', help="file for the ensemble's posteriors")
    parser.add_argument('--work-dir', help='folder for the results that the table is made of')


def run(args: argparse.Namespace) -> None:
    from vgg_mm.apis.ensemble import report

    report(**vars(args))


COMMAND = Command(
    'Average the soft-max posteriors of several nets, from files that test --out wrote.',
    add_options,
    run,
    intermixed=True,
)
