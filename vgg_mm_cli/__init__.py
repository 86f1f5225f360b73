"""The console command ``vgg-mm``; the scripts of tools are its commands, too.

A package next to ``vgg_mm``, not in it: Python would import that first, and with it torch and
MMPretrain, for seconds, before --help is printed.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn, Optional

from vgg_mm_cli.command import EPILOG
from vgg_mm_cli.table import COMMANDS, Entry

__all__ = ['COMMANDS', 'Entry', 'main', 'main_of_script']


#: What other programs call a command.
OTHER_WORDS = {
    'classify': 'predict', 'infer': 'predict', 'inference': 'predict', 'detect': 'predict',
    'segment': 'predict', 'eval': 'test', 'evaluate': 'test', 'validate': 'test',
    'extract': 'features', 'verify': 'check',
}  # fmt: skip


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """``vgg-mm``.

    Args:
        arguments: Those of the command line; None: those of the process.

    Raises:
        SystemExit: with the command's exit status; 2 for an unknown command.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0].startswith('-'):
        parser = top_parser()
        args = parser.parse_args(words)
        if args.version:
            text = f'vgg_mm {_version()}\n'
        elif args.print_completion is not None:
            text = _completion(args.print_completion) + '\n'
        else:
            text = parser.format_help()
        try:
            print(text, end='', flush=True)
        except BrokenPipeError:  # as with `| head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    elif words[0] in COMMANDS:
        COMMANDS[words[0]].load().main(f'vgg-mm {words[0]}', words[1:])
    else:
        _refuse(words[0])


def main_of_script(script: str) -> None:
    """``tools/SCRIPT``.

    Args:
        script: Its file name.
    """
    (entry,) = (entry for entry in COMMANDS.values() if entry.script == script)
    entry.load().main(f'tools/{script}')


def top_parser() -> argparse.ArgumentParser:
    """The options of ``vgg-mm`` itself, with the list of commands."""
    width = max(map(len, COMMANDS))
    listed = '\n'.join(f'  {name:{width}}  {entry.summary}' for name, entry in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog='vgg-mm',
        usage='vgg-mm COMMAND [ARGUMENT ...]',
        description=f'VGG for MMPretrain as its authors ran it.\n\ncommands:\n{listed}',
        epilog=f'vgg-mm COMMAND --help shows the arguments of a command.\n{EPILOG}',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--version', action='store_true', help='print the version')
    parser.add_argument(
        '--print-completion',
        metavar='SHELL',
        help='print the script for tab completion in a shell: bash, zsh, ...',
    )
    return parser


def _version() -> str:
    """Read from the package's file: its import takes seconds."""
    import runpy
    from importlib.util import find_spec

    spec = find_spec('vgg_mm')
    if spec is None or spec.origin is None:
        sys.exit('error: vgg_mm is not installed')
    return runpy.run_path(os.path.join(os.path.dirname(spec.origin), 'version.py'))['__version__']


def _completion(shell: str) -> str:
    """The completion script of a shell for commands, options, choices and names of files."""
    try:
        import shtab
    except ImportError:
        fix = "pip install 'vgg_mm[completion]'"
        sys.exit(f'error: completion needs shtab, which is not installed: {fix}')
    if shell not in shtab.SUPPORTED_SHELLS:
        known = ', '.join(shtab.SUPPORTED_SHELLS)
        sys.exit(f'error: no completion for the shell {shell!r}; there is one for {known}')
    parser = top_parser()
    commands = parser.add_subparsers()
    for name, entry in COMMANDS.items():
        command = commands.add_parser(name, help=entry.summary)
        entry.load().add_options(command)
        for action in command._actions:
            # A text that the command does not list is most often a file or folder.
            if action.nargs != 0 and action.type in (None, str) and not action.choices:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
    return shtab.complete(parser, shell)


def _refuse(word: str) -> NoReturn:
    """Report an unknown command, with the nearest one, also by its script's name."""
    import difflib

    names = {name: name for name in COMMANDS} | OTHER_WORDS
    names |= {entry.script.removesuffix('.py'): name for name, entry in COMMANDS.items()}
    near = difflib.get_close_matches(word.removesuffix('.py'), names, n=1)
    hint = f'did you mean {names[near[0]]!r}?' if near else f'available: {", ".join(COMMANDS)}'
    print(f'vgg-mm: error: unknown command {word!r}; {hint}', file=sys.stderr)
    sys.exit(2)
