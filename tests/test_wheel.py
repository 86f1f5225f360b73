"""The sdist, and the wheel built from it, work in an empty environment without the checkout."""

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import threading
import venv
import zipfile
from email.parser import BytesParser
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.conftest import ROOT

#: Folders of the checkout that are included in the package.
CARRIED = ('configs', 'tools')


def run(command, cwd, **kwargs):
    environment = {k: v for k, v in os.environ.items() if k not in ('PYTHONPATH', 'PYTHONHOME')}
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True, **kwargs
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def shipped():
    """Files of the repository, without those that git ignores."""
    command = ['git', 'ls-files', '--cached', '--others', '--exclude-standard']
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip('no git checkout: the files that belong to it are not known')
    return [path for path in listed.stdout.splitlines() if (ROOT / path).is_file()]


def build(what, folder):
    """Build a file with ``build_WHAT`` of the build system, in a copy of the repository.

    A copy is used because building replaces the contents of vgg_mm/.mim.
    """
    for path in shipped():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes((ROOT / path).read_bytes())
    # The calls that pip makes; the first writes the metadata with which openmim finds a checkout.
    code = (
        'import setuptools.build_meta as system; '
        f'system.get_requires_for_build_{what}(); system.build_{what}("dist")'
    )
    run([sys.executable, '-c', code], folder)
    (built,) = (folder / 'dist').iterdir()
    return built


@pytest.fixture(scope='module')
def sdist(tmp_path_factory):
    return build('sdist', tmp_path_factory.mktemp('copy'))


@pytest.fixture(scope='module')
def wheel(sdist, tmp_path_factory):
    folder = tmp_path_factory.mktemp('unpacked')
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter='data')
    (source,) = folder.iterdir()
    options = ['--no-deps', '--no-build-isolation', '--no-index', '--wheel-dir', folder / 'dist']
    run([sys.executable, '-m', 'pip', 'wheel', '-q', *options, source], folder)
    (built,) = (folder / 'dist').glob('vgg_mm-*.whl')
    return built


@pytest.fixture(scope='module')
def python(wheel, tmp_path_factory):
    """Python of a new environment: vgg_mm from the wheel, other packages of the current one."""
    return environment_with(wheel, tmp_path_factory.mktemp('environment'))


def environment_with(wheel, folder, with_pip=False):
    venv.create(folder, with_pip=with_pip)
    python = folder / 'bin' / 'python'
    # As a plain path, so that the .pth files there, one of which adds the checkout, are ignored.
    (purelib(python) / 'base.pth').write_text(sysconfig.get_path('purelib') + '\n')
    pip = [sys.executable, '-m', 'pip', '--python', python, 'install', '-q']
    run([*pip, '--no-deps', '--no-index', '--ignore-installed', wheel], folder)
    return python


def purelib(python):
    where = 'import sysconfig; print(sysconfig.get_path("purelib"))'
    return Path(run([python, '-c', where], python.parent).strip())


@pytest.fixture(scope='module')
def mim(python, tmp_path_factory):
    """The folder of the installed package in which mim searches."""
    where = 'import os, vgg_mm; print(os.path.join(os.path.dirname(vgg_mm.__file__), ".mim"))'
    folder = Path(run([python, '-c', where], tmp_path_factory.mktemp('empty')).strip())
    assert folder.is_relative_to(python.parent.parent)
    return folder


