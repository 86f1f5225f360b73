"""``vgg-mm app``: a page in the browser."""

import argparse

from vgg_mm_cli.command import CHECKPOINT, Command, add_device_options


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'weights',
        nargs='*',
        metavar='WEIGHTS',
        help=f'{CHECKPOINT}; several to choose from (default: torchvision://vgg16)',
    )
    parser.add_argument(
        '--host', default='127.0.0.1', help='address to listen on (default: this machine alone)'
    )
    parser.add_argument('--port', type=int, default=7860, help='(default: 7860)')
    parser.add_argument('--browser', action='store_true', dest='open_browser', help='open it')
    add_device_options(parser)


def run(args: argparse.Namespace) -> None:
    from vgg_mm.apis.app import serve

    serve(**vars(args))


COMMAND = Command(
    'A page in the browser: a photo, its classes, the score map of each class over it, the windows '
    'and crops of the test protocols, and what they say. From elsewhere (--host) visitors can '
    'choose among the weights given only.',
    add_options,
    run,
)
