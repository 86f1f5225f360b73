"""``vgg-mm rgb-statistics``: mean RGB and PCA of one's own images."""

import argparse

from vgg_mm_cli.command import Command


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('folder', help='searched recursively')
    parser.add_argument('--out', metavar='FILE.json', help='also write the numbers to a file')
    parser.add_argument('--max-images', type=int, help='take so many, evenly spread')


def run(args: argparse.Namespace) -> None:
    from vgg_mm.apis.rgb_statistics import report

    print(report(args.folder, args.out, args.max_images))


COMMAND = Command(
    'Mean RGB and principal components of all images in a folder.',
    add_options,
    run,
)
