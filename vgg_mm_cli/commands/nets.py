"""Commands for weights, results and what nets need."""

import argparse

from vgg_mm_cli.command import CHECKPOINT, CONFIG, Command, add_trust_option


def _convert_weights_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'source', metavar='IN', help='file, URL, or a name like torchvision://vgg16'
    )
    parser.add_argument('out', metavar='OUT', help='checkpoint to write (.pth)')
    parser.add_argument('--arch', help='expected net: A, B, C, D, E or a depth (needed for A-LRN)')
    parser.add_argument(
        '--preprocessing',
        choices=['torchvision', 'caffe', 'paper'],
        help="pre-processing of the weights, instead of the layout's: RGB by ImageNet's mean and "
        'standard deviation; BGR minus the mean; RGB minus the mean',
    )
    parser.add_argument(
        '--ema', action='store_true', help='use the EMA weights if the file contains both'
    )
    add_trust_option(parser)


CONVERT_WEIGHTS = Command(
    'Read weights in the layout of torchvision, timm, MMPretrain, Keras (.h5, .keras), the '
    'Caffe release (.caffemodel), TensorFlow users (.npy, .npz), MatConvNet (.mat), the ONNX '
    'zoo (.onnx) or of this package, also as .safetensors; write a checkpoint that '
    'records which pre-processing they need.',
    _convert_weights_options,
    'vgg_mm.apis.convert_weights:convert_weights',
)


def _export_options(parser: argparse.ArgumentParser) -> None:
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


EXPORT = Command(
    'Write a trained net as torchvision weights, safetensors, ONNX, TorchScript or '
    'torch.export. Graphs are compared with the net before they are written.',
    _export_options,
    'vgg_mm.apis.export:export',
)


def _ensemble_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'files', nargs='*', metavar='FILE[:PROTOCOL]', help='two or more files of posteriors'
    )
    parser.add_argument('--weights', nargs='+', type=float, help='one for each file')
    parser.add_argument('--protocol', help='of the files that name none (default: all in common)')
    parser.add_argument(
        '--recipe',
        help='in place of files: a config, or the name of one in configs/ensembles: table6_d_e',
    )
    parser.add_argument(
        '--results',
        default='work_dirs',
        metavar='FOLDER',
        help="where a recipe's FOLDER/CONFIG_NAME/posteriors.npz are (default: work_dirs)",
    )
    parser.add_argument('--out', metavar='FILE.npz', help="file for the ensemble's posteriors")
    parser.add_argument('--work-dir', help='folder for the results that the table is made of')


ENSEMBLE = Command(
    'Average the soft-max posteriors of several nets, from files that test --out wrote.',
    _ensemble_options,
    'vgg_mm.apis.ensemble:report',
    intermixed=True,
)


def _net_table_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--net', help='list the layers of one net: A, A-LRN, ... or a depth')
    parser.add_argument('--num-classes', type=int, default=1000, help='width of fc8')
    parser.add_argument('--size', type=int, default=224, help='side of the image in pixels')
    parser.add_argument('--markdown', action='store_true', help='print Markdown tables')


def _net_table(args: argparse.Namespace) -> None:
    from vgg_mm.apis.net_table import report

    print(report(**vars(args)))


NET_TABLE = Command(
    "Print the paper's Tables 1 and 2 from the code.", _net_table_options, _net_table
)


def _paper_table_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'folders', nargs='+', metavar='WORK_DIR', help='work directories, or folders above them'
    )
    parser.add_argument('--out', metavar='FOLDER', help='also write tables.md and tables.html')
    parser.add_argument(
        '--run',
        action='store_true',
        help='first test the checkpoints in work directories whose results are missing',
    )
    parser.add_argument(
        '--data-root', metavar='FOLDER', help="with --run: replaces the configs' DATA_ROOT"
    )
    parser.add_argument(
        '--all',
        action='store_true',
        dest='show_imagenet',
        help="also show the paper's tables where there is no result on ImageNet",
    )


PAPER_TABLE = Command(
    "Print the paper's Tables 3 to 7 from the results that tests left in work "
    "directories, beside the paper's figures where they are on ImageNet.",
    _paper_table_options,
    'vgg_mm.apis.paper_table:paper_table',
)


def _build_mmcv_ops_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--cache', help='folder of built wheels (default: $VGG_MM_CACHE or ~/.cache/vgg_mm)'
    )
    parser.add_argument('--jobs', type=int, help='compilers at once (default: all cores)')


BUILD_MMCV_OPS = Command(
    "Build mmcv's compiled operators (nms, RoIAlign) for this environment's torch and install "
    'them. MMDetection and MMSegmentation need them. It takes minutes; the wheel is cached '
    'and reused for the same Python, torch and mmcv.',
    _build_mmcv_ops_options,
    'vgg_mm.apis.mmcv_ops:install',
)
