"""``vgg-mm features``: features of images."""

import argparse
import sys

from vgg_mm_cli.command import CHECKPOINT, CONFIG, RESUMES, Command, add_inference_options


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('config', nargs='?', metavar='CONFIG', help=CONFIG)
    parser.add_argument('checkpoint', metavar='CHECKPOINT', help=CHECKPOINT)
    parser.add_argument(
        'folder', metavar='FOLDER', help='FOLDER/*, FOLDER/CLASS/* or FOLDER/{train,val}/CLASS/*'
    )
    parser.add_argument('--out', required=True, metavar='FILE', help='.parquet or .npz')
    parser.add_argument(
        '--layer',
        default='fc7',
        metavar='NAME',
        help='fc7 (default), fc6, pool1 to pool5, or a convolution such as conv5_3',
    )
    parser.add_argument(
        '--scales', type=int, nargs='+', metavar='Q', help="test scales (default: the config's)"
    )
    parser.add_argument(
        '--combine',
        choices=['average', 'stack'],
        default='average',
        help='what becomes of the vectors of several scales',
    )
    parser.add_argument(
        '--flip',
        choices=['yes', 'no'],
        help="whether the mirrored image takes part (default: as in the config's test protocol)",
    )
    parser.add_argument(
        '--broken-images',
        choices=['stop', 'count'],
        default='count',
        help='stop at an image that cannot be read, or list it and go on (default)',
    )
    parser.add_argument(
        '--workers', type=int, help='threads that read images (default: one a core, at most 4)'
    )
    add_inference_options(parser)


def run(args: argparse.Namespace) -> None:
    from vgg_mm.apis.features import extract_files

    args.flip = {'yes': True, 'no': False}.get(args.flip)
    sys.exit(extract_files(**vars(args)))


COMMAND = Command(
    'Write a feature vector for every image of a folder: the activations of fc7, or another '
    'layer, over the whole image, averaged over positions and the flip, L2-normalised '
    '(Appendix B of the paper). If it is interrupted, run the same command again: it '
    'resumes. Exit status: 0, or 1 if no image could be read.',
    add_options,
    run,
    when_stopped=RESUMES,
    intermixed=True,
)
