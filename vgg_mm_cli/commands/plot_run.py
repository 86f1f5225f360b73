"""``vgg-mm plot``: draw WORK_DIR/curves.png."""

import argparse

from vgg_mm_cli.command import Command


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'work_dirs', nargs='+', metavar='WORK_DIR', help='work directory of a training'
    )


def run(args: argparse.Namespace) -> None:
    from vgg_mm.apis.chain.curves import draw_curves

    print('\n'.join(draw_curves(folder) for folder in args.work_dirs))


COMMAND = Command(
    'Draw training loss, validation errors and learning rate of trainings, each into its '
    'WORK_DIR/curves.png; runs that were interrupted and resumed are joined.',
    add_options,
    run,
)
