"""The pre-processing that weights require: recorded, recognised by their values, or assumed."""

import pytest
import torch
from mmengine.config import Config

from tests.checkpoints import source_nets as sources
from vgg_mm.apis.inference.load import expected_preprocessing
from vgg_mm.checkpoints import config_text, load_checkpoint, noted_preprocessing
from vgg_mm.checkpoints.known_weights import KNOWN, identify
from vgg_mm.checkpoints.preprocessing import CENTRED_BGR, CENTRED_RGB, STANDARDISED_RGB

AUTHORS, TORCHVISIONS = KNOWN


def with_conv1_1(state, name, filters, biases):
    state = {key: tensor.clone() for key, tensor in state.items()}
    state[f'{name}.weight'][:3], state[f'{name}.bias'][:3] = filters, biases
    return state


@pytest.fixture(scope='module')
def torchvision_state():
    return sources.torchvision_net('vgg16')[0].state_dict()


def expected_of(path, state, **meta):
    torch.save(dict(state_dict=state, meta=meta) if meta else state, path)
    return noted_preprocessing(load_checkpoint(path))


@pytest.mark.parametrize('order, expected', [('BGR', CENTRED_BGR), ('RGB', CENTRED_RGB)])
@pytest.mark.parametrize('names', ['features.0', 'conv1_1', 'backbone.features.0.conv'])
def test_the_authors_weights_with_any_names(names, order, expected, torchvision_state, tmp_path):
    """As in OpenMMLab's vgg16_caffe, which has torchvision's names; also with reversed channels."""
    state = torchvision_state
    if names == 'conv1_1':
        torch.save(state, tmp_path / 'net.pth')
        own = load_checkpoint(tmp_path / 'net.pth')['state_dict']
        state = {name.split('.', 1)[1]: tensor for name, tensor in own.items()}
    elif names.startswith('backbone'):
        state = sources.mmpretrain_net('vgg16')[0].state_dict()
    filters = AUTHORS.filters if order == 'BGR' else AUTHORS.filters.flip(1)
    found = expected_of(tmp_path / 'x.pth', with_conv1_1(state, names, filters, AUTHORS.biases))
    assert found.same_as(expected)
    assert found.origin == "recognised: conv1_1 is that of the authors' net D"


def test_origins(torchvision_state, tmp_path):
    path = tmp_path / 'x.pth'
    found = expected_of(path, torchvision_state)
    assert found.same_as(STANDARDISED_RGB)
    assert str(found).endswith('(assumed: as of published weights of torchvision)')
    own = with_conv1_1(torchvision_state, 'features.0', TORCHVISIONS.filters, TORCHVISIONS.biases)
    assert expected_of(path, own).origin.startswith("recognised: conv1_1 is that of torchvision's")
    # A record in the file has priority over recognised weights.
    says = dict(to_rgb=False, mean=[1, 2, 3], std=[4, 5, 6])
    assert (
        str(expected_of(path, own, preprocessing=says)) == 'BGR, mean 1/2/3, std 4/5/6 (recorded)'
    )


def test_nothing_is_known(tmp_path):
    """For weights with this package's names, the pre-processing of the paper is assumed."""
    weight = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    state = {'backbone.conv1_1.weight': weight, 'backbone.conv1_1.bias': torch.zeros(4)}
    torch.save(dict(state_dict=state), tmp_path / 'x.pth')
    loaded = load_checkpoint(tmp_path / 'x.pth')
    assert noted_preprocessing(loaded) is None
    found = expected_preprocessing(loaded)
    assert found.same_as(CENTRED_RGB)
    assert found.origin == 'assumed: not recorded in checkpoint or config'


