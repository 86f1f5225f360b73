"""Checkpoints are loaded without running code from them."""

import os
import pickle

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader

from tests.checkpoints.hostile import Payload
from vgg_mm.checkpoints import fits, load_checkpoint, loading_safely, weights_of


def hostile(marker):
    command = f'touch {marker}'
    return {
        'os.system': Payload(os.system, command),
        'eval': Payload(eval, f"__import__('os').system('{command}')"),
        'exec': Payload(exec, f"open({str(marker)!r}, 'w').close()"),
        'open': Payload(open, str(marker), 'w'),
        'getattr': Payload(getattr, dict, 'fromkeys'),
        'getattr of a buffer': Payload(getattr, HistoryBuffer, '__init__'),
        'getattr of an instance': Payload(getattr, HistoryBuffer(), 'mean'),
    }


@pytest.mark.parametrize('attack', hostile(''))
@pytest.mark.parametrize('where', ['state_dict', 'meta', 'optimizer'])
def test_no_code_runs(tmp_path, attack, where):
    marker = tmp_path / 'marker'
    checkpoint = dict(state_dict=dict(w=torch.zeros(1)))
    checkpoint.setdefault(where, {})['x'] = hostile(marker)[attack]
    path = tmp_path / 'hostile.pth'
    torch.save(checkpoint, path)
    for load in (load_checkpoint, CheckpointLoader.load_checkpoint):
        with loading_safely(), pytest.raises(ValueError, match='hostile.pth was not') as error:
            load(str(path))
        assert '\n' not in str(error.value)
    assert not marker.exists()


def test_checkpoints_of_mmengine_load(tmp_path):
    buffer = HistoryBuffer([1.0, 2.0, 6.0], [1, 1, 1])
    checkpoint = dict(
        state_dict=dict(w=torch.arange(3.0)),
        message_hub=dict(log_scalars={'train/loss': buffer}, runtime_info={'iter': np.int64(3)}),
        meta=dict(epoch=1, lr=np.float64(0.01), dataset_meta=dict(classes=('a', 'b'))),
    )
    path = tmp_path / 'mmengine.pth'
    torch.save(checkpoint, path)
    loaded = load_checkpoint(path)
    found = loaded['message_hub']['log_scalars']['train/loss']
    assert found.mean() == 3 and found.statistics('max') == 6
    assert loaded['meta']['lr'] == 0.01
    assert torch.equal(loaded['state_dict']['w'], torch.arange(3.0))


@pytest.mark.parametrize('content', [b'', b'plain text', pickle.dumps({'a': 1})[:-3]])
def test_other_files_are_one_clear_line(tmp_path, content):
    path = tmp_path / 'no.pth'
    path.write_bytes(content)
    with pytest.raises(ValueError, match='checkpoint .*no.pth') as error:
        load_checkpoint(path)
    assert '\n' not in str(error.value)


def test_truncated_file_is_one_clear_line(tmp_path):
    path = tmp_path / 'half.pth'
    torch.save(dict(w=torch.randn(1000)), path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match='half.pth is truncated or not a PyTorch file'):
        load_checkpoint(path)


def test_other_contents_are_one_clear_line(tmp_path):
    torch.save([1, 2], tmp_path / 'list.pth')
    with pytest.raises(ValueError, match='contains a list, not a dict of weights'):
        load_checkpoint(tmp_path / 'list.pth')
    with pytest.raises(FileNotFoundError, match='checkpoint not found: .*nothing.pth'):
        load_checkpoint(tmp_path / 'nothing.pth')
    with pytest.raises(ValueError, match='no weights found; the file contains epoch'):
        weights_of(dict(epoch=3))


def test_weights_of_finds_the_state_dict():
    weight = torch.ones(2)
    for checkpoint in ({'state_dict': {'module.a': weight}}, {'a': weight, 'epoch': 2}):
        assert list(weights_of(checkpoint)) == ['a']


@pytest.mark.parametrize(
    'source, target, expected',
    [
        ((4, 8), (4, 8), True),
        ((4, 2, 2, 2), (4, 8), True),
        ((4, 8), (4, 2, 2, 2), True),
        ((8, 4), (4, 2, 2, 2), False),
        ((4, 9), (4, 2, 2, 2), False),
        ((4, 2, 2, 2), (4, 8, 1, 1), False),
        ((8,), (4, 2), False),
    ],
)
def test_fits(source, target, expected):
    assert fits(torch.Size(source), torch.Size(target)) is expected
