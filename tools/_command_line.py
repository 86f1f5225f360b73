"""Options that the tools share. Imports nothing heavy, so that --help answers at once."""

import argparse
import os
import sys
import warnings
from collections.abc import Callable

#: Folder that holds tools and configs: the checkout, or vgg_mm/.mim of an installed package.
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

EPILOG = 'Errors are one line; VGG_MM_TRACEBACK=1 in the environment shows where they come from.'


#: What the tools for trained nets take for a checkpoint, and for its config.
CHECKPOINT = "file, a run's folder, URL, torchvision://vgg16 or a model's name, of any library"
CONFIG = "config file or a model's name (default: the checkpoint's, or what the weights say)"


def parser(description: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(description=description, epilog=EPILOG)


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """What training and testing have in common, as in MMPretrain."""
    parser.add_argument('--work-dir', help='folder for logs and results')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='settings that replace those of the config: a.b=1 c="[1,2]" DATA_ROOT=FOLDER',
    )
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='run the code in checkpoints that cannot be read without; from sources you trust',
    )
    parser.add_argument('--amp', action='store_true', help='mixed precision (bfloat16)')
    add_kernels_option(parser)
    parser.add_argument('--no-pin-memory', action='store_true')
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='job launcher',
    )
    # torch's launchers pass this one.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def add_kernels_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--kernels',
        choices=['auto', 'plain'],
        default='auto',
        help="auto (default): faster forms of the layers where they pay; plain: torch's own",
    )


def set_local_rank(args: argparse.Namespace) -> None:
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))


#: What Ctrl-C prints where a second call takes up the work of the first.
RESUMES = 'stopped; run the same command again: it resumes'


def run(find: Callable[[], Callable], *args, when_stopped: str = 'stopped', **kwargs) -> None:
    """Call what ``find`` imports, with user errors as one line, and Ctrl-C too."""
    # mmcv says so at every start without its compiled operators, which VGG does not use.
    warnings.filterwarnings('ignore', message='Fail to import ``MultiScaleDeformableAttention``')
    try:
        from vgg_mm.apis.errors import one_line_errors
    except ImportError as error:
        sys.exit(f'error: {error}')
    try:
        with one_line_errors():
            function = find()
            function(*args, **kwargs)
    except KeyboardInterrupt:
        print(f'\n{when_stopped}', file=sys.stderr)
        sys.exit(130)
