"""``vgg-mm probe``: a linear SVM on features."""

import argparse

from vgg_mm_cli.command import Command


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'features',
        nargs='+',
        metavar='FEATURES',
        help='file to learn from; of several nets on the same images: stacked',
    )
    group = parser.add_mutually_exclusive_group()
    group.add_argument('--test', nargs='+', metavar='FEATURES', help='the same to test on')
    group.add_argument(
        '--val-fraction',
        type=float,
        default=0.2,
        metavar='SHARE',
        help='share of each class that is kept for the test (default: 0.2)',
    )
    parser.add_argument(
        '--C',
        dest='c',
        type=float,
        nargs='+',
        default=[0.1, 1.0, 10.0, 100.0, 1000.0],
        help='what cross-validation chooses from (default: 0.1 to 1000); one: no choice',
    )
    parser.add_argument('--folds', type=int, default=5, help='of the cross-validation (default: 5)')
    parser.add_argument('--seed', type=int, default=0, help='of split, folds and queries')
    parser.add_argument(
        '--neighbours', type=int, default=5, metavar='K', help='retrieved for each test image'
    )
    parser.add_argument(
        '--queries', type=int, default=8, metavar='N', help='rows of the retrieval sheet'
    )
    parser.add_argument(
        '--out', metavar='DIR', help='results (default: work_dirs/linear_probe/NAME)'
    )


def run(args: argparse.Namespace) -> None:
    from vgg_mm.apis.features import probe_files

    probe_files(**vars(args))


COMMAND = Command(
    'Learn a linear SVM for each class on features that the command for features wrote, test '
    'it, and show the nearest neighbours of test photos (Appendix B of the paper).',
    add_options,
    run,
)
