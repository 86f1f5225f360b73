"""Checks that the installed OpenMMLab stack is one that this package was tested on."""

import importlib
import io
import os
from contextlib import redirect_stdout
from importlib import metadata
from importlib.util import find_spec
from types import ModuleType

from .installation import command_line

#: import name -> (lowest tested version, first version not tested)
TESTED_RANGES = {
    'mmengine': ('0.10.7', '0.11'),
    'mmcv': ('2.2.0', '2.4'),
    'mmpretrain': ('1.2.0', '1.4'),
}

#: The same for packages in which VGG is also used; neither is needed for classification.
DOWNSTREAM_RANGES = {
    'mmdet': ('3.5', '3.6'),
    'mmseg': ('1.4', '1.5'),
}

#: mmcv's compiled operators, which both need.
OPERATORS = 'mmcv._ext'

OPERATORS_FIX = command_line('build-mmcv-ops')

#: What OpenMMLab publishes each as; the fork's have the prefix ``onedl-``.
DISTRIBUTIONS = {
    'mmengine': ('mmengine',),
    'mmcv': ('mmcv', 'mmcv-lite'),
    'mmpretrain': ('mmpretrain',),
}


def _release(version: str) -> tuple[int, ...]:
    """A version without what follows its numbers: '2.2.0rc1' -> (2, 2, 0, 0)."""
    from mmengine.utils import digit_version  # only once mmengine is installed

    return digit_version(version)[:4]


def check_version(name: str, version: str) -> None:
    """Raise ImportError, in one line, when ``name`` is outside its tested range."""
    low, high = (TESTED_RANGES | DOWNSTREAM_RANGES)[name]
    if not _release(low) <= _release(version) < _release(high):
        raise ImportError(
            f'vgg_mm works with {name} >= {low}, < {high}, but {name} {version} is installed: '
            f'{how_to_install(name)}'
        )


def how_to_install(name: str) -> str:
    """The command that installs a package in a tested version, compatible with the installed ones.

    The fork's packages and OpenMMLab's have the same folders: users of the ones are not
    advised to install the others.
    """
    has_fork = any(_is_installed(f'onedl-{one}') for one in DISTRIBUTIONS)
    has_openmmlab = any(_is_installed(one) for several in DISTRIBUTIONS.values() for one in several)
    if name in DOWNSTREAM_RANGES:
        elsewhere = " in an environment without OpenMMLab's packages, whose place the fork's take"
        return _with_extra('downstream') + (elsewhere if has_openmmlab and not has_fork else '')
    if has_fork:
        return _with_extra('onedl')
    if has_openmmlab:
        published = DISTRIBUTIONS[name]
        one = next(filter(_is_installed, published), published[-1])
        low, high = TESTED_RANGES[name]
        return f"pip install '{one}>={low},<{high}'"
    return (
        f"{_with_extra('onedl')} installs a tested stack, the maintained fork of OpenMMLab's "
        "packages; [openmmlab] in place of [onedl] OpenMMLab's own"
    )


def _with_extra(extra: str) -> str:
    if _is_installed('vgg_mm'):
        return f"pip install 'vgg_mm[{extra}]'"
    checkout = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return f"pip install -e '{checkout}[{extra}]'"


def _is_installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


def _import_tested(name: str) -> ModuleType:
    if find_spec(name) is None:
        raise ImportError(f'vgg_mm needs {name}, which is not installed: {how_to_install(name)}')
    module = importlib.import_module(name)
    check_version(name, module.__version__)
    return module


def check_stack() -> None:
    """Import mmengine, mmcv and mmpretrain, checking each, and check that torchvision is installed.

    Raises:
        ImportError: in one line that names the package, the version found and the fix.
    """
    _import_tested('mmengine')
    _import_tested('mmcv')
    if find_spec('torchvision') is None:
        raise ImportError(
            'vgg_mm needs torchvision (mmpretrain imports it), which is not installed: '
            'pip install torch torchvision (the two together, so that they match)'
        )
    _import_tested('mmpretrain')


def import_slow_parts() -> None:
    """Import torchvision and MMPretrain's data sets.

    Raises:
        ImportError: in one line, if the torchvision is one for another torch.
    """
    try:
        importlib.import_module('torchvision')
    except RuntimeError as error:
        # A torchvision built for another torch fails while it registers its operators.
        raise ImportError(
            f'the installed torchvision does not match the installed torch ({error}): '
            'pip install --force-reinstall torch torchvision'
        ) from error
    with redirect_stdout(io.StringIO()):  # the fork prints that its optional OneDL is not there
        importlib.import_module('mmpretrain.datasets')


def import_downstream(name: str, owner: str) -> None:
    """Import mmdet or mmseg with its models, which needs mmcv's compiled operators.

    Args:
        name: 'mmdet' or 'mmseg'.
        owner: What needs it, for the message.

    Raises:
        ImportError: in one line with what is missing and the fix.
    """
    if find_spec(name) is None:
        raise ImportError(
            f'{owner} needs {name}, which is not installed: {how_to_install(name)}, then '
            f'{OPERATORS_FIX}'
        )
    if find_spec(OPERATORS) is None:
        raise ImportError(
            f"{owner} needs {name}, which needs mmcv's compiled operators, and the installed mmcv "
            f'has none: {OPERATORS_FIX}'
        )
    check_version(name, importlib.import_module(f'{name}.version').__version__)
    try:
        importlib.import_module(f'{name}.models')
    except (ImportError, AssertionError) as error:
        # Both packages assert the version of mmcv.
        raise ImportError(
            f'{owner} needs {name}, whose import fails ({error}): {how_to_install(name)}, '
            f'then {OPERATORS_FIX}'
        ) from error
