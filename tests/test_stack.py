"""Unsupported or incomplete stacks are reported in one line, with the fix."""

import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from vgg_mm import stack
from vgg_mm.stack import TESTED_RANGES, check_version, how_to_install


@pytest.mark.parametrize(
    'name, version',
    [('mmengine', '0.9.0'), ('mmengine', '1.0.0'), ('mmcv', '1.7.2'), ('mmpretrain', '2.0.0rc1')],
)
def test_versions_out_of_range(name, version):
    with pytest.raises(ImportError, match=f'{name} {version} is installed: pip install') as error:
        check_version(name, version)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    'installed, name, command',
    [
        ([], 'mmengine', "pip install -e '.*[onedl]' installs .* [openmmlab] in place of"),
        (['vgg_mm'], 'mmcv', "pip install 'vgg_mm[onedl]' installs .* [openmmlab] in place of"),
        (['vgg_mm', 'onedl-mmengine'], 'mmpretrain', "pip install 'vgg_mm[onedl]'"),
        (['vgg_mm', 'mmengine'], 'mmpretrain', "pip install 'mmpretrain>=1.2.0,<1.4'"),
        (['vgg_mm', 'mmengine'], 'mmcv', "pip install 'mmcv-lite>=2.2.0,<2.4'"),
        (['vgg_mm', 'mmengine', 'mmcv'], 'mmcv', "pip install 'mmcv>=2.2.0,<2.4'"),
        (['vgg_mm', 'onedl-mmcv'], 'mmdet', "pip install 'vgg_mm[downstream]'"),
        (['vgg_mm', 'mmcv'], 'mmdet', "pip install 'vgg_mm[downstream]' in an environment without"),
    ],
)
def test_the_fix_keeps_the_installed_packages(monkeypatch, installed, name, command):
    """Users of OpenMMLab's packages are never told to replace them by the fork's."""
    monkeypatch.setattr(stack, '_is_installed', lambda distribution: distribution in installed)
    pattern = re.escape(command).replace(r'\.\*', '.*')
    assert re.match(pattern, how_to_install(name)), how_to_install(name)


@pytest.mark.parametrize('name', TESTED_RANGES)
def test_installed_versions_are_in_range(name):
    check_version(name, __import__(name).__version__)


@pytest.mark.parametrize('name', ['torchvision', 'mmengine', 'mmcv', 'mmpretrain'])
def test_missing_packages(name, tmp_path):
    code = (
        'import importlib.util, sys\n'
        'find = importlib.util.find_spec\n'
        f'importlib.util.find_spec = lambda n, *a: None if n == {name!r} else find(n, *a)\n'
        f'sys.path.insert(0, {str(ROOT)!r})\n'
        'try:\n    import vgg_mm\n'
        'except ImportError as error:\n    print(error)\n'
    )
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', code], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stdout.startswith('vgg_mm needs') and name in done.stdout, done.stderr
    assert 'pip install' in done.stdout and done.stdout.count('\n') == 1


def test_torchvision_of_another_torch(tmp_path):
    (tmp_path / 'torchvision.py').write_text(
        "raise RuntimeError('operator torchvision::nms does not exist')"
    )
    done = subprocess.run(
        [sys.executable, str(ROOT / 'tools/train.py'), 'any.py'],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={'PYTHONPATH': str(tmp_path)},
    )
    assert done.returncode == 1
    assert 'error: the installed torchvision does not match the installed torch' in done.stderr
