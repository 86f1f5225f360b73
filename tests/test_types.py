"""The public API has types: mypy looks at every module that defines an exported name."""

import importlib
import subprocess
import sys

import pytest

from tests.conftest import ROOT

tomllib = pytest.importorskip('tomllib')  # Python 3.11

#: The packages whose ``__all__`` is the public API, besides names in configs.
PACKAGES = (
    'apis', 'checkpoints', 'datasets', 'engine', 'evaluation', 'kernels', 'models', 'visualization',
)  # fmt: skip


@pytest.fixture(scope='module')
def settings():
    with open(ROOT / 'pyproject.toml', 'rb') as file:
        return tomllib.load(file)['tool']['mypy']


def public_files():
    files = set()
    for package_name in PACKAGES:
        package = importlib.import_module(f'vgg_mm.{package_name}')
        for name in package.__all__:
            module = sys.modules.get(getattr(getattr(package, name), '__module__', None) or '')
            if module is not None and module.__name__.startswith('vgg_mm.'):
                files.add(module.__file__.removeprefix(f'{ROOT}/'))
    return files


def test_all_of_the_public_api_is_checked(settings):
    missing = public_files() - set(settings['files'])
    assert not missing, f'add to files of [tool.mypy] in pyproject.toml: {sorted(missing)}'
    assert all((ROOT / file).is_file() for file in settings['files'])


def test_nothing_is_ignored_at_large(settings):
    """Only that other libraries have no types may be passed over, by name."""
    assert not settings.get('ignore_errors') and not settings.get('ignore_missing_imports')
    for override in settings['overrides']:
        assert set(override) == {'module', 'ignore_missing_imports'}
        assert not any(module.startswith(('vgg_mm', '*')) for module in override['module'])


@pytest.mark.slow
def test_types():
    pytest.importorskip('mypy', reason='needs requirements/dev.txt')
    done = subprocess.run(
        [sys.executable, '-m', 'mypy', '--no-error-summary'],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
