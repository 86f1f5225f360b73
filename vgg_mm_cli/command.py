"""A command: its options, what it does with them, and the options that several share.

Imports nothing heavy, so that --help answers at once.
"""

import argparse
import os
import pkgutil
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Optional, Union

EPILOG = 'Errors are one line; VGG_MM_TRACEBACK=1 in the environment shows where they come from.'

#: Help of the argument of commands for configs.
CONFIG_FILE = 'config file, or the name of one that comes with vgg_mm: vgg16_jitter_imagenet'

#: Help of the arguments of commands for trained nets: checkpoint, and its config.
CHECKPOINT = "file, a run's folder, URL, torchvision://vgg16 or a model's name, of any library"
CONFIG = "config file or a model's name (default: the checkpoint's, or recognised from the weights)"

#: Printed at Ctrl-C if a second call resumes.
RESUMES = 'stopped; run the same command again to resume'


class Command(NamedTuple):
    """What ``vgg-mm NAME`` is, and the script of tools that does the same.

    Args:
        description: For its --help.
        add_options: Adds its arguments to a parser.
        run: Called with the parsed arguments. It imports what it needs itself: only then, and with
            errors that are one line. Or 'module:function', which takes the options as arguments; a
            number that it returns is the exit status.
        when_stopped: Printed at Ctrl-C.
        intermixed: Options may be between the positional arguments.
    """

    description: str
    add_options: Callable[[argparse.ArgumentParser], None]
    run: Union[str, Callable[[argparse.Namespace], None]]
    when_stopped: str = 'stopped'
    intermixed: bool = False

    def main(self, prog: str, arguments: Optional[Sequence[str]] = None) -> None:
        """Run a command line.

        Args:
            prog: Name of the command in its usage line.
            arguments: Its arguments; None: those of the process.

        Raises:
            SystemExit: with the command's status; 1 for a user's error, 2 for invalid arguments,
                130 after Ctrl-C.
        """
        parser = argparse.ArgumentParser(prog=prog, description=self.description, epilog=EPILOG)
        self.add_options(parser)
        parse = parser.parse_intermixed_args if self.intermixed else parser.parse_args
        args = parse(arguments)
        # mmcv's warning at every start without its compiled operators, which VGG does not use.
        warnings.filterwarnings(
            'ignore', message='Fail to import ``MultiScaleDeformableAttention``'
        )
        try:
            try:
                from vgg_mm.apis.errors import one_line_errors
                from vgg_mm.installation import arguments_as_options
            except ImportError as error:
                sys.exit(f'error: {error}')
            options = {a.dest: a.option_strings[0] for a in parser._actions if a.option_strings}
            with arguments_as_options(options), one_line_errors():
                self._run(args)
        except KeyboardInterrupt:
            print(f'\n{self.when_stopped}', file=sys.stderr)
            sys.exit(130)

    def _run(self, args: argparse.Namespace) -> None:
        if callable(self.run):
            self.run(args)
            return
        status = pkgutil.resolve_name(self.run)(**vars(args))
        if isinstance(status, int):
            sys.exit(status)


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Options common to training and testing, as in MMPretrain."""
    parser.add_argument('--work-dir', help='folder for logs and results')
    add_config_options(parser, 'settings that override the config')
    add_trust_option(parser)
    parser.add_argument(
        '--no-pin-memory',
        action='store_false',
        dest='pin_memory',
        help='leave batches in memory that a GPU cannot read directly, in every loader',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='job launcher',
    )
    # torch's launchers pass this one.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def add_cfg_options(parser: argparse.ArgumentParser, what: str) -> None:
    """``--cfg-options``; ``what`` says in its help what the settings are."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help=f'{what}: a.b=1 c="[1,2]" DATA_ROOT=FOLDER',
    )


def add_config_options(parser: argparse.ArgumentParser, what: str) -> None:
    """Of the commands that run configs: :func:`add_cfg_options` and how layers run."""
    add_cfg_options(parser, what)
    parser.add_argument('--amp', action='store_true', help='mixed precision (bfloat16)')
    add_kernels_option(parser)


def add_trust_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='run code in checkpoints that cannot be read otherwise; only from sources you trust',
    )


def add_kernels_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--kernels',
        choices=['auto', 'plain'],
        default='auto',
        help="auto (default): faster forms of the layers where they pay; plain: torch's own",
    )


def add_device_options(parser: argparse.ArgumentParser) -> None:
    """Where a trained net runs, and by which layers."""
    parser.add_argument('--device', help='cpu, cuda, cuda:1 (default: the GPU if there is one)')
    add_kernels_option(parser)


def add_inference_options(parser: argparse.ArgumentParser) -> None:
    """Of the commands that run a trained net over images."""
    parser.add_argument(
        '--scales', type=int, nargs='+', metavar='Q', help="test scales (default: the config's)"
    )
    add_device_options(parser)
    add_trust_option(parser)


def run_options(args: argparse.Namespace) -> dict[str, Any]:
    """What was given to a command with :func:`add_run_options`, for its function in ``apis``."""
    options = vars(args)
    os.environ.setdefault('LOCAL_RANK', str(options.pop('local_rank')))
    return options
