"""``import vgg_mm`` registers everything and imports little; the rest is imported on demand."""

import importlib
import pkgutil
import re
import subprocess
import sys
from importlib.util import find_spec

import pytest

import vgg_mm
from tests.conftest import ROOT

PRELUDE = f'import sys\nsys.path.insert(0, {str(ROOT)!r})\nimport vgg_mm\n'
FRESH = "assert 'mmpretrain.models' not in sys.modules, 'imported already'\n"

#: Ways to access the package's parts, each of them the first access in a process.
WAYS = (
    "from mmengine.registry import MODELS\nassert MODELS.get('vgg_mm.VGG').__name__ == 'VGG'",
    "from mmpretrain.registry import HOOKS\nassert 'vgg_mm.StagedInitHook' in HOOKS",
    "assert {'VGG', 'ConvHead', 'PaperTTA'} <= set(vgg_mm.registry.MODELS.module_dict)",
    'assert len(vgg_mm.registry.TRANSFORMS) > 4',
    "assert vgg_mm.models.VGG(arch='A').conv1_1",
    "assert {'models', 'zoo', 'datasets'} <= set(dir(vgg_mm))",
    'assert vgg_mm.checkpoints.load_checkpoint and vgg_mm.apis.predict',
    'import vgg_mm.apis.inference.load as load\nassert load.load_net',
    'from vgg_mm import evaluation\nassert evaluation.TopKError',
    'from vgg_mm.models.backbones.vgg import VGG',
    "from mmpretrain import list_models\nassert list_models('vgg16_jitter_imagenet')",
    "from mmpretrain import get_model\nassert get_model('vgg11_s256_imagenet').backbone.conv1_1",
)


def test_all_ways_lead_to_the_modules():
    """Each way works in a process that has imported only the package, without sub-packages."""
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


def modules():
    """Every module of the package that can be imported here."""
    for module in pkgutil.walk_packages(vgg_mm.__path__, 'vgg_mm.'):
        try:
            yield importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            # vgg_mm.models.downstream reports the missing package when one of its names is used.
            assert error.name in ('mmdet', 'mmseg') and find_spec(error.name) is None, module.name


def packages() -> set[str]:
    return {module.name for module in pkgutil.iter_modules(vgg_mm.__path__) if module.ispkg}


def test_every_module_can_be_reached_by_its_name():
    """None is hidden by a function of the same name, and all public names exist."""
    found = list(modules())
    assert len(found) > 100
    for module in found:
        parent, _, name = module.__name__.rpartition('.')
        assert getattr(sys.modules[parent], name) is module, module.__name__
        lazy = hasattr(module, '__getattr__')  # imports packages on demand that may be missing
        for public in () if lazy else getattr(module, '__all__', ()):
            assert hasattr(module, public), f'{module.__name__}.{public}'
    assert packages() <= set(vgg_mm.__all__)


def test_every_name_of_the_api_reference_can_be_imported():
    pages = [path.read_text() for path in (ROOT / 'docs/api').glob('*.md')]
    directives = re.findall(r'automodule:: (\S+)\n((?:   :.*\n)*)', '\n'.join(pages))
    assert {name for name, _ in directives} >= {f'vgg_mm.{name}' for name in packages()}
    for name, options in directives:
        module = importlib.import_module(name)
        for members in re.findall(r':members: (.+)', options):
            assert all(hasattr(module, member.strip()) for member in members.split(',')), members


def test_from_the_folder_above_a_checkout(tmp_path):
    """A checkout named vgg_mm that is not installed is found with PYTHONPATH; an import as
    ``vgg_mm.vgg_mm`` is an error."""
    (tmp_path / 'vgg_mm').symlink_to(ROOT)
    prelude = (
        'import os, sys\n'
        "others = [p for p in sys.path if not os.path.isfile(f'{p}/vgg_mm/__init__.py')]\n"
        'sys.path[:] = [os.getcwd(), *others]\n'
    )
    half = f'{prelude}import vgg_mm.vgg_mm'
    done = subprocess.run(
        [sys.executable, '-c', half], cwd=tmp_path, capture_output=True, text=True
    )
    last = done.stderr.splitlines()[-1]
    assert last.startswith('ImportError: the package is imported as vgg_mm.vgg_mm, from the folder')
    found = f'{prelude}sys.path.append({str(ROOT)!r})\nimport vgg_mm\nprint(vgg_mm.__file__)'
    done = subprocess.run(
        [sys.executable, '-c', found], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.strip() == str(ROOT / 'vgg_mm/__init__.py')
