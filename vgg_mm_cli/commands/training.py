"""Commands that train nets and test them."""

import argparse

from vgg_mm_cli.command import (
    CONFIG_FILE,
    RESUMES,
    Command,
    add_cfg_options,
    add_config_options,
    add_kernels_option,
    add_run_options,
    run_options,
)


def _train_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('config', help=CONFIG_FILE)
    add_run_options(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const=True,
        default=False,
        metavar='CHECKPOINT',
        help='resume from this checkpoint; without a value, from the last one in the work '
        'directory',
    )
    parser.add_argument(
        '--broken-images',
        choices=['stop', 'skip'],
        default='stop',
        help='stop at an image that cannot be read, or skip it and count it',
    )
    parser.add_argument(
        '--no-validate', action='store_false', dest='validate', help='train without validation'
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate with the batch size (linear rule)',
    )
    parser.add_argument(
        '--no-persistent-workers',
        action='store_false',
        dest='persistent_workers',
        help="start the loaders' processes anew in each epoch",
    )


def _print_config_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('config', help=CONFIG_FILE)
    parser.add_argument('--out', metavar='FILE', help='write it to this file (.py, .yml, .json)')
    add_cfg_options(parser, 'settings that replace those of the config')


PRINT_CONFIG = Command(
    'Print a config with all of its bases as one file. With --out, a config of your own to edit '
    'and train from: it needs no other file.',
    _print_config_options,
    'vgg_mm.apis.config:print_config',
)


def _train(args: argparse.Namespace) -> None:
    from vgg_mm.apis.training import train

    train(**run_options(args))


TRAIN = Command('Train a net from a config.', _train_options, _train)


def _train_chain_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'chain', help='config of the chain, or the name of one in configs/chains: vgg16_paper'
    )
    parser.add_argument(
        '--work-dir',
        default='work_dirs',
        help='folder for the stages, each in WORK_DIR/NAME; stages that are finished there are '
        'used, so that chains can share them',
    )
    add_config_options(parser, 'settings of all stages')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rates with the batch size (linear rule)',
    )
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch'], default='none', help='job launcher'
    )
    parser.add_argument(
        '--gpus', type=int, metavar='N', help='with --launcher pytorch: processes (default: GPUs)'
    )
    parser.add_argument('--from', dest='first', metavar='STAGE', help='first stage to run')
    parser.add_argument('--until', metavar='STAGE', help='last stage to run')
    parser.add_argument(
        '--dry-run',
        action='store_true',
        help='print the plan with the hours, estimated from a few steps of each net, and stop',
    )
    parser.add_argument(
        '--no-measure', action='store_false', dest='measure', help='with --dry-run: without hours'
    )
    parser.add_argument(
        '--accept-changes',
        action='store_true',
        help='continue although the settings have changed since WORK_DIR was created',
    )


TRAIN_CHAIN = Command(
    'Train the stages of a chain one after the other, each from the one before it, then test '
    'them. If it is interrupted, run it again: it resumes.',
    _train_chain_options,
    'vgg_mm.apis.chain:train_chain',
    when_stopped=RESUMES,
)


