"""The package's location, and the names of its commands and their arguments."""

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Optional

#: Command of ``vgg-mm`` -> its script in ``tools``, where that has another name.
SCRIPTS = {
    'build-mmcv-ops': 'build_mmcv_ops',
    'chain': 'train_chain',
    'check': 'check_dataset',
    'config': 'print_config',
    'convert': 'convert_weights',
    'features': 'extract_features',
    'nets': 'net_table',
    'plot': 'plot_run',
    'prepare': 'prepare_data',
    'probe': 'linear_probe',
    'rgb-statistics': 'rgb_statistics',
    'table': 'paper_table',
}

#: Argument of a function in ``apis`` -> the option for it, while a command runs.
_options: Mapping[str, str] = {}


def root_folder() -> str:
    """The folder of configs and model index: the checkout, or ``.mim`` of an installed package."""
    package = os.path.dirname(os.path.abspath(__file__))
    return os.path.dirname(package) if is_checkout() else os.path.join(package, '.mim')


def is_checkout() -> bool:
    """Whether the package is in a checkout, next to its configs and tools."""
    beside = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return os.path.isdir(os.path.join(beside, 'configs', '_base_'))


def command(name: str, *arguments: str) -> str:
    """A command of ``vgg-mm`` as messages name it: in a checkout by its script.

    Args:
        name: As in ``vgg-mm NAME``.
        arguments: Text after it.

    Returns:
        ``tools/train_chain.py``, or ``vgg-mm chain`` where there is no checkout.
    """
    first = f'tools/{SCRIPTS.get(name, name)}.py' if is_checkout() else f'vgg-mm {name}'
    return ' '.join([first, *arguments])


def command_line(name: str, *arguments: str) -> str:
    """:func:`command` as it is typed into a shell."""
    return ('python ' if is_checkout() else '') + command(name, *arguments)


@contextmanager
def arguments_as_options(options: Mapping[str, str]) -> Iterator[None]:
    """Let messages name arguments as a command does: ``in_channels`` as ``--in-channels``."""
    global _options
    before, _options = _options, options
    try:
        yield
    finally:
        _options = before


def argument(name: str, value: Any = None) -> str:
    """An argument of a function in ``apis`` as messages name it, for the caller.

    Args:
        name: In Python.
        value: Its value or an example; None: the name only.

    Returns:
        ``in_channels=8``, ``dynamic=True``, ``out='FILE.npz'``; on the command line
        ``--in-channels 8``, ``--dynamic``, ``--out FILE.npz``.
    """
    option = _options.get(name)
    if option is None:
        return name if value is None else f'{name}={value!r}'
    values = value if isinstance(value, (list, tuple)) else [value]
    return ' '.join([option, *(str(one) for one in values if one is not None and one is not True)])


def check_choice(
    name: str, value: Optional[str], choices: Collection[str], optional: bool = False
) -> None:
    """Check an argument that takes one of a few words; where it is ``optional``, or None.

    Raises:
        ValueError: in one line, if it is another.
    """
    if value not in choices and not (optional and value is None):
        words = ' or '.join(map(repr, choices))
        raise ValueError(f'{argument(name)} must be {words}, got {value!r}')
