"""A new net, test protocol, layout of weights or command needs one entry in a table."""

import torch
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

from tests.test_cli import hello, test_a_command_is_added_by_one_entry  # noqa: F401
from vgg_mm.apis.convert_weights import identify_weights
from vgg_mm.apis.net_table import report
from vgg_mm.architectures import ARCHITECTURES, Architecture
from vgg_mm.checkpoints import load_checkpoint
from vgg_mm.checkpoints.layouts import recognition
from vgg_mm.checkpoints.layouts.layout import Layout, flat_fc, sequential_tables, split_name
from vgg_mm.checkpoints.preprocessing import STANDARDISED_RGB
from vgg_mm.models import VGG, PaperTTA
from vgg_mm.models.tta.paper_tta import DENSE, MULTI_CROP, PROTOCOLS

NARROW = dict(base_channels=4), dict(in_channels=32, fc_channels=16, num_classes=7)


def classifier(arch):
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='ImageClassifier',
            data_preprocessor=dict(type='ClsDataPreprocessor', mean=[0.0] * 3, std=[1.0] * 3),
            backbone=dict(type='vgg_mm.VGG', arch=arch, **NARROW[0]),
            head=dict(type='vgg_mm.ConvHead', **NARROW[1]),
        )
    )
    model.init_weights()
    return model.eval()


def layout_of(start, fcs, name):
    return Layout(
        name=name,
        looks_like=f'{start}0.weight',
        preprocessing=STANDARDISED_RGB,
        tables=lambda arch: sequential_tables(arch, start, fcs),
        layer_of=split_name,
        tensor_of=flat_fc,
    )


def in_layout(model, layout, arch):
    """The model's weights with the names of a layout."""
    theirs = {own: name for name, own in layout.tables(arch)[0].items()}
    return {
        f'{theirs[layer]}.{kind}': tensor
        for layer, kind, tensor in (
            (*name.split('.')[-2:], tensor) for name, tensor in model.state_dict().items()
        )
        if layer in theirs
    }


def test_a_net(monkeypatch, tmp_path):
    monkeypatch.setitem(ARCHITECTURES, 'B-half', Architecture(((3, 3), (3, 3), (3, 3), (3,), (3,))))
    assert VGG('B-half', **NARROW[0]).layer_names[-1] == 'conv5_1'
    assert 'conv5_1' in report('B-half') and 'conv5_2' not in report('B-half')
    # Its weights are recognised in the existing layouts.
    (torchvisions,) = (one for one in recognition.LAYOUTS if one.name == 'torchvision')
    torch.save(in_layout(classifier('B-half'), torchvisions, 'B-half'), tmp_path / 'net.pth')
    assert identify_weights(load_checkpoint(tmp_path / 'net.pth'), 'net.pth').net.arch == 'B-half'


def test_a_protocol(monkeypatch):
    monkeypatch.setitem(PROTOCOLS, 'mostly dense', (DENSE, DENSE, MULTI_CROP))
    tta = PaperTTA(classifier('A'), protocol=[DENSE, MULTI_CROP, 'mostly dense'], grid=2)
    images = [torch.randint(0, 256, (3, 256, 288), dtype=torch.uint8)]
    with torch.no_grad():
        (sample,) = tta.test_step(dict(inputs=[images], data_samples=[DataSample()]))
    found = sample.pred_scores
    assert not torch.allclose(found[DENSE], found[MULTI_CROP])
    torch.testing.assert_close(
        found['mostly dense'], (2 * found[DENSE] + found[MULTI_CROP]) / 3, rtol=0, atol=1e-6
    )


def test_a_layout(monkeypatch, tmp_path):
    example = layout_of('net.', {'fc.1': 'fc6', 'fc.2': 'fc7', 'fc.3': 'fc8'}, 'example')
    model = classifier('D')
    weights = in_layout(model, example, 'D')
    assert {'net.0.weight', 'net.28.bias', 'fc.3.weight'} <= weights.keys()
    torch.save(weights, tmp_path / 'net.pth')
    # Without the entry, only the convolutions are recognised.
    assert 'head.fc6.weight' not in load_checkpoint(tmp_path / 'net.pth')['state_dict']
    monkeypatch.setattr(recognition, 'LAYOUTS', (*recognition.LAYOUTS, example))
    loaded = load_checkpoint(tmp_path / 'net.pth')
    assert identify_weights(loaded, 'net.pth').net.arch == 'D'
    expected = model.state_dict()
    assert loaded['state_dict'].keys() == {n for n in expected if not n.startswith('data_')}
    for name, tensor in loaded['state_dict'].items():
        torch.testing.assert_close(tensor.reshape(expected[name].shape), expected[name])
