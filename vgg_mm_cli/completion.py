"""Completion by the tab key: a script for the shell, by shtab, which nothing else needs."""

import argparse

from vgg_mm_cli.table import COMMANDS


def completion(parser: argparse.ArgumentParser, shell: str) -> str:
    """What a shell reads to complete commands, options, choices and names of files.

    Args:
        parser: The program's own, without the commands, which are added.
        shell: 'bash', 'zsh', 'tcsh', 'fish' or 'powershell'.

    Raises:
        ImportError: in one line, if shtab is not installed.
        ValueError: if it does not know the shell.
    """
    try:
        import shtab
    except ImportError as error:
        raise ImportError(
            "completion needs shtab, which is not installed: pip install 'vgg_mm[completion]'"
        ) from error
    if shell not in shtab.SUPPORTED_SHELLS:
        known = ', '.join(shtab.SUPPORTED_SHELLS)
        raise ValueError(f'no completion for the shell {shell!r}; there is one for {known}')
    commands = parser.add_subparsers()
    for name, entry in COMMANDS.items():
        command = commands.add_parser(name, help=entry.summary)
        entry.load().add_options(command)
        for action in command._actions:
            if takes_a_file(action):
                action.complete = shtab.FILE  # type: ignore[attr-defined]
    return shtab.complete(parser, shell)


def takes_a_file(action: argparse.Action) -> bool:
    """Whether its value is text that the command does not list: most often a file or folder."""
    return action.nargs != 0 and action.type in (None, str) and not action.choices
