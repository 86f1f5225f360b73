"""Weights of torchvision, timm, MMPretrain, Keras and Caffe give each library's logits."""

import os

os.environ.setdefault('KERAS_BACKEND', 'torch')  # before keras is imported

import h5py
import numpy as np
import pytest
import safetensors.torch
import torch
from mmpretrain.registry import MODELS

from tests.checkpoints import source_nets as sources
from vgg_mm.apis.convert_weights import identify_net, read_weights
from vgg_mm.architectures import DEPTH_TO_ARCH
from vgg_mm.checkpoints import load_checkpoint

NAMES = ['vgg11', 'vgg13', 'vgg16', 'vgg19']
WITH_NORMS = [*NAMES, *(f'{name}_bn' for name in NAMES)]
PYTORCH = {
    'torchvision': sources.torchvision_net,
    'timm': sources.timm_net,
    'MMPretrain': sources.mmpretrain_net,
}


def arch_of(name):
    return DEPTH_TO_ARCH[int(name.removeprefix('vgg').removesuffix('_bn'))]


def classifier_for(path):
    """A net of this package, built only from a file of weights."""
    checkpoint = load_checkpoint(path)
    net = identify_net(checkpoint['state_dict'], str(path))
    model = MODELS.build(
        dict(
            type='ImageClassifier',
            data_preprocessor=checkpoint['meta']['preprocessing'],
            backbone=dict(type='vgg_mm.VGG', **net.backbone_config()),
            head=dict(type='vgg_mm.ConvHead', **net.head_config()),
        )
    )
    model.load_state_dict(checkpoint['state_dict'])
    return model.eval(), checkpoint


@torch.no_grad()
def our_logits(model, rgb):
    bgr = torch.from_numpy(rgb[..., ::-1].transpose(2, 0, 1).copy())
    inputs = model.data_preprocessor(dict(inputs=bgr[None]))['inputs']
    return model(inputs)


def check(path, logits, rgb, layout, arch):
    model, checkpoint = classifier_for(path)
    assert checkpoint['meta']['layout'] == layout and model.backbone.arch == arch
    expected = logits(rgb)
    assert 0.1 < expected.std() < 10, 'the tolerance of 1e-4 does not suit this scale'
    torch.testing.assert_close(our_logits(model, rgb), expected, atol=1e-4, rtol=0)


@pytest.fixture
def rgb(photo):
    """A uint8 photo of 224x224 with different channels."""
    return np.ascontiguousarray(np.tile(photo, (2, 2, 1))[:224, :224, ::-1])


@pytest.mark.parametrize('name', WITH_NORMS)
@pytest.mark.parametrize('library', PYTORCH)
def test_pytorch_libraries(library, name, rgb, tmp_path):
    net, logits = PYTORCH[library](name)
    path = tmp_path / 'net.pth'
    torch.save(net.state_dict(), path)
    check(path, logits, rgb, library, arch_of(name))
    safetensors.torch.save_file(net.state_dict(), tmp_path / 'net.safetensors')
    other = load_checkpoint(tmp_path / 'net.safetensors')
    ours = load_checkpoint(path)
    assert other['meta'] == ours['meta'] and other['state_dict'].keys() == ours['state_dict'].keys()
    for key, tensor in ours['state_dict'].items():
        assert torch.equal(tensor, other['state_dict'][key])


@pytest.mark.parametrize('wrap', ['state_dict', 'model', 'module', 'features.module'])
def test_checkpoints_of_training_scripts(wrap, rgb, tmp_path):
    """As saved by mmengine, torchvision, nn.DataParallel and nn.DataParallel of the features."""
    net, logits = sources.torchvision_net('vgg11_bn')
    state = net.state_dict()
    if wrap.endswith('module'):
        before = wrap.removesuffix('module')
        content = {
            (f'{wrap}.{n.removeprefix(before)}' if n.startswith(before) else n): t
            for n, t in state.items()
        }
    else:
        content = {wrap: state, 'epoch': 3, 'meta': {'epoch': 3}}
    torch.save(content, tmp_path / 'net.pth')
    check(tmp_path / 'net.pth', logits, rgb, 'torchvision', 'A')


def test_torchvisions_weights_without_classifier(tmp_path):
    """IMAGENET1K_FEATURES has a classifier of NaN and another pre-processing."""
    from torchvision.models import VGG16_Weights

    net, _ = sources.torchvision_net('vgg16')
    state = {n: t * float('nan') if 'classifier' in n else t for n, t in net.state_dict().items()}
    torch.save(state, tmp_path / 'net.pth')
    checkpoint = load_checkpoint(tmp_path / 'net.pth')
    assert not [name for name in checkpoint['state_dict'] if 'head' in name]
    transform = VGG16_Weights.IMAGENET1K_FEATURES.transforms()
    found = checkpoint['meta']['preprocessing']
    assert found['to_rgb']
    for name in ('mean', 'std'):
        theirs = np.multiply(getattr(transform, name), 255)
        np.testing.assert_allclose(found[name], theirs, atol=2e-3)