def test_the_wheel_contains_the_files_of_the_checkout(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    own = [path for path in shipped() if path.startswith(('vgg_mm/', 'vgg_mm_cli/'))]
    carried = [path for path in shipped() if path.split('/')[0] in CARRIED]
    wanted = {*own, *(f'vgg_mm/.mim/{path}' for path in [*carried, 'model-index.yml'])}
    assert wanted <= names
    assert 'vgg_mm/py.typed' in names
    others = {name for name in names - wanted if '.dist-info/' not in name}
    assert not others


def test_no_requirement_replaces_openmmlabs_packages(wheel):
    """Installed mmengine, mmcv and mmpretrain are kept: packages that replace them are extras."""
    (name,) = (n for n in zipfile.ZipFile(wheel).namelist() if n.endswith('.dist-info/METADATA'))
    metadata = BytesParser().parsebytes(zipfile.ZipFile(wheel).read(name))
    required = [Requirement(line) for line in metadata.get_all('Requires-Dist')]
    always = {r.name for r in required if r.marker is None}
    assert {'torch', 'torchvision'} <= always
    assert not [n for n in always if re.match('(onedl-)?mm|onedl|openmim', n)]
    for extra, prefix in (('onedl', 'onedl-'), ('openmmlab', '')):
        given = {r.name for r in required if r.marker and r.marker.evaluate({'extra': extra})}
        assert given - always == {
            f'{prefix}mmengine', f'{prefix}mmpretrain', 'onedl-mmcv' if prefix else 'mmcv-lite'
        }  # fmt: skip


def test_an_editable_install_is_found_from_the_folder_above(tmp_path):
    """There, the checkout itself, a folder named vgg_mm, comes first on Python's path."""
    checkout = tmp_path / 'above' / 'vgg_mm'
    python = environment_with(build('editable', checkout), tmp_path / 'environment')
    code = 'import vgg_mm; print(vgg_mm.__file__)'
    found = run([python, '-W', 'ignore', '-c', code], checkout.parent)
    assert Path(found.strip()) == checkout / 'vgg_mm' / '__init__.py'
    assert run([python.parent / 'vgg-mm', '--version'], checkout.parent).startswith('vgg_mm ')


def test_the_sdist_has_no_data_or_links(sdist):
    with tarfile.open(sdist) as archive:
        members = archive.getmembers()
    assert all(member.isfile() or member.isdir() for member in members)
    names = {member.name.split('/')[1] for member in members if '/' in member.name}
    assert {'LICENSE', 'CITATION.cff', 'setup.py', 'vgg_mm'} <= names
    assert not names & {'data', 'work_dirs', 'build', '.venv'}


def test_mim_and_mmpretrain_find_the_package(python, mim, tmp_path):
    code = (
        'import vgg_mm, mmpretrain; from modelindex.load_model_index import load; '
        f'print(len(load({str(mim / "model-index.yml")!r}).models), '
        "'vgg16_jitter_imagenet' in mmpretrain.list_models('vgg16*'), "
        f'vgg_mm.zoo.root_folder() == {str(mim)!r}, vgg_mm.installation.command("chain"))'
    )
    count, listed, found, *command = run([python, '-c', code], tmp_path).splitlines()[-1].split()
    assert int(count) > 20 and (listed, found) == ('True', 'True')
    assert command == ['vgg-mm', 'chain']


@pytest.mark.slow
def test_training_from_an_empty_folder(python, mim, tmp_path):
    """The installed commands and configs work on the digits: two iterations and a prediction."""
    vgg_mm = python.parent / 'vgg-mm'
    run([vgg_mm, 'prepare', 'digits', '--out', 'data/digits'], tmp_path)
    short = [
        'train_dataloader.dataset.indices=64', 'train_cfg.max_epochs=1', 'train_cfg.val_interval=1',
        'val_dataloader.dataset.indices=20', 'default_hooks.logger.interval=1',
        'model.backbone.base_channels=4', 'model.head.in_channels=32', 'randomness.seed=0',
        'train_dataloader.num_workers=0', 'val_dataloader.num_workers=0',
    ]  # fmt: skip
    log = run([vgg_mm, 'train', 'vgg11_jitter_digits', '--cfg-options', *short], tmp_path)
    assert 'Epoch(train) [1][2/2]' in log and 'error/top1' in log
    work_dir = tmp_path / 'work_dirs/vgg11_jitter_digits'
    checkpoint = (work_dir / 'last_checkpoint').read_text()
    predicted = run([vgg_mm, 'predict', 'data/digits/val/3', checkpoint, '--top', 2], tmp_path)
    assert 'dense, Q = 64, 80, 96' in predicted
    # No other files were written.
    assert {path.name for path in tmp_path.iterdir()} == {'data', 'work_dirs'}


def openmim_beside(wheel, folder):
    """The command of openmim in a new environment with the wheel."""
    python = environment_with(wheel, folder, with_pip=True)
    install = [python, '-m', 'pip', 'install', '-q', 'openmim==0.3.9']
    done = subprocess.run(install, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f'openmim cannot be installed: {done.stderr.strip().splitlines()[-1]}')
    return python.parent / 'mim'


#: Options for two iterations of a net with 4 channels, and a test of 20 images.
SHORT = [
    '--gpus', '0', '--cfg-options', 'train_dataloader.dataset.indices=64',
    'train_cfg.max_epochs=1', 'train_cfg.val_interval=1', 'val_dataloader.dataset.indices=20',
    'test_dataloader.dataset.indices=20', 'default_hooks.logger.interval=1',
    'model.backbone.base_channels=4', 'model.head.in_channels=32',
]  # fmt: skip


@pytest.mark.slow
def test_openmim_searches_downloads_trains_and_tests(wheel, tmp_path):
    openmim = openmim_beside(wheel, tmp_path / 'environment')
    assert 'config id: vgg16_jitter_imagenet' in run([openmim, 'search', 'vgg_mm'], tmp_path)
    (tmp_path / 'published').mkdir()
    (tmp_path / 'published/net.caffemodel').write_bytes(b'weights')
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path / 'published')
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        metafile = purelib(openmim.with_name('python')) / 'vgg_mm/.mim/configs/vgg/metafile.yml'
        address = f'http://127.0.0.1:{server.server_port}/net.caffemodel'
        here = re.sub(r'http://\S+_16_layers.caffemodel', address, metafile.read_text())
        metafile.write_text(here)
        config = ['--config', 'vgg16_jitter_imagenet', '--dest', '.']
        run([openmim, 'download', 'vgg_mm', *config], tmp_path)
        server.shutdown()
    assert (tmp_path / 'net.caffemodel').read_bytes() == b'weights'
    assert "arch='D'" in (tmp_path / 'vgg16_jitter_imagenet.py').read_text()

    run([openmim.parent / 'vgg-mm', 'prepare', 'digits', '--out', 'data/digits'], tmp_path)
    log = run([openmim, 'train', 'vgg_mm', 'vgg11_jitter_digits.py', *SHORT], tmp_path)
    assert 'Epoch(train) [1][2/2]' in log and 'error/top1' in log
    checkpoint = ['--checkpoint', 'work_dirs/vgg11_jitter_digits/epoch_1.pth']
    test = [openmim, 'test', 'vgg_mm', 'vgg11_jitter_digits.py', *checkpoint, *SHORT]
    assert 'centre crop' in run(test, tmp_path)


@pytest.mark.slow
def test_openmim_finds_an_editable_install_on_pythonpath(tmp_path):
    """Without PYTHONPATH, openmim only searches in site-packages."""
    checkout = tmp_path / 'checkout'
    openmim = openmim_beside(build('editable', checkout), tmp_path / 'environment')
    found = run(['env', f'PYTHONPATH={checkout}', openmim, 'search', 'vgg_mm'], tmp_path)
    assert 'config id: vgg16_jitter_imagenet' in found
