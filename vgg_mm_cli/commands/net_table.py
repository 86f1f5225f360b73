"""``vgg-mm nets``: print the paper's Tables 1 and 2 from the code."""

import argparse

from vgg_mm_cli.command import Command


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--net', help='list the layers of one net: A, A-LRN, ... or a depth')
    parser.add_argument('--num-classes', type=int, default=1000, help='width of fc8')
    parser.add_argument('--size', type=int, default=224, help='side of the image in pixels')
    parser.add_argument('--markdown', action='store_true', help='print Markdown tables')


def run(args: argparse.Namespace) -> None:
    from vgg_mm.apis.net_table import report

    print(report(args.net, args.num_classes, args.size, args.markdown))


COMMAND = Command(
    "Print the paper's Tables 1 and 2 from the code.",
    add_options,
    run,
)
