"""``vgg-mm export``: write a trained net for other programs."""

import argparse

from vgg_mm_cli.command import CHECKPOINT, CONFIG, Command


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('checkpoint', help=CHECKPOINT)
    parser.add_argument(
        'out', help='*.pth (torchvision), *.safetensors, *.onnx, *.ts (TorchScript) or *.pt2'
    )
    parser.add_argument('--config', help=CONFIG)
    parser.add_argument(
        '--to',
        choices=['torchvision', 'safetensors', 'onnx', 'torchscript', 'torch-export'],
        help="kind of file (default: by OUT's suffix)",
    )
    graph = parser.add_argument_group('ONNX, TorchScript, torch.export')
    graph.add_argument(
        '--output',
        choices=['scores', 'posterior', 'score_map', 'boxes'],
        help='class scores (default), their soft-max, or the map of scores; of images larger than '
        'the crop that the net was trained on, scores are averaged over all positions. Segmentors: '
        "each pixel's. SSD: boxes before nms",
    )
    graph.add_argument(
        '--size', type=int, metavar='PIXELS', help='height and width (default: 224 for such nets)'
    )
    graph.add_argument(
        '--dynamic', action='store_true', help='any height and width; the batch is always free'
    )
    graph.add_argument(
        '--preprocessing',
        action=argparse.BooleanOptionalAction,
        help='subtract the mean (and divide by the standard deviation) in the graph (default: yes)',
    )
    parser.add_argument(
        '--names', choices=['own', 'torchvision'], help='names in safetensors (default: own)'
    )


def run(args: argparse.Namespace) -> None:
    from vgg_mm.apis.export import export

    export(**vars(args))


COMMAND = Command(
    'Write a trained net as torchvision weights, safetensors, ONNX, TorchScript or '
    'torch.export. Graphs are compared with the net before they are written.',
    add_options,
    run,
)
