"""``vgg-mm build-mmcv-ops``: build mmcv's compiled operators once and install them."""

import argparse

from vgg_mm_cli.command import Command


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--cache', help='folder of built wheels (default: $VGG_MM_CACHE or ~/.cache/vgg_mm)'
    )
    parser.add_argument('--jobs', type=int, help='compilers at once (default: all cores)')


def run(args: argparse.Namespace) -> None:
    from vgg_mm.apis.mmcv_ops import install

    install(args.cache, args.jobs)


COMMAND = Command(
    "Build mmcv's compiled operators (nms, RoIAlign) for this environment's torch and install "
    'them. MMDetection and MMSegmentation need them. It takes minutes; the wheel is kept and '
    'used again wherever Python, torch and mmcv are the same.',
    add_options,
    run,
)
