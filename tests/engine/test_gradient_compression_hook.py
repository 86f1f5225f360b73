"""16-bit gradients, and the errors where they are not possible."""

import logging
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
import torch.nn as nn
from mmengine.config import Config
from torch.nn.parallel import DistributedDataParallel

from tests.conftest import ROOT
from vgg_mm.apis.net_table import layers
from vgg_mm.engine.hooks import gradient_compression_hook
from vgg_mm.engine.hooks.gradient_compression_hook import GradientCompressionHook


@pytest.fixture(scope='module')
def process_group(tmp_path_factory):
    """A group of one process, whose gradients are rounded as in larger groups."""
    store = tmp_path_factory.mktemp('group') / 'store'
    dist.init_process_group('gloo', init_method=f'file://{store}', rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def runner(model, distributed=True):
    return SimpleNamespace(
        model=model, distributed=distributed, logger=logging.getLogger('compression')
    )


@pytest.mark.parametrize('dtype', ['bfloat16', 'float16', None])
def test_gradients_are_rounded(process_group, dtype):
    torch.manual_seed(0)
    net, x = nn.Linear(20, 30), torch.randn(8, 20)
    net(x).square().mean().backward()
    expected = net.weight.grad.clone()
    net.zero_grad()
    model = DistributedDataParallel(net)
    hook = GradientCompressionHook(dtype)
    for _ in range(2):  # calls of train(); DDP takes one hook
        hook.before_train(runner(model))
    model(x).square().mean().backward()
    assert net.weight.grad.dtype == torch.float32
    if dtype is not None:
        rounded = expected.to(getattr(torch, dtype)).float()
        assert not torch.equal(rounded, expected)
        expected = rounded
    assert torch.equal(net.weight.grad, expected)


def test_unknown_type():
    with pytest.raises(ValueError, match="one of bfloat16, float16 or None, got 'int8'"):
        GradientCompressionHook('int8')


def test_a_single_process_is_logged(caplog):
    with caplog.at_level(logging.INFO):
        GradientCompressionHook().before_train(runner(nn.Linear(2, 2), distributed=False))
    assert 'a single process sends none' in caplog.text


def test_another_wrapper(process_group):
    with pytest.raises(ValueError, match='the model is in Sequential; FSDP has .*reduce_dtype'):
        GradientCompressionHook().before_train(runner(nn.Sequential(nn.Linear(2, 2))))


def test_a_backend_without_the_type(process_group, monkeypatch):
    """gloo does not support 8-bit floats."""
    compressions = {'bfloat16': (torch.float8_e4m3fn, None)}
    monkeypatch.setattr(gradient_compression_hook, 'COMPRESSIONS', compressions)
    with pytest.raises(RuntimeError, match='backend gloo cannot add torch.float8_e4m3fn') as error:
        GradientCompressionHook().before_train(runner(DistributedDataParallel(nn.Linear(2, 2))))
    assert '\n' not in str(error.value)


def test_the_numbers_in_the_docstring():
    parameters = {row.name: row.parameters for row in layers('D')}
    total = sum(parameters.values())
    classifier = sum(parameters[name] for name in ('fc6', 'fc7', 'fc8'))
    text = GradientCompressionHook.__doc__
    for number in (
        f'{total:,}',
        f'{total * 4 / 1e6:.1f} MB',
        f'{total * 2 / 1e6:.1f} MB',
        f'{parameters["fc6"]:,}',
        f'{parameters["fc6"] / total:.1%}'.replace('%', ' %'),
        f'{classifier / total:.1%}'.replace('%', ' %'),
    ):
        assert number in text


def test_it_is_off_in_the_configs():
    cfg = Config.fromfile(ROOT / 'configs/vgg/vgg16_jitter_imagenet.py')
    assert cfg.default_hooks.gradient_compression == dict(
        type='vgg_mm.GradientCompressionHook', dtype=None
    )
