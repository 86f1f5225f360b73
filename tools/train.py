"""Train a net: python tools/train.py configs/vgg/vgg16_jitter_imagenet.py"""

import argparse

import _command_line


def parse_args() -> argparse.Namespace:
    parser = _command_line.parser('Train a net from a config.')
    parser.add_argument('config', help='config file')
    _command_line.add_run_options(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='go on from a checkpoint; without a value, from the last one in the work directory',
    )
    parser.add_argument(
        '--broken-images',
        choices=['stop', 'skip'],
        default='stop',
        help='stop at an image that cannot be read, or count it and train on another one',
    )
    parser.add_argument('--no-validate', action='store_true', help='train without validation')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate with the batch size (linear rule)',
    )
    parser.add_argument('--no-persistent-workers', action='store_true')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    _command_line.set_local_rank(args)

    def find():
        from vgg_mm.apis.train import train

        return train

    _command_line.run(find, args)


if __name__ == '__main__':
    main()