@pytest.mark.parametrize('kind', ['2014', 'today', 'double', '7x7 kernels'])
@pytest.mark.parametrize('name', ['vgg16', 'vgg19'])
def test_caffe(name, kind, rgb, tmp_path):
    weights = sources.caffe_weights(name)
    logits = sources.caffe_logits(weights)
    stored = dict(weights)
    if kind == '7x7 kernels':  # after "net surgery" for dense evaluation
        for layer, side in (('fc6', 7), ('fc7', 1), ('fc8', 1)):
            weight, bias = weights[layer]
            stored[layer] = [weight.reshape(len(weight), -1, side, side), bias]
    form = '2014' if kind == '2014' else 'today'
    path = tmp_path / 'VGG_ILSVRC_layers.caffemodel'
    path.write_bytes(sources.caffe_file(stored, form, kind == 'double'))
    check(path, logits, rgb, 'Caffe', arch_of(name))


@pytest.mark.parametrize('name', ['vgg16', 'vgg19'])
def test_keras(name, rgb, tmp_path):
    from keras.src.legacy.saving import legacy_h5_format

    net, logits = sources.keras_net(name)
    with h5py.File(tmp_path / 'published.h5', 'w') as file:  # the published format
        legacy_h5_format.save_weights_to_hdf5_group(file, net)
    net.save(tmp_path / 'model.h5')
    net.save_weights(tmp_path / 'net.weights.h5')
    for file in ('published.h5', 'model.h5', 'net.weights.h5'):
        check(tmp_path / file, logits, rgb, 'Keras', arch_of(name))


def test_keras_of_2016(tmp_path):
    """Names as in the published file: ``block1_conv1_W_1:0``; numbers may be big-endian."""
    weights = sources.caffe_weights('vgg16')
    with h5py.File(tmp_path / 'old.h5', 'w') as file:
        for layer, (weight, bias) in weights.items():
            if layer.startswith('conv'):
                name = f'block{layer[4]}_conv{layer[6]}'
                kernel = weight.transpose(2, 3, 1, 0)
            else:
                name = {'fc6': 'fc1', 'fc7': 'fc2', 'fc8': 'predictions'}[layer]
                kernel = weight.T
            file[f'{name}/{name}_W_1:0'] = kernel.astype('>f4')
            file[f'{name}/{name}_b_1:0'] = bias
            file[f'optimizer_weights/{name}/{name}/momentum'] = bias
    state = load_checkpoint(tmp_path / 'old.h5')['state_dict']
    assert len(state) == 32
    np.testing.assert_array_equal(state['backbone.conv3_2.weight'], weights['conv3_2'][0])
    np.testing.assert_array_equal(state['head.fc8.weight'], weights['fc8'][0])


def test_own_layout_is_unchanged(tmp_path):
    """With weights as matrices or kernels, in a checkpoint or without the prefixes."""
    net, _ = sources.torchvision_net('vgg13')
    torch.save(net.state_dict(), tmp_path / 'net.pth')
    own = load_checkpoint(tmp_path / 'net.pth')['state_dict']
    fc6 = 'head.fc6.weight'
    conv_form = {**own, fc6: own[fc6].reshape(sources.NARROW.fc, -1, 7, 7)}
    for state in (own, conv_form):
        torch.save(dict(state_dict=state, meta=dict(epoch=2)), tmp_path / 'own.pth')
        loaded = load_checkpoint(tmp_path / 'own.pth')
        assert loaded.keys() == {'state_dict', 'meta'} and loaded['meta'] == dict(epoch=2)
        assert loaded['state_dict']['head.fc6.weight'].shape == state['head.fc6.weight'].shape
        converted = read_weights(str(tmp_path / 'own.pth'))
        assert converted.preprocessing is None and converted.net.arch == 'B'
        assert torch.equal(converted.weights['head.fc6.weight'], own['head.fc6.weight'])
    bare = {name.split('.', 1)[1]: tensor for name, tensor in conv_form.items()}
    torch.save(bare, tmp_path / 'bare.pth')
    loaded = load_checkpoint(tmp_path / 'bare.pth')
    assert loaded['meta'] == dict(layout='vgg_mm, without prefixes')
    for name, tensor in own.items():
        assert torch.equal(loaded['state_dict'][name], tensor)


def test_net_c_is_recognised_by_its_kernels(tmp_path):
    weights = sources.caffe_weights('vgg16')
    for block in (3, 4, 5):
        weights[f'conv{block}_3'][0] = weights[f'conv{block}_3'][0][:, :, 1:2, 1:2].copy()
    (tmp_path / 'c.caffemodel').write_bytes(sources.caffe_file(weights))
    converted = read_weights(str(tmp_path / 'c.caffemodel'))
    assert str(converted.net) == 'C, no norm, width 4, fc6/fc7 16/16, 7 classes'