@pytest.mark.parametrize('word', ['to_rgb', 'bgr_to_rgb'])  # MMPretrain's, and mmengine's
@pytest.mark.parametrize('where', ['model', 'top'])
def test_the_config_of_a_training_has_priority(where, word, torchvision_state, tmp_path):
    """Even over weights that are recognised."""
    path = tmp_path / 'x.pth'
    settings = dict(mean=[1, 2, 3], std=[4, 5, 6], **{word: True})
    cfg = dict(model=dict(type='ImageClassifier'))
    (cfg['model'] if where == 'model' else cfg)['data_preprocessor'] = settings
    text = Config(cfg).pretty_text
    authors = with_conv1_1(torchvision_state, 'features.0', AUTHORS.filters, AUTHORS.biases)
    own = {'backbone.conv1_1.weight': torch.zeros(4, 3, 3, 3)}
    for state in (authors, own):
        found = expected_of(path, state, cfg=text)
        assert str(found) == 'RGB, mean 1/2/3, std 4/5/6 (recorded: in the config of its training)'
    # A config with more than plain values is ignored and not run.
    assert expected_of(path, own, cfg='model = dict(data_preprocessor=open("x", "w"))') is None
    assert expected_of(path, own, cfg='model = dict(data_preprocessor=dict(mean=1))') is None
    says = dict(to_rgb=False, mean=[7, 8, 9], std=[1, 1, 1])
    assert expected_of(path, own, cfg=text, preprocessing=says).mean == (7, 8, 9)


def test_the_config_is_read_once(monkeypatch):
    """Even if the pre-processing is requested several times."""
    parsed = []
    parse = config_text.ast.parse
    monkeypatch.setattr(config_text.ast, 'parse', lambda text: parsed.append(text) or parse(text))
    settings = dict(mean=[1.5, 2, 3], std=[4, 5, 6], to_rgb=True)
    text = Config(dict(model=dict(data_preprocessor=settings))).pretty_text
    for _ in range(3):
        assert noted_preprocessing(dict(meta=dict(cfg=text))).mean == (1.5, 2, 3)
        assert noted_preprocessing(dict(meta=dict(cfg='model = open("x")'))) is None
        assert noted_preprocessing(dict(meta=dict(cfg=dict(model=1)))) is None
    assert parsed == [text, 'model = open("x")']


def test_rounded_fine_tuned_and_other_weights():
    """Rounded weights are recognised, fine-tuned ones only as similar, random ones not at all."""
    weight = torch.randn(64, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    bias = torch.zeros(64)
    assert identify(weight, bias) is None and identify(weight, None) is None
    weight[:3], bias[:3] = AUTHORS.filters, AUTHORS.biases
    rounded = identify(weight.bfloat16(), bias.half())
    assert rounded.preprocessing.origin.startswith('recognised') and not rounded.rotated
    assert identify(weight, bias + 0.1).preprocessing.origin.startswith('assumed: conv1_1 is much')
    trained = weight + 0.03 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
    alike = identify(trained.flip(1), bias).preprocessing
    assert alike.origin.startswith('assumed') and alike.same_as(CENTRED_RGB)
    assert identify(weight.flip(2, 3), bias).rotated
    assert identify(weight[:, :1], bias) is None and identify(weight[:2], bias[:2]) is None


def test_the_four_forms_of_known_weights_are_distinguished():
    for known in KNOWN:
        forms = [known.filters, known.filters.flip(1), known.filters.flip(2, 3)]
        forms.append(known.filters.flip(1, 2, 3))
        found = [identify(form, known.biases) for form in forms]
        assert [one.rotated for one in found] == [False, False, True, True]
        orders = [one.preprocessing.to_rgb for one in found]
        assert orders == [known.preprocessing.to_rgb, not known.preprocessing.to_rgb] * 2


def test_other_numbers_of_channels():
    grey = STANDARDISED_RGB.for_channels(1)
    assert str(grey).startswith('grey, mean 114.495, std 57.63')
    # One channel has no order; three channels are compared after conversion to grey.
    for order in (STANDARDISED_RGB, STANDARDISED_RGB.reversed_channels()):
        assert grey.same_as(order) and order.same_as(grey)
        assert order.for_channels(1).same_as(grey) and not grey.same_as(CENTRED_BGR)
    four = STANDARDISED_RGB.for_channels(4)  # MMPretrain reverses only three channels
    assert four.same_as(STANDARDISED_RGB) and not four.same_as(grey)
    assert not four.to_rgb and four.mean[:3] == STANDARDISED_RGB.mean[::-1]
    assert STANDARDISED_RGB.for_channels(3) is STANDARDISED_RGB
    found = noted_preprocessing(dict(meta=dict(preprocessing=grey.to_meta())))
    assert found.same_as(grey)
    with pytest.raises(ValueError, match='records the pre-processing'):
        two = dict(to_rgb=True, mean=[1, 2], std=[1, 2])
        noted_preprocessing(dict(meta=dict(preprocessing=two)))
