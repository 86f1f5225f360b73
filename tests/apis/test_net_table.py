"""The tables compared with the modules, torch's counters and measured receptive fields."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.conftest import run_tool
from tests.models.test_vgg import PARAMETERS, classifier
from vgg_mm.apis.net_table import alexnet_totals, layers, report, stack_weights
from vgg_mm.architectures import ARCHITECTURES, resolve_arch
from vgg_mm.models import VGG


@pytest.mark.parametrize('arch', ARCHITECTURES)
@pytest.mark.parametrize('size', [224, 321])
def test_table_equals_the_modules_and_torchs_counter(arch, size):
    with torch.device('meta'):
        model = classifier(arch=arch)
        counter = FlopCounterMode(display=False)
        with counter:
            score_map = model.head.score_map(model.backbone(torch.zeros(1, 3, size, size)))
    table = {row.name: row for row in layers(arch, size=size)}
    for name, row in table.items():
        owner = model.head if name.startswith('fc') else model.backbone
        assert sum(p.numel() for p in getattr(owner, name).parameters()) == row.parameters, name
    assert sum(row.parameters for row in table.values()) == PARAMETERS.get(arch, 134_503_528)
    assert 2 * sum(row.multiply_adds for row in table.values()) == counter.get_total_flops()
    assert table['fc8'].output == tuple(score_map.shape[1:])


@pytest.mark.parametrize('layer', ['conv1_1', 'conv3_1', 'conv4_1', 4])
def test_receptive_field_equals_the_extent_of_the_gradient(layer):
    net = VGG('A', base_channels=1, out_indices=(layer,))
    for parameter in net.parameters():
        torch.nn.init.constant_(parameter, 0.1)
    x = torch.rand(1, 3, 480, 480, dtype=torch.float64, requires_grad=True)
    net.double()
    # Max pooling passes the gradient to one pixel of a window; average pooling to all.
    for name in [n for n, _ in net.named_modules() if n.startswith('pool')]:
        setattr(net, name, torch.nn.AvgPool2d(2, 2))
    out = net(x)[0]
    centre = out.shape[-1] // 2
    out[0, 0, centre, centre].backward()
    rows = x.grad[0, 0].abs().sum(1).nonzero().flatten()
    row = next(r for r in layers('A') if r.name == (layer if layer != 4 else 'pool5'))
    assert rows[-1] - rows[0] + 1 == row.receptive_field
    assert 480 // out.shape[-1] == row.stride


def test_the_papers_numbers():
    d = {row.name: row for row in layers('D')}
    assert (d['conv5_3'].receptive_field, d['pool5'].receptive_field, d['pool5'].stride) == (
        196,
        212,
        32,
    )
    assert round(sum(row.multiply_adds for row in d.values()) / 1e9, 2) == 15.47
    assert stack_weights(3, channels=1) == (27, 49)
    assert stack_weights(2, channels=10) == (18 * 100, 25 * 100)
    assert alexnet_totals()[0] == 60_965_224


def test_the_command_prints_every_net(tmp_path):
    text = run_tool('net_table.py', cwd=tmp_path).stdout
    for arch, parameters in PARAMETERS.items():
        assert f'{parameters:,}' in next(
            line for line in text.splitlines() if line.startswith(f'{arch} ') and ',' in line
        )
    assert '60,965,224' in text and '27 C^2' in text and '49 C^2' in text
    markdown = run_tool('net_table.py', '--net', '16', '--markdown', cwd=tmp_path).stdout
    assert '| conv4_3 | 3x3' in markdown and '138,357,544' in markdown
    assert report('D', markdown=True) + '\n' == markdown


@pytest.mark.parametrize('name', ['vgg16', 'VGG-16', '16', 16])
def test_names_of_a_depth(name):
    assert resolve_arch(name) == 'D' and VGG(arch=name, base_channels=4).arch == 'D'


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(net='F'), "unknown arch 'F'"),
        (dict(net='12'), "unknown arch '12'"),
        (dict(size=223), 'size must be at least 224, got 223'),
        (dict(num_classes=0), 'num_classes must be positive'),
    ],
)
def test_wrong_arguments_are_one_clear_line(options, message):
    with pytest.raises(ValueError, match=message):
        report(**{'net': 'A', **options})
