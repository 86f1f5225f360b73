"""``vgg-mm convert``: convert other libraries' weights."""

import argparse

from vgg_mm_cli.command import Command


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'source', metavar='IN', help='file, URL, or a name like torchvision://vgg16'
    )
    parser.add_argument('out', metavar='OUT', help='checkpoint to write (.pth)')
    parser.add_argument(
        '--arch', help='what the net has to be: A, B, C, D, E or a depth; A-LRN needs it'
    )
    parser.add_argument(
        '--preprocessing',
        choices=['torchvision', 'caffe', 'paper'],
        help="what the weights expect, in place of what the layout says: RGB by ImageNet's mean "
        'and standard deviation; BGR minus the mean; RGB minus the mean',
    )
    parser.add_argument(
        '--ema',
        action='store_true',
        help='take the weights averaged over the training (EMA), which stand beside the plain ones',
    )
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='run the code in files that cannot be read without; from sources you trust',
    )


def run(args: argparse.Namespace) -> None:
    from vgg_mm.apis.convert_weights import convert_weights

    convert_weights(**vars(args))


COMMAND = Command(
    'Read weights in the layout of torchvision, timm, MMPretrain, Keras (.h5, .keras), the '
    'Caffe release (.caffemodel), TensorFlow users (.npy, .npz), MatConvNet (.mat), the ONNX '
    'zoo (.onnx) or of this package, also as .safetensors; write a checkpoint that says which '
    'pre-processing they need.',
    add_options,
    run,
)
