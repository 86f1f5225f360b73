"""``vgg-mm test``: test a checkpoint."""

import argparse

from vgg_mm_cli.command import CONFIG_FILE, Command, add_run_options, run_options


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('config', help=CONFIG_FILE)
    parser.add_argument('checkpoint', help="file, a run's folder, URL or torchvision://vgg16")
    add_run_options(parser)
    parser.add_argument(
        '--tta', action='store_true', help="the config's test protocol (the paper's Section 3.2)"
    )
    parser.add_argument(
        '--tta-cfg',
        metavar='NAME|FILE',
        help='another protocol: dense_one_scale, dense, multi_crop, dense_multi_crop, all '
        '(configs/_base_/tta), or a file with tta_model and tta_pipeline',
    )
    parser.add_argument(
        '--broken-images',
        choices=['stop', 'count'],
        default='stop',
        help='stop at an image that cannot be read, or list it and count it as an error',
    )
    parser.add_argument(
        '--out',
        help='file for the results: .npz (posteriors, for ensembles), .pkl (as MMPretrain), '
        '.json for metrics',
    )
    parser.add_argument(
        '--out-item', choices=['metrics', 'pred'], default='pred', help='what --out holds'
    )
    parser.add_argument('--show-dir', help='folder for pictures of the predictions')
    parser.add_argument('--show', action='store_true', help='show predictions in a window')
    parser.add_argument('--interval', type=int, default=1, help='picture every so many images')
    parser.add_argument('--wait-time', type=float, default=2, help='seconds a window stays')


def run(args: argparse.Namespace) -> None:
    from vgg_mm.apis.testing import test

    options = run_options(args)
    tta_cfg = options.pop('tta_cfg')
    test(**{**options, 'tta': tta_cfg or options['tta']})


COMMAND = Command(
    'Test a checkpoint.',
    add_options,
    run,
)