def _finetune_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('folder', help='folder with the photos')
    parser.add_argument(
        '--weights',
        required=True,
        help="trained weights: a file, a run's folder, a URL, torchvision://vgg16 (553 MB, "
        'downloaded once)',
    )
    parser.add_argument(
        '--head',
        choices=['fc', 'gap'],
        help='a new head: fc6, fc7 and fc8, or global average pooling and fc8 (default: that of '
        'the weights with a new fc8; fc for convolutions alone)',
    )
    parser.add_argument(
        '--fc-channels', type=int, metavar='N', help='width of a new fc6 and fc7 (default: 512)'
    )
    parser.add_argument(
        '--in-channels',
        type=int,
        choices=[1, 3, 4],
        help='grey images (1), or images with their opacity (4); conv1_1 is adapted',
    )
    parser.add_argument(
        '--class-weights', choices=['balanced'], help='weight classes equally in the loss'
    )
    parser.add_argument('--work-dir', help='results (default: work_dirs/finetune_FOLDER)')
    parser.add_argument('--epochs', type=int, help='passes over the photos')
    parser.add_argument('--batch-size', type=int, help='photos an iteration (default: 32)')
    parser.add_argument('--lr', type=float, help='learning rate; new layers use ten times it')
    parser.add_argument(
        '--frozen', type=int, metavar='BLOCKS', help='number of leading blocks to freeze (0-5)'
    )
    parser.add_argument(
        '--cache-maps',
        choices=['auto', 'on', 'off'],
        default='auto',
        help='compute the maps of the frozen blocks once, for --views crops of each photo, and '
        'train the other layers on them: the head in minutes on a processor (default: auto, on '
        'where there is no GPU)',
    )
    parser.add_argument(
        '--views', type=int, metavar='N', help='crops of each photo with --cache-maps (default: 3)'
    )
    parser.add_argument(
        '--unfreeze',
        type=int,
        metavar='N',
        help='with --cache-maps: also train the last N blocks in a second stage (0-4; default: 0)',
    )
    parser.add_argument('--seed', type=int, default=0, help='of the split, if there is none')
    parser.add_argument('--amp', action='store_true', help='mixed precision (bfloat16)')
    add_kernels_option(parser)
    parser.add_argument(
        '--dry-run', action='store_true', help='decide, write the config, estimate the hours; stop'
    )


FINETUNE = Command(
    'Fine-tune trained weights on photos in class folders, FOLDER/CLASS/* or '
    'FOLDER/{train,val}/CLASS/*. What is not given is decided from photos and weights, printed '
    'and written as an ordinary config; if it is interrupted, run it again: it resumes.',
    _finetune_options,
    'vgg_mm.apis.finetune:finetune',
    when_stopped=RESUMES,
)


def _test_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('config', help=CONFIG_FILE)
    parser.add_argument('checkpoint', help="file, a run's folder, URL or torchvision://vgg16")
    add_run_options(parser)
    parser.add_argument(
        '--tta', action='store_true', help="the config's test protocol (the paper's Section 3.2)"
    )
    parser.add_argument(
        '--tta-cfg',
        metavar='NAME|FILE',
        help='another protocol: dense_one_scale, dense, multi_crop, dense_multi_crop, all, '
        'ten_crop (configs/_base_/tta), or a file with tta_model and tta_pipeline',
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
        '--out-item', choices=['metrics', 'pred'], default='pred', help='content of --out'
    )
    parser.add_argument('--show-dir', help='folder for pictures of the predictions')
    parser.add_argument('--show', action='store_true', help='show predictions in a window')
    parser.add_argument(
        '--interval', type=int, default=1, metavar='N', help='save a picture every N images'
    )
    parser.add_argument(
        '--wait-time', type=float, default=2, help='seconds that a window stays open'
    )


def _test(args: argparse.Namespace) -> None:
    from vgg_mm.apis.testing import test

    options = run_options(args)
    tta_cfg = options.pop('tta_cfg')
    test(**{**options, 'tta': tta_cfg or options['tta']})


TEST = Command('Test a checkpoint.', _test_options, _test)


def _demo_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--work-dir', default='work_dirs/demo', help='folder for results')
    parser.add_argument('--data-root', default='data/digits', help='folder for the digits')


DEMO = Command(
    'Train and test two nets on the embedded digits.',
    _demo_options,
    'vgg_mm.apis.demo:demo',
    when_stopped=RESUMES,
)


def _plot_run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'work_dirs', nargs='+', metavar='WORK_DIR', help='work directory of a training'
    )


def _plot_run(args: argparse.Namespace) -> None:
    from vgg_mm.apis.chain.curves import draw_curves
    from vgg_mm.apis.tables import say

    say('\n'.join(draw_curves(folder) for folder in args.work_dirs))


PLOT_RUN = Command(
    'Draw training loss, validation errors and learning rate of trainings, each into its '
    'WORK_DIR/curves.png; runs that were interrupted and resumed are joined.',
    _plot_run_options,
    _plot_run,
)
