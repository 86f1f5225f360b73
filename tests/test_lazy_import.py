"""``import vgg_mm`` registers everything and imports little; the rest comes when asked for."""

import subprocess
import sys

import pytest

import vgg_mm
from tests.conftest import ROOT

PRELUDE = f'import sys\nsys.path.insert(0, {str(ROOT)!r})\nimport vgg_mm\n'
FRESH = "assert 'mmpretrain.models' not in sys.modules, 'imported already'\n"

#: Ways to what the package registers, each the first in its process.
WAYS = (
    "from mmengine.registry import MODELS\nassert MODELS.get('vgg_mm.VGG').__name__ == 'VGG'",
    "from mmpretrain.registry import HOOKS\nassert 'vgg_mm.StagedInitHook' in HOOKS",
    "assert {'VGG', 'ConvHead', 'PaperTTA'} <= set(vgg_mm.registry.MODELS.module_dict)",
    'assert len(vgg_mm.registry.TRANSFORMS) > 4',
    "assert vgg_mm.models.VGG(arch='A').conv1_1",
    "assert {'models', 'zoo', 'datasets'} <= set(dir(vgg_mm))",
    'from vgg_mm import evaluation\nassert evaluation.TopKError',
    'from vgg_mm.models.backbones.vgg import VGG',
    "from mmpretrain import list_models\nassert list_models('vgg16_jitter_imagenet')",
    "from mmpretrain import get_model\nassert get_model('vgg11_s256_imagenet').backbone.conv1_1",
)


def test_all_ways_lead_to_the_modules():
    """Each in a process that has imported the package and nothing of its rooms."""
    script = (
        f'{PRELUDE}{FRESH}import os\nfor way in {WAYS!r}:\n'
        '    child = os.fork()\n'
        '    if not child:\n'
        '        exec(way)\n'
        '        sys.stdout.flush()\n'
        '        os._exit(0)\n'
        '    assert os.waitpid(child, 0)[1] == 0, way\n'
    )
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', script], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_unknown_names():
    with pytest.raises(AttributeError, match="module 'vgg_mm' has no attribute 'no_such_room'"):
        vgg_mm.no_such_room  # noqa: B018
