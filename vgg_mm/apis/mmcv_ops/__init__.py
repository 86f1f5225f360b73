"""mmcv's compiled operators, built for the installed torch and kept.

mmcv's package has them as an option of its build: pip installs it in pure Python, which is all that
MMPretrain uses. pip's own cache does not tell the two kinds of wheel apart; this one holds compiled
wheels only, in a folder for each Python, torch and mmcv.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Optional

import torch

from vgg_mm.stack import OPERATORS

from ..subprocess_tools import available_cores

PACKAGE = 'onedl-mmcv'

#: mmcv's build imports pkg_resources, which later versions do not have.
BUILD_REQUIREMENTS = ('setuptools<81', 'wheel', 'ninja')


def install(cache: Optional[str] = None, jobs: Optional[int] = None) -> None:
    """Install mmcv with its operators, from the cache or built now.

    Args:
        cache: Folder of built wheels; default: ``$VGG_MM_CACHE`` or ``~/.cache/vgg_mm``.
        jobs: Compilers at once; default: one a core.

    Raises:
        RuntimeError: in one line, if there is no compiler or the build fails; the log is named.
    """
    folder = _cache_folder(cache)
    wheel = next(iter(sorted(folder.glob('*.whl'))), None)
    if wheel is None:
        wheel = _build(folder, jobs or available_cores())
    print(f'installing {wheel}', flush=True)
    _pip('install', '--no-deps', '--force-reinstall', str(wheel))
    probe = f'import torch, {OPERATORS}'
    subprocess.run([sys.executable, '-c', probe], check=True, capture_output=True)


def _cache_folder(cache: Optional[str]) -> Path:
    root = cache or os.environ.get('VGG_MM_CACHE') or Path.home() / '.cache' / 'vgg_mm'
    try:
        package = f'{PACKAGE}-{version(PACKAGE)}'
    except PackageNotFoundError:
        raise RuntimeError(
            f"{PACKAGE} is not installed: this builds the fork's operators; OpenMMLab's mmcv comes "
            'with them (mim install mmcv)'
        ) from None
    kind = f'cuda{torch.version.cuda}' if _with_cuda() else 'cpu'
    python = f'{sys.implementation.cache_tag}-{sysconfig.get_platform()}'
    return Path(root).expanduser() / f'{package}-torch-{torch.__version__}-{kind}-{python}'


def _with_cuda() -> bool:
    return torch.cuda.is_available() and shutil.which('nvcc') is not None


def _build(folder: Path, jobs: int) -> Path:
    compiler = os.environ.get('CXX') or shutil.which('c++') or shutil.which('g++')
    if compiler is None:
        raise RuntimeError("mmcv's operators need a C++ compiler (c++ or g++), and none was found")
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / 'build.log'
    print(
        f"building mmcv's operators for torch {torch.__version__} with {jobs} compilers at once: "
        f'about ten minutes of one core\n  log: {log}',
        flush=True,
    )
    with tempfile.TemporaryDirectory() as build:
        _pip('install', '--target', f'{build}/requirements', *BUILD_REQUIREMENTS)
        environment = {
            **os.environ,
            'PYTHONPATH': f'{build}/requirements',
            'PATH': f'{build}/requirements/bin{os.pathsep}{os.environ["PATH"]}',
            'MMCV_WITH_OPS': '1',
            'FORCE_CUDA': str(int(_with_cuda())),
            'MAX_JOBS': str(jobs),
            'CXX': _compiler(Path(build), compiler),
        }
        command = ['wheel', '--no-build-isolation', '--no-deps', '--no-cache-dir']
        command += ['--no-binary', PACKAGE, '--wheel-dir', f'{build}/wheels']
        with log.open('w') as output:
            done = subprocess.run(
                [sys.executable, '-m', 'pip', *command, f'{PACKAGE}=={version(PACKAGE)}'],
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        wheels = list(Path(build, 'wheels').glob('*.whl'))
        if done.returncode or not wheels:
            raise RuntimeError(f"building mmcv's operators failed; see the end of {log}")
        # In two steps: a wheel that is there is whole.
        partial = folder / f'{wheels[0].name}.partial'
        shutil.copyfile(wheels[0], partial)
        return partial.rename(folder / wheels[0].name)


def _compiler(build: Path, compiler: str) -> str:
    """A script that calls it through :mod:`.compiler`, which makes it faster."""
    script = build / 'c++'
    through = f'{sys.executable} {Path(__file__).with_name("compiler.py")}'
    script.write_text(f'#!/bin/sh\nexec {through} {build} {compiler} "$@"\n')
    script.chmod(0o755)
    return str(script)


def _pip(*arguments: str) -> None:
    command = [sys.executable, '-m', 'pip', '--disable-pip-version-check', *arguments, '-q']
    if subprocess.run(command).returncode:
        raise RuntimeError(f'pip {arguments[0]} failed: its message is above')
