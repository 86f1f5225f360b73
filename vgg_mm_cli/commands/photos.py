"""Commands for photos and data sets."""

import argparse
import sys

from vgg_mm_cli.command import (
    CHECKPOINT,
    CONFIG,
    RESUMES,
    Command,
    add_device_options,
    add_inference_options,
)


def _predict_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'images',
        nargs='+',
        metavar='IMAGE|FOLDER|GLOB',
        help='files, folders (with all below them) and quoted patterns',
    )
    parser.add_argument('checkpoint', metavar='CHECKPOINT', help=CHECKPOINT)
    parser.add_argument('--config', metavar='FILE', help=CONFIG)
    parser.add_argument(
        '--protocol', default='dense', help='dense (default), multi_crop or dense+multi_crop'
    )
    parser.add_argument(
        '--top', type=int, default=5, metavar='K', help='number of classes per image (default: 5)'
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


PREDICT = Command(
    'Predict the classes of images by the protocols of the paper. Images that cannot be read '
    'are listed and do not stop the others. Exit status: 0, or 1 if none could be read.',
    _predict_options,
    'vgg_mm.apis.inference:predict_files',
)


def _app_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'weights',
        nargs='*',
        metavar='WEIGHTS',
        help=f'{CHECKPOINT}; several to choose from (default: torchvision://vgg16)',
    )
    parser.add_argument(
        '--host', default='127.0.0.1', help='address to listen on (default: this machine only)'
    )
    parser.add_argument('--port', type=int, default=7860, help='(default: 7860)')
    parser.add_argument(
        '--browser', action='store_true', dest='open_browser', help='open the page in a browser'
    )
    add_device_options(parser)


APP = Command(
    'A page in the browser: a photo, its classes, the score map of each class over it, the windows '
    'and crops of the test protocols, and their results. From elsewhere (--host) visitors can '
    'choose only among the given weights.',
    _app_options,
    'vgg_mm.apis.app:serve',
)


def _extract_features_options(parser: argparse.ArgumentParser) -> None:
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
        '--combine',
        choices=['average', 'stack'],
        default='average',
        help='how to combine the vectors of several scales',
    )
    parser.add_argument(
        '--flip',
        choices=['yes', 'no'],
        help="also use the mirrored image (default: as in the config's test protocol)",
    )
    parser.add_argument(
        '--broken-images',
        choices=['stop', 'count'],
        default='count',
        help='stop at an image that cannot be read, or list it and continue (default)',
    )
    parser.add_argument(
        '--workers', type=int, help='threads that read images (default: one a core, at most 4)'
    )
    add_inference_options(parser)


def _extract_features(args: argparse.Namespace) -> None:
    from vgg_mm.apis.features import extract_files

    args.flip = {'yes': True, 'no': False}.get(args.flip)
    sys.exit(extract_files(**vars(args)))


EXTRACT_FEATURES = Command(
    'Write a feature vector for every image of a folder: the activations of fc7, or another '
    'layer, over the whole image, averaged over positions and the flip, L2-normalised '
    '(Appendix B of the paper). If it is interrupted, run the same command again: it '
    'resumes. Exit status: 0, or 1 if no image could be read.',
    _extract_features_options,
    _extract_features,
    when_stopped=RESUMES,
    intermixed=True,
)


def _linear_probe_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'features',
        nargs='+',
        metavar='FEATURES',
        help='file to learn from; of several nets on the same images: stacked',
    )
    group = parser.add_mutually_exclusive_group()
    group.add_argument('--test', nargs='+', metavar='FEATURES', help='the same to test on')
    group.add_argument(
        '--val-fraction',
        type=float,
        default=0.2,
        metavar='SHARE',
        help='share of each class to hold out for the test (default: 0.2)',
    )
    parser.add_argument(
        '--C',
        dest='c',
        type=float,
        nargs='+',
        default=[0.1, 1.0, 10.0, 100.0, 1000.0],
        help='values for cross-validation (default: 0.1 to 1000); with one value there is none',
    )
    parser.add_argument('--folds', type=int, default=5, help='of the cross-validation (default: 5)')
    parser.add_argument('--seed', type=int, default=0, help='of split, folds and queries')
    parser.add_argument(
        '--neighbours', type=int, default=5, metavar='K', help='retrieved for each test image'
    )
    parser.add_argument(
        '--queries', type=int, default=8, metavar='N', help='rows of the retrieval sheet'
    )
    parser.add_argument(
        '--out', metavar='DIR', help='results (default: work_dirs/linear_probe/NAME)'
    )


LINEAR_PROBE = Command(
    'Learn a linear SVM for each class on features that the command for features wrote, test '
    'it, and show the nearest neighbours of test photos (Appendix B of the paper).',
    _linear_probe_options,
    'vgg_mm.apis.features:probe_files',
)


def _check_dataset_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('folder', help='folder with CLASS/* or train/CLASS/* and val/CLASS/*')
    parser.add_argument(
        '--out',
        metavar='DIR',
        help='folder for report.json, problems.txt and report.png '
        '(default: work_dirs/check_dataset/NAME)',
    )
    parser.add_argument(
        '--workers', type=int, metavar='N', help='processes that read (default: one a core)'
    )
    parser.add_argument('--crop-size', type=int, default=224, metavar='PIXELS', help='default: 224')


CHECK_DATASET = Command(
    'Read every image of a data set; print and write what is wrong. Exit status: 0 if training '
    'can start, 1 if there are unreadable files, the same images in two splits, or splits with '
    'different classes.',
    _check_dataset_options,
    'vgg_mm.apis.check_dataset:check_dataset',
)


def _rgb_statistics_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('folder', help='searched recursively')
    parser.add_argument('--out', metavar='FILE.json', help='also write the numbers to a file')
    parser.add_argument(
        '--max-images', type=int, metavar='N', help='use at most N images, evenly spaced'
    )


def _rgb_statistics(args: argparse.Namespace) -> None:
    from vgg_mm.apis.rgb_statistics import report
    from vgg_mm.apis.tables import say

    say(report(**vars(args)))


RGB_STATISTICS = Command(
    'Mean RGB and principal components of all images in a folder.',
    _rgb_statistics_options,
    _rgb_statistics,
)


def _prepare_data_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('dataset', choices=['digits'], help='which data set')
    parser.add_argument('--out', default='data/digits', help='folder (default: data/digits)')


def _prepare_data(args: argparse.Namespace) -> None:
    from vgg_mm.apis.demo import prepare_digits

    prepare_digits(args.out)


PREPARE_DATA = Command(
    "Write scikit-learn's digits as an image folder.", _prepare_data_options, _prepare_data
)
