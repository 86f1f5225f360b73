"""Shared fixtures: running the tools as a user does, the digits, the real images."""

import os
import resource
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope

from tests import preloaded

ROOT = Path(__file__).parent.parent
A_DIGITS = str(ROOT / 'configs/vgg/vgg11_jitter_digits.py')
D_DIGITS = str(ROOT / 'configs/vgg/vgg16_jitter_digits.py')

torch.set_num_threads(1 if 'PYTEST_XDIST_WORKER' in os.environ else 2)

#: Files that take minutes. They start first, so that with pytest -n the others fill the gaps.
LONG = (
    'test_real_data.py',
    'test_kill.py',
    'test_tools.py',
    'test_chain.py',
    'test_real_protocols.py',
    'test_paper_table.py',
    'test_matrix.py',
    'test_finetune.py',
    'test_daily_chain.py',
    'test_wheel.py',
    'test_blocks.py',
)


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name not in LONG)


def run_tool(name, *args, cwd, launcher=(), env=None, check=True):
    """Run tools/NAME or FOLDER/NAME in the folder ``cwd``, and return the finished process.

    With a launcher or an environment, the tool is started in a new process, as from a shell.
    """
    command = [str(ROOT / (name if '/' in name else f'tools/{name}')), *map(str, args)]
    if launcher or env:
        done = subprocess.run(
            [sys.executable, *launcher, *command],
            cwd=cwd, capture_output=True, text=True, env={**os.environ, **(env or {})},
        )  # fmt: skip
    else:
        done = preloaded.run(command, cwd)
    if check:
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done


def heed_ctrl_c():
    """For ``preexec_fn``: handle SIGINT, which shells let background processes ignore."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def file_limit(size):
    """Limit the size of files, in bytes, so that larger writes fail half-way.

    To be used only around the tested call, because the limit also applies to pytest's output.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(autouse=True)
def own_default_scope():
    """Restores the default scope, which runners in a test may set."""
    before = dict(DefaultScope._instance_dict)
    yield
    DefaultScope._instance_dict.clear()
    DefaultScope._instance_dict.update(before)


@pytest.fixture(scope='session')
def digits(tmp_path_factory):
    """Folder of scikit-learn's digits, written by the tool."""
    folder = tmp_path_factory.mktemp('data') / 'digits'
    run_tool('prepare_data.py', 'digits', '--out', folder, cwd=folder.parent)
    return folder


@pytest.fixture(scope='session')
def few_digits(digits, tmp_path_factory):
    """Twelve training and four validation images of each class."""
    folder = tmp_path_factory.mktemp('data') / 'few_digits'
    for split, count in (('train', 12), ('val', 4)):
        for label in range(10):
            target = folder / split / str(label)
            target.mkdir(parents=True)
            for path in sorted((digits / split / str(label)).iterdir())[:count]:
                (target / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.fixture(scope='session')
def net_a(few_digits, tmp_path_factory):
    """Work directory of net A, trained for two short epochs by tools/train.py."""
    work_dir = tmp_path_factory.mktemp('net_a')
    run_tool('train.py', A_DIGITS, *short_run(few_digits, work_dir, 2), cwd=work_dir)
    return work_dir


def short_run(data, work_dir, epochs, *options):
    """Arguments of train.py for a run of a few seconds, with 5 iterations per epoch."""
    return [
        '--work-dir',
        work_dir,
        '--cfg-options',
        f'DATA_ROOT={data}',
        f'train_cfg.max_epochs={epochs}',
        'train_dataloader.batch_size=24',
        'default_hooks.checkpoint.interval=1',
        'default_hooks.logger.interval=1',
        *options,
    ]


@pytest.fixture(scope='session')
def spot(tmp_path_factory):
    """File of a photo with 200 x 120 pixels and a bright spot."""
    path = tmp_path_factory.mktemp('spot') / 'photo.png'
    pixels = np.full((120, 200, 3), 40, np.uint8)
    cv2.circle(pixels, (150, 60), 30, (250, 250, 250), -1)
    cv2.imwrite(str(path), pixels)
    return str(path)


@pytest.fixture(scope='session')
def real_data():
    """Folder of the real images (VGG_MM_DATA)."""
    folder = os.environ.get('VGG_MM_DATA')
    if not folder or not os.path.isdir(os.path.join(folder, 'imagenet_sample')):
        pytest.skip('VGG_MM_DATA names no folder with the real images')
    return Path(folder)


@pytest.fixture
def photo():
    """A smooth image with edges and noise, uint8 BGR (150, 200, 3)."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:150, :200]
    waves = 128 + 60 * np.sin(x / 17)[..., None] + 60 * np.cos(y[..., None] / [11, 23, 31])
    image = np.clip(waves + rng.normal(0, 8, waves.shape), 0, 255).astype(np.uint8)
    return cv2.rectangle(image, (40, 30), (120, 90), (255, 0, 128), -1)
