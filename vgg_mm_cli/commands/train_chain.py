"""``vgg-mm chain``: train a sequence of stages."""

import argparse

from vgg_mm_cli.command import RESUMES, Command, add_kernels_option


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'chain', help='config of the chain, or the name of one in configs/chains: vgg16_paper'
    )
    parser.add_argument(
        '--work-dir',
        default='work_dirs',
        help='folder for the stages, each in WORK_DIR/NAME; stages that are finished there are '
        'used, so that chains can share them',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='settings of all stages: DATA_ROOT=FOLDER a.b=1 c="[1,2]"',
    )
    parser.add_argument('--amp', action='store_true', help='mixed precision (bfloat16)')
    add_kernels_option(parser)
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
        help='print what would be done, with the hours, estimated from a few steps of each net',
    )
    parser.add_argument(
        '--no-measure', action='store_false', dest='measure', help='with --dry-run: without hours'
    )
    parser.add_argument(
        '--accept-changes',
        action='store_true',
        help='go on with what is in WORK_DIR though settings are others now',
    )


def run(args: argparse.Namespace) -> None:
    from vgg_mm.apis.chain import train_chain

    train_chain(**vars(args))


COMMAND = Command(
    'Train the stages of a chain one after the other, each from the one before it, then test '
    'them. If it is interrupted, run it again: it resumes.',
    add_options,
    run,
    when_stopped=RESUMES,
)
