"""Importing the package adds its own names and changes nothing in other packages."""

import subprocess
import sys

import pytest
import torch
import torchvision
from mmengine.runner import CheckpointLoader, load_checkpoint

from tests.checkpoints.source_nets import torchvision_net
from tests.conftest import ROOT
from vgg_mm.apis.config import evaluate_in_mixed_precision, load_config
from vgg_mm.checkpoints import loading_safely
from vgg_mm.registry import HOOKS


def compare(*packages):
    """Compare the packages before and after the import, in a new process."""
    command = [sys.executable, str(ROOT / 'tests/host_snapshot.py'), *packages]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-5000:]
    assert 'compared: ' in done.stdout


def test_other_packages_are_not_changed():
    compare('mmengine', 'mmcv', 'mmpretrain', 'torch', 'torchvision')


def test_other_nets_load_their_weights_from_urls(tmp_path, monkeypatch):
    """A file in torch.hub's folder replaces the download."""
    monkeypatch.setattr(torch.hub, '_hub_dir', str(tmp_path))
    address = torchvision.models.VGG11_Weights.IMAGENET1K_V1.url
    net, _ = torchvision_net('vgg11')
    (tmp_path / 'checkpoints').mkdir()
    torch.save(net.state_dict(), tmp_path / 'checkpoints' / address.rpartition('/')[2])
    other, _ = torchvision_net('vgg11')
    torch.nn.init.zeros_(other.features[0].weight)
    load_checkpoint(other, address)
    for name, tensor in net.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor)


def test_mmengines_loaders_are_restored_after_safe_loading():
    before = dict(CheckpointLoader._schemes)
    with loading_safely():
        assert CheckpointLoader._schemes[''] is not before['']
        with loading_safely(trust=True):
            assert CheckpointLoader._schemes[''] is not before['']
        assert CheckpointLoader._schemes[''] is not before['']
    assert CheckpointLoader._schemes == before
    with pytest.raises(KeyError), loading_safely():
        raise KeyError
    assert CheckpointLoader._schemes == before


def test_torchs_autocast_is_restored_after_a_run(monkeypatch):
    """Only the presence of a GPU is simulated: the setting can be changed without one."""
    config = load_config('vgg16_jitter_imagenet')
    evaluate_in_mixed_precision(config, 'val_cfg')
    assert config.val_cfg.fp16
    hook = HOOKS.build(config.custom_hooks[-1])
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'is_bf16_supported', lambda **kwargs: True)
    before = torch.get_autocast_dtype('cuda')
    for _ in range(2):
        hook.before_run(None)
        assert torch.get_autocast_dtype('cuda') == torch.bfloat16 != before
        hook.after_run(None)
        assert torch.get_autocast_dtype('cuda') == before
