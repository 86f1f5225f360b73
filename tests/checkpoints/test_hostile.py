"""Loading a file never runs code from it, whichever loader is used."""

import logging
import pickle
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModule
from mmengine.runner import CheckpointLoader

from tests.checkpoints.hostile import ARMED, CALLS, HARMLESS, HOSTILE, code
from tests.conftest import A_DIGITS, run_tool, short_run
from tests.engine.test_checkpoint_hook import train
from vgg_mm.checkpoints import load_checkpoint, loading_safely
from vgg_mm.engine import StagedInitHook
from vgg_mm.evaluation import load_posteriors


def staged_init(path):
    runner = SimpleNamespace(model=torch.nn.Linear(1, 1), iter=0, logger=logging.getLogger('x'))
    StagedInitHook(path).before_train(runner)


class Pretrained(BaseModule):
    def __init__(self, path):
        super().__init__(init_cfg=dict(type='Pretrained', checkpoint=path))
        self.w = torch.nn.Parameter(torch.ones(2))


LOADERS = {
    'load_checkpoint': load_checkpoint,
    'load_from, resume, test': CheckpointLoader.load_checkpoint,
    'init_cfg': lambda path: Pretrained(path).init_weights(),
    'StagedInitHook': staged_init,
    'ensemble': load_posteriors,
}

#: Loaders that reject even files that can be read.
DEMANDING = ('StagedInitHook', 'ensemble')


@pytest.fixture(autouse=True)
def safe():
    with loading_safely():
        yield


@pytest.mark.parametrize('name', HOSTILE)
def test_no_code_of_a_hostile_file_runs(tmp_path, name, recwarn):
    marker, path = tmp_path / 'marker', str(tmp_path / 'file.pth')
    HOSTILE[name](path, marker)
    methods = HistoryBuffer._statistics_methods.copy(), HistoryBuffer.mean
    recwarn.clear()
    for kind, load in LOADERS.items():
        if name in HARMLESS and kind not in DEMANDING:
            load(path)
        else:
            with pytest.raises(ValueError) as error:
                load(path)
            assert '\n' not in str(error.value) and len(str(error.value)) < 500
    assert not marker.exists() and not recwarn.list
    assert (HistoryBuffer._statistics_methods, HistoryBuffer.mean) == methods


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('name', sorted(ARMED))
def test_files_run_code_if_trusted(tmp_path, name, monkeypatch, capsys):
    """The files are really hostile: their code runs if the loader allows it."""
    monkeypatch.chdir(tmp_path)
    marker, path = tmp_path / 'marker', str(tmp_path / 'file.pth')
    HOSTILE[name](path, marker)
    with loading_safely(trust=True), suppress(ValueError):  # most are not checkpoints
        load_checkpoint(path)
    assert marker.exists()
    warning = f'warning: trust_checkpoint=True: running the code in checkpoint {path}\n'
    assert capsys.readouterr().err.startswith(warning)


def test_trust_checkpoint(tmp_path, capsys):
    path = tmp_path / 'file.pth'
    HOSTILE['in meta'](path, tmp_path / 'marker')
    with pytest.raises(ValueError) as error:
        load_checkpoint(path)
    assert str(error.value) == (
        f'checkpoint {path} was not loaded: it refers to posix.system; '
        'trust_checkpoint=True loads it and runs its code'
    )
    with loading_safely(trust=True):
        assert list(load_checkpoint(path)['state_dict']) == ['w']
        capsys.readouterr()
        torch.save(dict(w=torch.ones(1)), path)
        load_checkpoint(path)
        assert capsys.readouterr().err == ''  # this file needs no trust


def test_messages_contain_no_control_characters(tmp_path):
    path = tmp_path / 'file.pth'
    path.write_bytes(b'\x80\x02cos\n\x1b[2J\x1b]0;title\x07\n.')
    with pytest.raises(ValueError, match='it refers to os') as error:
        load_checkpoint(path)
    assert str(error.value).isprintable()


