"""``vgg-mm prepare``: write the embedded data set as class folders."""

import argparse

from vgg_mm_cli.command import Command


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('dataset', choices=['digits'], help='which data set')
    parser.add_argument('--out', default='data/digits', help='folder (default: data/digits)')


def run(args: argparse.Namespace) -> None:
    from vgg_mm.apis.prepare_data import prepare_digits

    counts = prepare_digits(args.out)
    print(f'{args.out}: {counts["train"]} training and {counts["val"]} test images')


COMMAND = Command(
    "Write scikit-learn's digits as an image folder.",
    add_options,
    run,
)
