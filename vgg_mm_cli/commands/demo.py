"""``vgg-mm demo``: train A, then D from A, on the embedded digits and print a table of errors."""

import argparse

from vgg_mm_cli.command import RESUMES, Command


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--work-dir', default='work_dirs/demo', help='folder for results')
    parser.add_argument('--data-root', default='data/digits', help='folder for the digits')


def run(args: argparse.Namespace) -> None:
    from vgg_mm.apis.demo import demo

    demo(**vars(args))


COMMAND = Command(
    'Train and test two nets on the embedded digits.',
    add_options,
    run,
    when_stopped=RESUMES,
)
