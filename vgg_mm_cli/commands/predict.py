"""``vgg-mm predict``: predict the classes of images."""

import argparse
import sys

from vgg_mm_cli.command import CHECKPOINT, CONFIG, Command, add_inference_options


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'images',
        nargs='+',
        metavar='IMAGE|FOLDER|GLOB',
        help='files, folders (with all below them) and quoted patterns',
    )
    parser.add_argument('checkpoint', metavar='CHECKPOINT', help=CHECKPOINT)
    parser.add_argument('--config', metavar='FILE', help=CONFIG)
    parser.add_argument(
        '--protocol',
        default='dense',
        help='dense (default), multi_crop or dense+multi_crop',
    )
    parser.add_argument(
        '--scales', type=int, nargs='+', metavar='Q', help="test scales (default: the config's)"
    )
    parser.add_argument(
        '--top', type=int, default=5, metavar='K', help='classes an image (default: 5)'
    )
    parser.add_argument(
        '--heatmap',
        metavar='DIR',
        help='folder for a picture of each image: photo, score map of a class over it, top k',
    )
    parser.add_argument(
        '--class',
        dest='shown_class',
        metavar='NAME',
        help="the class whose score map is shown (default: each image's most probable)",
    )
    parser.add_argument('--out', metavar='FILE', help='results as .csv or .json')
    add_inference_options(parser)


def run(args: argparse.Namespace) -> None:
    from vgg_mm.apis.inference import predict_files

    sys.exit(predict_files(**vars(args)))


COMMAND = Command(
    'Predict the classes of images by the protocols of the paper. Images that cannot be read '
    'are listed and do not stop the others. Exit status: 0, or 1 if none could be read.',
    add_options,
    run,
)
