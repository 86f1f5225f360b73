"""``vgg-mm finetune``: fine-tune on one's own photos."""

import argparse

from vgg_mm_cli.command import RESUMES, Command, add_kernels_option


def add_options(parser: argparse.ArgumentParser) -> None:
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
        help='see grey images (1), or their opacity as well (4); conv1_1 is fitted',
    )
    parser.add_argument(
        '--class-weights',
        choices=['balanced'],
        help='let each class count the same in the loss, however many photos it has',
    )
    parser.add_argument('--work-dir', help='results (default: work_dirs/finetune_FOLDER)')
    parser.add_argument('--epochs', type=int, help='times that each photo is seen')
    parser.add_argument('--batch-size', type=int, help='photos an iteration (default: 32)')
    parser.add_argument('--lr', type=float, help='learning rate; new layers have ten times it')
    parser.add_argument(
        '--frozen', type=int, metavar='BLOCKS', help='so many first blocks stay as they are (0-5)'
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
        metavar='BLOCKS',
        help='with --cache-maps, train so many last blocks, too, in a second stage (0-4; '
        'default: 0)',
    )
    parser.add_argument('--seed', type=int, default=0, help='of the split, if there is none')
    parser.add_argument('--amp', action='store_true', help='mixed precision (bfloat16)')
    add_kernels_option(parser)
    parser.add_argument(
        '--dry-run', action='store_true', help='decide, write the config, estimate the hours; stop'
    )


def run(args: argparse.Namespace) -> None:
    from vgg_mm.apis.finetune import finetune

    finetune(**vars(args))


COMMAND = Command(
    'Fine-tune trained weights on photos in class folders, FOLDER/CLASS/* or '
    'FOLDER/{train,val}/CLASS/*. What is not given is decided from photos and weights, printed '
    'and written as an ordinary config; if it is interrupted, run it again: it resumes.',
    add_options,
    run,
    when_stopped=RESUMES,
)