def test_buffers_are_rebuilt_from_their_values(tmp_path):
    path = tmp_path / 'file.pth'
    before = HistoryBuffer._statistics_methods.copy()
    HistoryBuffer._statistics_methods['mean'] = HistoryBuffer.max
    try:
        torch.save(dict(buffer=HistoryBuffer([1.0, 5.0], [1, 3])), path)
    finally:
        HistoryBuffer._statistics_methods.update(before)
    buffer = load_checkpoint(path)['buffer']
    assert type(buffer) is HistoryBuffer and type(buffer.data[0]) is np.ndarray
    assert buffer.statistics('mean') == 1.5
    assert HistoryBuffer._statistics_methods == before


@pytest.mark.parametrize(
    'value',
    [
        np.float64(0.1),
        np.int64(-3),
        np.bool_(True),
        np.str_('grün'),
        np.arange(6, dtype='>i4').reshape(2, 3),
        np.asfortranarray(np.eye(3, dtype=np.float16)),
        np.array(['a', 'longer']),
        np.array(1 + 2j),
        np.zeros((0, 3), np.uint8),
    ],
    ids=lambda value: str(value.dtype),
)
def test_plain_numbers_and_strings_load(tmp_path, value):
    torch.save(dict(x=value, again=value), tmp_path / 'one.pth')
    loaded = load_checkpoint(tmp_path / 'one.pth')
    torch.save(loaded, tmp_path / 'two.pth')
    # Loaded values that are saved again are plain numpy.
    reference = torch.load(tmp_path / 'two.pth', weights_only=False)
    assert type(reference['x']) is type(value)
    dtype = pickle.loads(pickle.dumps(value, 2)).dtype  # pickling makes the byte order native
    for x in (loaded['x'], loaded['again'], reference['x']):
        assert x.dtype == dtype and x.shape == value.shape and np.all(x == value)


def test_files_of_numpy_1_load(tmp_path):
    path = tmp_path / 'file.pth'
    torch.save(dict(x=np.float64(0.5)), path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes().replace(b'numpy._core', b'numpy.core'))
    assert load_checkpoint(path)['x'] == 0.5


def resume_with_config(folder, marker):
    """Train an epoch and put code in the checkpoint's meta.config; returns a function to resume."""
    folder.mkdir()
    train(folder, epochs=1)
    path = str(folder / 'epoch_1.pth')
    checkpoint = torch.load(path, weights_only=False)
    checkpoint['meta']['config'] = code(marker)
    torch.save(checkpoint, path)
    return lambda: train(folder, epochs=2, resume=path)


def test_resuming_does_not_run_meta_config(tmp_path):
    marker = tmp_path / 'marker'
    resume_with_config(tmp_path / 'run', marker)()
    assert (tmp_path / 'run/epoch_2.pth').exists() and not marker.exists()


def test_mmengine_alone_would_run_meta_config(tmp_path):
    def unsafe(path, map_location):
        return torch.load(path, map_location=map_location, weights_only=False)

    marker = tmp_path / 'marker'
    resume = resume_with_config(tmp_path / 'run', marker)
    CheckpointLoader.register_scheme(prefixes='', loader=unsafe, force=True)
    resume()
    assert marker.exists()


def test_train_with_load_from(few_digits, tmp_path):
    HOSTILE['legacy format'](tmp_path / 'file.pth', tmp_path / 'marker')
    options = short_run(few_digits, 'run', 1, 'load_from=file.pth')
    done = run_tool('train.py', A_DIGITS, *options, cwd=tmp_path, check=False)
    assert done.returncode == 1 and not (tmp_path / 'marker').exists()
    assert 'error: checkpoint file.pth was not loaded: it refers to posix.system' in done.stderr


def test_ensemble(tmp_path):
    for name in ('one', 'two'):
        array = np.array([CALLS['os.system'](tmp_path / 'marker')], dtype=object)
        np.savez(tmp_path / f'{name}.npz', labels=array)
    done = run_tool('ensemble.py', 'one.npz', 'two.npz', cwd=tmp_path, check=False)
    assert done.returncode == 1 and not (tmp_path / 'marker').exists()
    assert done.stderr.startswith('error: one.npz contains no posteriors') and (
        done.stderr.count('\n') == 1
    )
