"""Compute bytes and milliseconds of a step on 1 to 1,024 GPUs: python benchmarks/scaling.py"""

import argparse
import os
import sys
from pathlib import Path

ROOT = str(Path(__file__).resolve().parent.parent)
sys.path.insert(1, ROOT)
from vgg_mm_cli.command import Command  # noqa: E402

CONFIG = os.path.join(ROOT, 'configs/vgg/vgg16_jitter_imagenet.py')


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('config', nargs='?', default=CONFIG, help='default: net D on ImageNet')
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE')
    add_step_options(parser)
    add_network_options(parser)
    data = parser.add_argument_group('data')
    data.add_argument(
        '--image-kb', type=float, default=115.0, metavar='KB', help='mean size (default: ImageNet)'
    )
    data.add_argument(
        '--core-rate', type=float, metavar='N', help='images/s that one core decodes and jitters'
    )
    data.add_argument(
        '--data',
        metavar='FOLDER',
        help='class folders: measure that rate with them, and with tar shards and LMDB of them',
    )
    data.add_argument('--data-seconds', type=float, default=5.0, metavar='S', help='time for each')
    data.add_argument(
        '--data-images', type=int, default=512, metavar='N', help='at most so many images'
    )
    parser.add_argument('--markdown', action='store_true', help='print Markdown tables')
    parser.add_argument('--json', metavar='FILE', help='write all numbers there')


def add_step_options(parser: argparse.ArgumentParser) -> None:
    step = parser.add_argument_group('step of one GPU (measured here unless both times are given)')
    step.add_argument('--per-image-ms', type=float, metavar='MS', help='time per image')
    step.add_argument(
        '--per-step-ms', type=float, metavar='MS', help='time per step, whatever the batch'
    )
    step.add_argument('--amp', action='store_true', help='measure with mixed precision')
    batch = step.add_mutually_exclusive_group()
    batch.add_argument(
        '--batch', type=int, default=256, metavar='N', help='images per step (default: 256)'
    )
    batch.add_argument('--per-gpu-batch', type=int, metavar='N', help='images per GPU and step')


def add_network_options(parser: argparse.ArgumentParser) -> None:
    network = parser.add_argument_group('GPUs and links')
    network.add_argument(
        '--gpus', type=int, nargs='+', default=[2**i for i in range(11)], metavar='N',
        help='default: 1 2 4 ... 1024',
    )  # fmt: skip
    network.add_argument('--gpus-per-node', type=int, default=8, metavar='N', help='default: 8')
    network.add_argument(
        '--intra-GBps', type=float, default=300.0, metavar='GB/S',
        help='of one GPU within its node, each direction (default: 300)',
    )  # fmt: skip
    network.add_argument(
        '--inter-GBps', type=float, default=25.0, metavar='GB/S',
        help='of all network cards of a node together, each direction (default: 25)',
    )  # fmt: skip
    network.add_argument(
        '--latency-us', type=float, nargs=2, default=[5.0, 15.0], metavar=('INTRA', 'INTER'),
        help='of a hop within a node and between nodes (default: 5 15)',
    )  # fmt: skip
    network.add_argument(
        '--grad-bytes', type=int, choices=[4, 2],
        help='of a gradient when sent (default: what the config says, else 4)',
    )  # fmt: skip
    network.add_argument('--sharded', action='store_true', help='FSDP instead of DDP')
    network.add_argument(
        '--no-overlap', action='store_false', dest='overlap',
        help='send after the backward pass, not during it',
    )  # fmt: skip


def run(args: argparse.Namespace) -> None:
    from communication_model import scaling

    scaling(args)


COMMAND = Command(
    'Bytes sent, milliseconds and images a second of a training step on each number of GPUs, '
    "computed from one GPU's step and the rates of the links (benchmarks/scaling.md).",
    add_options,
    run,
)

if __name__ == '__main__':
    COMMAND.main('benchmarks/scaling.py')
