"""``vgg-mm train``: train a net."""

import argparse

from vgg_mm_cli.command import CONFIG_FILE, Command, add_run_options, run_options


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('config', help=CONFIG_FILE)
    add_run_options(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const=True,
        default=False,
        metavar='CHECKPOINT',
        help='go on from a checkpoint; without a value, from the last one in the work directory',
    )
    parser.add_argument(
        '--broken-images',
        choices=['stop', 'skip'],
        default='stop',
        help='stop at an image that cannot be read, or count it and train on another one',
    )
    parser.add_argument(
        '--no-validate', action='store_false', dest='validate', help='train without validation'
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate with the batch size (linear rule)',
    )
    parser.add_argument('--no-persistent-workers', action='store_false', dest='persistent_workers')


def run(args: argparse.Namespace) -> None:
    from vgg_mm.apis.training import train

    train(**run_options(args))


COMMAND = Command(
    'Train a net from a config.',
    add_options,
    run,
)
