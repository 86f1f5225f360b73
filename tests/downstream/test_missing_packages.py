"""A one-line error says what to install without MMDetection, MMSegmentation or mmcv's operators."""

import subprocess
import sys
from importlib.util import find_spec

import pytest

from tests.conftest import ROOT
from vgg_mm.models import downstream

PACKAGES = {name: part.package for name, part in downstream.PARTS.items()}


def run_without(missing, code, cwd):
    """Run code in a Python process in which the module cannot be imported."""
    hide = (
        'import importlib.util, sys\n'
        'find = importlib.util.find_spec\n'
        f'importlib.util.find_spec = lambda n, *a: None if n == {missing!r} else find(n, *a)\n'
        f'sys.modules[{missing!r}] = None\n'
        f'sys.path.insert(0, {str(ROOT)!r})\n'
    )
    return subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', hide + code], capture_output=True, text=True, cwd=cwd
    )


@pytest.mark.parametrize('missing', ['mmdet', 'mmseg', 'mmcv._ext'])
def test_missing_packages_are_reported_on_use(missing, tmp_path):
    """They are not reported earlier, so that classification works without them."""
    asked = sorted(n for n, package in PACKAGES.items() if missing in (package, 'mmcv._ext'))
    code = (
        'import vgg_mm\nfrom mmengine.registry import MODELS\n'
        "MODELS.build(dict(type='vgg_mm.VGG', arch='A', base_channels=2))\n"
        "MODELS.build(dict(type='vgg_mm.SSDVGG', base_channels=2, fc_channels=2))\n"
        f'for name in {asked}:\n'
        "    try:\n        MODELS.build(dict(type=f'vgg_mm.{name}'))\n"
        "    except ImportError as error:\n        print('LINE', error)\n"
    )
    done = run_without(missing, code, tmp_path)
    lines = [line for line in done.stdout.splitlines() if line.startswith('LINE')]
    assert len(lines) == len(asked) > 0, done.stderr
    for name, line in zip(asked, lines):
        assert f'vgg_mm.{name} needs {PACKAGES[name]}' in line or missing == 'mmcv._ext'
        assert 'python tools/build_mmcv_ops.py' in line
        lacks_package = missing != 'mmcv._ext' or find_spec(PACKAGES[name]) is None
        assert ('[downstream]' in line) == lacks_package


def test_the_tools_report_missing_packages(tmp_path):
    config = ROOT / 'configs/downstream/detection/ssd300_vgg16_animals.py'
    code = (
        f'import runpy\nsys.argv = ["train.py", {str(config)!r}]\n'
        f'sys.path.insert(0, {str(ROOT / "tools")!r})\n'
        f'runpy.run_path({str(ROOT / "tools/train.py")!r}, run_name="__main__")\n'
    )
    done = run_without('mmdet', code, tmp_path)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith('error: ')]
    assert 'ssd300_vgg16_animals.py needs mmdet, which is not installed: pip install' in line


def test_unknown_names_stay_unknown():
    with pytest.raises(AttributeError, match="no attribute 'MaskHead'"):
        downstream.MaskHead  # noqa: B018
