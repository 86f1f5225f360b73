"""Plain and accelerated nets of full width in all situations of tests/kernels/situations.py.

An accelerated net gives the results of the plain one, with its faster layers or with torch's as the
situation says. None raises an error. The table of all cells is printed at the end.
"""

from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F

from tests.kernels.situations import BOTH, SITUATIONS, gradients
from vgg_mm.kernels import accelerate, winograd
from vgg_mm.models import VGG

#: Tolerances. Feature maps differ by rounding. So do gradients, unless rounding changes a decision:
#: the sign at a ReLU, or the maximum of a pooling window. One changed decision of a layer's n moves
#: gradients by about 1 / sqrt(n), which is 3e-3 for conv3_2 and 8e-3 for conv5_1 with two images of
#: 64 x 64. In net D, the accelerated layers change one of two million decisions (in relu3_2),
#: torch's layers none. With the same decisions, both are equally close to float64:
#: test_gradients_with_fixed_decisions.
MAPS, GRADIENTS = 1e-4, 2e-2

#: Situations that take a minute or more with net D.
LONG = {'onnx', 'compiled', 'vmap of grad', 'double backward', 'weight norm after'}

CELLS = [
    pytest.param(arch, name, marks=pytest.mark.slow if arch == 'D' and name in LONG else ())
    for arch in ('A', 'D')
    for name in SITUATIONS
]

NORMS = {'BN': dict(type='BN'), 'GN': dict(type='GN', num_groups=8), 'IN': dict(type='IN')}


def build(arch: str, **kwargs) -> VGG:
    torch.manual_seed(0)
    net = VGG(arch, **kwargs)
    for layer in net.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight, nonlinearity='relu')
    return net


@pytest.fixture(scope='module', params=['A', 'D'])
def plain(request):
    return build(request.param)


@pytest.fixture
def x():
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def calls(monkeypatch):
    """Numbers of calls of 3x3 convolutions: ``[fast, aside]``."""
    counts = [0, 0]

    def count(module, name, place):
        function = getattr(module, name)

        def counted(*args, **kwargs):
            counts[place] += 1
            return function(*args, **kwargs)

        monkeypatch.setattr(module, name, counted)

    count(winograd._Conv3x3, 'forward', 0)
    count(winograd.WinogradConv2d, '_conv_forward', 1)
    return counts


def compare(found: list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    """Compare outputs: the first is a feature map, the others may be gradients."""
    assert len(found) == len(expected)
    apart = []
    for one, other in zip(found, expected):
        assert one.shape == other.shape and one.dtype == other.dtype
        norm = other.double().norm().clamp(min=1e-12)
        apart.append(((one.double() - other.double()).norm() / norm).item())
    assert apart[0] < MAPS and max(apart) < GRADIENTS, apart


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('plain, name', CELLS, indirect=['plain'])
def test_matrix(plain, name, x, calls, record_property):
    run, way = SITUATIONS[name]
    expected = run(deepcopy(plain), x.clone())
    assert calls == [0, 0], 'a plain net knows nothing of faster layers'
    found = run(accelerate(deepcopy(plain)), x.clone())
    compare(found, expected)
    if way != BOTH:
        assert bool(calls[0]) == (way == 'fast')
    record_property('matrix', (name, plain.arch, way))


class Decided(torch.nn.Module):
    """A ReLU or max pooling with fixed decisions: which values it passes on."""

    def __init__(self, layer: torch.nn.Module, x: torch.Tensor):
        super().__init__()
        if isinstance(layer, torch.nn.ReLU):
            self.passes, self.indices = x > 0, None
        else:
            self.indices = F.max_pool2d(x, 2, 2, return_indices=True)[1]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.indices is None:
            return x * self.passes
        return x.flatten(2).gather(2, self.indices.flatten(2)).view(self.indices.shape)


def test_gradients_with_fixed_decisions(plain, x, calls):
    """If all ReLUs and poolings decide as in float64, gradients differ only by rounding."""
    exact, decided = deepcopy(plain).double(), {}
    for name, layer in exact.named_modules():
        if isinstance(layer, (torch.nn.ReLU, torch.nn.MaxPool2d)):
            layer.register_forward_pre_hook(
                lambda layer, args, name=name: decided.update({name: Decided(layer, args[0])})
            )
    expected = gradients(exact, x.double())
    net = accelerate(deepcopy(plain))
    for name, layer in decided.items():
        setattr(net, name, layer)
    for one, other in zip(gradients(net, x), expected):
        assert (one - other).norm() < 5e-6 * other.norm()
    assert calls[0] >= len(net.layer_names) - 1


@pytest.mark.parametrize('norm', NORMS)
def test_norms(norm, x, calls, record_property):
    plain = build('A', norm_cfg=NORMS[norm])
    faster = accelerate(deepcopy(plain))
    for mode in (True, False):
        # A norm with the statistics of the map cancels the bias, whose gradient is only rounding.
        taken_out = norm == 'IN' or (norm == 'BN' and mode)
        for net in (plain, faster):
            net.train(mode)
            for name in net.layer_names:
                getattr(net, name).bias.requires_grad_(not taken_out)
        compare(gradients(faster, x), gradients(plain, x))
    if norm == 'BN':  # its running statistics; the others have none
        compare(list(faster.buffers()), list(plain.buffers()))
    assert calls[0]
    record_property('matrix', (f'norm {norm}, training and evaluation', 'A', 'fast'))


@pytest.mark.parametrize('options', [
    dict(in_channels=1),
    dict(arch='A-LRN'),
    dict(out_indices=('conv2_1', 1, 'conv4_2', 4)),
    dict(strides=(2, 2, 2, 1, 1), dilations=(1, 1, 1, 1, 2), pool_size=3),
    dict(act_cfg=dict(type='LeakyReLU')),
    dict(act_cfg=dict(type='ReLU', inplace=True)),
])  # fmt: skip
def test_forms_of_nets(options, calls):
    plain = build(**{'arch': 'A', **options})
    x = torch.randn(2, options.get('in_channels', 3), 64, 64)
    found, expected = ([*net(x)] for net in (accelerate(deepcopy(plain)), plain))
    compare(found, expected)
    assert calls[0] >= 5
