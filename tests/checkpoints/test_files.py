"""Files of other libraries, each written by an independent writer."""

import argparse
import io
import json
import os
import pickle
import zipfile

os.environ.setdefault('KERAS_BACKEND', 'torch')  # before keras is imported

import h5py
import numpy as np
import onnx
import pytest
import scipy.io
import torch
from onnx import helper, numpy_helper

from tests.checkpoints import source_nets as sources
from vgg_mm.apis.convert_weights import read_weights
from vgg_mm.checkpoints import load_checkpoint
from vgg_mm.checkpoints.known_weights import KNOWN
from vgg_mm.checkpoints.preprocessing import CENTRED_BGR, CENTRED_RGB

#: fc6 takes a feature map of 2x2.
TINY = sources.Size((3, 6, 12, 24, 24), 4, 2, 5)
AUTHORS = KNOWN[0]


@pytest.fixture(scope='module')
def weights():
    """{layer: [weight, bias]} as in Caffe; conv1_1 has the known filters of the authors' net."""
    found = sources.caffe_weights('vgg16', TINY)
    found['conv1_1'] = [AUTHORS.filters.numpy(), AUTHORS.biases.numpy()]
    return found


def check(path, weights, layout, part=None, flip=False):
    """Every layer is read with the right name and values; returns the result."""
    found = read_weights(str(path))
    assert found.layout == layout
    names = [layer for layer in weights if part is None or layer.startswith(part)]
    assert len(found.weights) == 2 * len(names)
    for layer in names:
        where = f'{"head" if layer.startswith("fc") else "backbone"}.{layer}'
        weight, bias = weights[layer]
        if flip and layer == 'conv1_1':
            weight = weight[:, ::-1]
        np.testing.assert_array_equal(found.weights[f'{where}.weight'], weight)
        np.testing.assert_array_equal(found.weights[f'{where}.bias'], bias)
    return found


def hwc(layer, weight, side=TINY.side):
    """Kernels as H-W-in-out; other weights as (in, out), fc6 for a map in the order H-W-C."""
    if weight.ndim == 4:
        return weight.transpose(2, 3, 1, 0)
    if layer == 'fc6':
        kernel = weight.reshape(len(weight), -1, side, side)
        return kernel.transpose(2, 3, 1, 0).reshape(-1, len(weight))
    return weight.T


def rgb(layer, kernel):
    """conv1_1 as H-W-in-out for images in RGB."""
    return kernel[:, :, ::-1] if layer == 'conv1_1' else kernel


# numpy.


def arrays_of(weights):
    return {layer: [hwc(layer, w), b] for layer, (w, b) in weights.items()}


def test_npz_of_tensorflow(weights, tmp_path):
    """vgg16_weights.npz has arrays 'conv1_1_W', 'conv1_1_b', ..., for RGB images."""
    arrays = {}
    for layer, (kernel, bias) in arrays_of(weights).items():
        arrays |= {f'{layer}_W': rgb(layer, kernel), f'{layer}_b': bias}
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / 'vgg16_weights.npz', **arrays)
        found = check(tmp_path / 'vgg16_weights.npz', weights, 'TensorFlow', flip=True)
        assert found.preprocessing.same_as(CENTRED_RGB)
        assert found.preprocessing.origin.startswith('recognised')


class Python2(pickle._Pickler):
    """Writes bytes and text with the same opcode, like Python 2."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_text(self, value):
        content = value if isinstance(value, bytes) else value.encode('latin1')
        self.write(b'T' + len(content).to_bytes(4, 'little') + content)
        self.memoize(value)

    dispatch[bytes] = dispatch[str] = save_text


def save_as_python_2(path, value):
    array = np.array(value, dtype=object)
    with open(path, 'wb') as file:
        np.lib.format.write_array_header_1_0(
            file, dict(descr='|O', fortran_order=False, shape=array.shape)
        )
        buffer = io.BytesIO()
        Python2(buffer, 2).dump(array)
        file.write(buffer.getvalue().replace(b'cnumpy._core.', b'cnumpy.core.'))


@pytest.mark.parametrize('form', ['lists', 'dicts', 'Python 2', 'bytes as names', 'Keras'])
def test_npy_of_tensorflow(form, weights, tmp_path):
    """vgg16.npy and vgg19.npy are a pickled dict of lists; caffe-tensorflow's are one of dicts."""
    path = tmp_path / 'vgg16.npy'
    content = arrays_of(weights)
    if form == 'dicts':
        content = {layer: dict(weights=w, biases=b) for layer, (w, b) in content.items()}
    elif form == 'bytes as names':
        content = {layer.encode(): pair for layer, pair in content.items()}
    elif form == 'Keras':
        content = {keras_name(layer): pair for layer, pair in content.items()}
    if form == 'Python 2':
        save_as_python_2(path, content)
        assert b'numpy.core.multiarray' in path.read_bytes()
        assert np.load(path, allow_pickle=True, encoding='latin1').item().keys() == content.keys()
    else:
        np.save(path, content, allow_pickle=True)
    found = check(path, weights, 'Keras' if form == 'Keras' else 'TensorFlow')
    assert found.preprocessing.same_as(CENTRED_BGR)


# MatConvNet.


def struct(**fields):
    """A MATLAB struct of 1x1."""
    array = np.empty((1, 1), [(name, object) for name in fields])
    for name, value in fields.items():
        array[0, 0][name] = value
    return array


def cell(items):
    array = np.empty((1, len(items)), object)
    for i, item in enumerate(items):
        array[0, i] = item
    return array


def matconvnet(weights, form, shape=(1, 1, 3)):
    layers = []
    for layer, (weight, bias) in weights.items():
        kernel = rgb(layer, (conv_form(layer, weight)).transpose(2, 3, 1, 0))
        pair = [np.asfortranarray(kernel), bias.reshape(1, -1)]
        if form == '2014':
            layers.append(struct(type='conv', name=layer, filters=pair[0], biases=pair[1]))
        else:
            layers.append(struct(type='conv', name=layer, weights=cell(pair), pad=np.ones((1, 4))))
        layers.append(struct(type='relu', name=f'relu{layer[-3:]}'))
    mean = np.full(shape, [123.68, 116.779, 103.939], np.float32)
    names = cell([f'class {i}' for i in range(TINY.classes)])
    meta = dict(normalization=struct(averageImage=mean), classes=struct(description=names))
    if form == '2014':
        return dict(layers=cell(layers), **meta)
    net = dict(layers=cell(layers), meta=struct(**meta))
    return dict(net=struct(**net)) if form == 'net' else net


def conv_form(layer, weight):
    side = {'fc6': TINY.side}.get(layer, 1)
    return weight if weight.ndim == 4 else weight.reshape(len(weight), -1, side, side)


@pytest.mark.parametrize('compressed', [False, True])
@pytest.mark.parametrize('form', ['2014', 'today', 'net'])
def test_mat_of_matconvnet(form, compressed, weights, tmp_path):
    shape = (224, 224, 3) if form == '2014' else (1, 1, 3)
    path = tmp_path / 'imagenet-vgg-verydeep-16.mat'
    scipy.io.savemat(path, matconvnet(weights, form, shape), do_compression=compressed)
    found = check(path, weights, 'MatConvNet', flip=True)
    assert found.preprocessing.same_as(CENTRED_RGB) and found.preprocessing.origin == 'recorded'
    assert found.classes == tuple(f'class {i}' for i in range(TINY.classes))
    assert not found.left_out


# ONNX.


def onnx_file(path, tensors, raw=True, **notes):
    make = numpy_helper.from_array if raw else as_numbers
    initializers = [make(array, name) for name, array in tensors.items()]
    initializers.append(numpy_helper.from_array(np.array([1, -1]), 'shape'))
    image = helper.make_tensor_value_info('data', onnx.TensorProto.FLOAT, [1, 3, 64, 64])
    graph = helper.make_graph([], 'net', [image], [], initializers)
    model = helper.make_model(graph, producer_name='somebody')
    helper.set_model_props(model, notes)
    path.write_bytes(model.SerializeToString())


def as_numbers(array, name):
    return helper.make_tensor(name, onnx.TensorProto.FLOAT, array.shape, array.ravel().tolist())


@pytest.mark.parametrize('raw', [True, False])
def test_onnx_zoo(raw, weights, tmp_path):
    """vgg16-7.onnx and similar files, written by MXNet or Caffe2."""
    tensors = {}
    for layer, (weight, bias) in weights.items():
        kind = 'dense' if layer.startswith('fc') else 'conv'
        number = sum(name.startswith(f'vgg0_{kind}') for name in tensors) // 2
        tensors |= {f'vgg0_{kind}{number}_weight': weight, f'vgg0_{kind}{number}_bias': bias}
    assert 'vgg0_conv12_weight' in tensors and 'vgg0_dense2_bias' in tensors
    onnx_file(tmp_path / 'vgg16-7.onnx', tensors, raw)
    check(tmp_path / 'vgg16-7.onnx', weights, 'MXNet')
    tensors = {f'{layer}_{k}_0': a for layer, pair in weights.items() for k, a in zip('wb', pair)}
    onnx_file(tmp_path / 'vgg19-caffe2.onnx', tensors, raw)
    check(tmp_path / 'vgg19-caffe2.onnx', weights, 'Caffe')


def test_onnx_with_norms(tmp_path):
    state = sources.torchvision_net('vgg11_bn', TINY)[0].state_dict()
    layers, tensors = {}, {}
    for name, tensor in state.items():
        layer, kind = name.rsplit('.', 1)
        is_norm = f'{layer}.running_mean' in state
        family = 'batchnorm' if is_norm else 'conv' if layer.startswith('features') else 'dense'
        known = layers.setdefault(family, [])
        known += [layer] if layer not in known else []
        kind = {'weight': 'gamma', 'bias': 'beta'}.get(kind, kind) if is_norm else kind
        if kind != 'num_batches_tracked':
            tensors[f'vgg0_{family}{known.index(layer)}_{kind}'] = tensor.numpy()
    onnx_file(tmp_path / 'vgg11-bn.onnx', tensors)
    torch.save(state, tmp_path / 'same.pth')
    found, expected = (read_weights(str(tmp_path / f)) for f in ('vgg11-bn.onnx', 'same.pth'))
    assert found.net == expected.net and found.net.norm
    for name, tensor in found.weights.items():
        assert torch.equal(tensor, expected.weights[name])


def test_onnx_with_external_or_quantized_weights(weights, tmp_path):
    path = tmp_path / 'x.onnx'
    onnx_file(path, {'features.0.weight': weights['conv1_1'][0]})
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, size_threshold=0)
    with pytest.raises(ValueError, match='features.0.weight is in another file: save the model in'):
        read_weights(str(path))
    onnx_file(path, {'vgg0_conv0_weight_quantized': np.zeros((3, 3, 3, 3), np.int8)})
    with pytest.raises(ValueError, match='a file of ONNX without weights'):
        read_weights(str(path))


def test_onnx_with_recorded_preprocessing(weights, tmp_path):
    """As written by this package's export: names, pre-processing, classes."""
    tensors = {
        f'{"" if layer.startswith("fc") else "backbone."}{layer}.{kind}': array
        for layer, pair in weights.items()
        for kind, array in zip(('weight', 'bias'), pair)
    }
    notes = dict(channel_order='BGR', mean='[1, 2, 3]', std='[4, 5, 6]', classes='["a", "b"]')
    onnx_file(tmp_path / 'x.onnx', tensors, **notes)
    found = check(tmp_path / 'x.onnx', weights, 'vgg_mm')
    assert str(found.preprocessing) == 'BGR, mean 1/2/3, std 4/5/6 (recorded)'
    assert found.classes == ('a', 'b')
    # Other programs may have texts of the same names.
    for classes in ('a,b', '3', '[1, 2]', '{}'):
        notes = dict(channel_order='RGB', mean='1, 2, 3', std='1', classes=classes)
        onnx_file(tmp_path / 'x.onnx', tensors, **notes)
        found = check(tmp_path / 'x.onnx', weights, 'vgg_mm')
        assert found.classes is None and 'recorded' not in str(found.preprocessing)


# Caffe.


def test_caffemodel_without_a_name(weights, tmp_path):
    for form in ('2014', 'today'):
        net = sources.caffe_message()
        net.ParseFromString(sources.caffe_file(weights, form))
        net.ClearField('name')
        (tmp_path / 'x.caffemodel').write_bytes(net.SerializeToString())
        check(tmp_path / 'x.caffemodel', weights, 'Caffe')
        net.input.append('data')
        (tmp_path / 'x.caffemodel').write_bytes(net.SerializeToString())
        check(tmp_path / 'x.caffemodel', weights, 'Caffe')


@pytest.mark.parametrize('name', ['fc8a', 'fc8_flickr', 'score'])
def test_last_layers_with_other_names(name, weights, tmp_path):
    """Places365's fc8a, and names that are common in fine-tuning with Caffe."""
    renamed = {name if layer == 'fc8' else layer: pair for layer, pair in weights.items()}
    (tmp_path / 'x.caffemodel').write_bytes(sources.caffe_file(renamed))
    found = check(tmp_path / 'x.caffemodel', weights, 'Caffe')
    assert found.sources['head.fc8.weight'] == f'{name}.blobs.0'


def test_reduced_caffemodel(weights, tmp_path):
    """VGG_ILSVRC_16_layers_fc_reduced.caffemodel of SSD and DeepLab."""
    rng = np.random.default_rng(0)
    reduced = {layer: pair for layer, pair in weights.items() if layer.startswith('conv')}
    for layer, shape in (
        ('fc6', (4, 24, 3, 3)),
        ('fc7', (4, 4, 1, 1)),
        ('fc8_voc12', (21, 4, 1, 1)),
    ):
        reduced[layer] = [rng.normal(size=shape).astype('f4'), np.zeros(shape[0], 'f4')]
    (tmp_path / 'x.caffemodel').write_bytes(sources.caffe_file(reduced, 'today'))
    found = read_weights(str(tmp_path / 'x.caffemodel'))
    assert found.net.is_reduced and found.net.fc_channels == (4, 4)
    fc6 = reduced['fc6'][0].reshape(4, -1)
    np.testing.assert_array_equal(found.weights['head.fc6.weight'], fc6)
    assert found.left_out == ['fc8_voc12.blobs.0', 'fc8_voc12.blobs.1']


# Keras.


def keras_name(layer):
    fc = {'fc6': 'fc1', 'fc7': 'fc2', 'fc8': 'predictions'}
    return fc.get(layer) or f'block{layer[4]}_conv{layer[6]}'


def write_h5(path, arrays):
    with h5py.File(path, 'w') as file:
        for name, array in arrays.items():
            file[name] = array


def theano(weights, rotated, name_of):
    """Kernels as out-in-H-W, rotated or not; fully-connected layers as (in, out) for C-H-W."""
    arrays = {}
    for layer, (weight, bias) in weights.items():
        kernel = weight.T if weight.ndim == 2 else weight[..., ::-1, ::-1] if rotated else weight
        names = name_of(layer)
        arrays |= {names[0]: kernel, names[1]: bias}
    return arrays


def of_keras_1(layer):
    name = keras_name(layer)
    return f'{name}/{name}_W', f'{name}/{name}_b'


def of_2015(layer):
    """vgg16_weights.h5 numbers all layers of a Sequential, including paddings and dropouts."""
    order = []
    for block, count in enumerate(sources.BLOCKS['vgg16'], 1):
        for index in range(1, count + 1):
            order += ['padding', f'conv{block}_{index}']
        order.append('pool')
    order += ['flatten', 'fc6', 'dropout', 'fc7', 'dropout', 'fc8']
    return tuple(f'layer_{order.index(layer)}/param_{i}' for i in (0, 1))


@pytest.mark.parametrize('rotated', [True, False], ids=['th_kernels', 'tf_kernels'])
@pytest.mark.parametrize('name_of', [of_keras_1, of_2015])
def test_keras_for_theano(name_of, rotated, weights, tmp_path):
    write_h5(tmp_path / 'x.h5', theano(weights, rotated, name_of))
    found = check(tmp_path / 'x.h5', weights, 'Keras for Theano')
    assert found.preprocessing.same_as(CENTRED_BGR)
    assert of_2015('fc8')[0] == 'layer_36/param_0'


def test_kernels_of_theano_of_unknown_rotation(tmp_path):
    write_h5(tmp_path / 'x.h5', theano(sources.caffe_weights('vgg16', TINY), True, of_keras_1))
    message = r'block1_conv1/block1_conv1_W is in the order of Theano: whether .* is known only of'
    with pytest.raises(ValueError, match=message):
        load_checkpoint(tmp_path / 'x.h5')


def keras_net(weights, pooling='Flatten', names=True):
    """A VGG built by a user, with names of layers given or numbered by Keras."""
    from keras import Model, layers

    x = image = layers.Input((TINY.side * 32, TINY.side * 32, 3))
    block = 1
    for layer, (weight, _) in weights.items():
        name = dict(name=keras_name(layer)) if names else {}
        if layer == 'fc6':
            x = getattr(layers, pooling)()(layers.MaxPooling2D()(x))
        if layer.startswith('fc'):
            x = layers.Dense(len(weight), **name)(x)
        else:
            x = x if int(layer[4]) == block else layers.MaxPooling2D()(x)
            block = int(layer[4])
            x = layers.Conv2D(len(weight), 3, padding='same', **name)(x)
    net = Model(image, x)
    arrays = [array for layer, (w, b) in weights.items() for array in (hwc(layer, w), b)]
    fc6 = 2 * list(weights).index('fc6')
    arrays[fc6] = arrays[fc6][
        : net.get_weights()[fc6].shape[0]
    ]  # global pooling leaves fewer inputs
    net.set_weights(arrays)
    return net


@pytest.mark.parametrize('names', [True, False], ids=['named', 'counted'])
def test_keras_archive(names, weights, tmp_path):
    net = keras_net(weights, names=names)
    for file in ('net.keras', 'net.h5', 'net.weights.h5'):
        save = net.save_weights if '.weights.' in file else net.save
        save(tmp_path / file)
        if file == 'net.h5' and not names:  # the numbers continue within a process
            continue
        check(tmp_path / file, weights, 'Keras')


def test_keras_with_a_global_pooling(weights, tmp_path):
    """The Dense layers after it are not fc6 to fc8; weights without the model are rejected."""
    net = keras_net(weights, pooling='GlobalAveragePooling2D', names=False)
    net.save(tmp_path / 'net.keras')
    found = check(tmp_path / 'net.keras', weights, 'Keras', part='conv')
    assert len(found.left_out) == 6 and all('dense' in name for name in found.left_out)
    net.save_weights(tmp_path / 'net.weights.h5')
    with pytest.raises(ValueError, match='has 24 inputs, one per channel: .* Save the whole model'):
        load_checkpoint(tmp_path / 'net.weights.h5')


# Whole modules, and other content beside weights.


def hook(module, inputs, output):
    """Makes a file refer to a function of a project."""


class Mine(torch.nn.Module):
    """A class of a project that the reader does not have."""

    def __init__(self):
        super().__init__()
        self.vgg = sources.torchvision_net('vgg16', TINY)[0]
        self.vgg.register_forward_hook(hook)
        self.options = argparse.Namespace(lr=0.1)


@pytest.mark.parametrize('wrap', ['module', 'project', 'parallel', 'beside', 'arguments'])
def test_pickled_modules(wrap, tmp_path):
    net = sources.torchvision_net('vgg16', TINY)[0]
    content = {
        'module': net,
        'project': Mine(),
        'parallel': torch.nn.DataParallel(net),
        'beside': {'epoch': 2, 'net': net, 'args': argparse.Namespace(lr=0.1, data='/data')},
        'arguments': {'state_dict': net.state_dict(), 'args': argparse.Namespace(lr=0.1)},
    }[wrap]
    path = tmp_path / 'x.pth'
    torch.save(content, path)
    torch.save(net.state_dict(), tmp_path / 'plain.pth')
    found, expected = (read_weights(str(p)) for p in (path, tmp_path / 'plain.pth'))
    assert found.weights.keys() == expected.weights.keys()
    for name, tensor in expected.weights.items():
        assert torch.equal(found.weights[name], tensor)
    if wrap == 'arguments':
        assert load_checkpoint(path)['args'] == {'lr': 0.1}


@pytest.mark.filterwarnings('ignore')
def test_pickled_modules_of_old_pytorch(tmp_path):
    """Modules saved by 1.5 or older are rejected; state dicts beside arguments are read."""
    net = sources.torchvision_net('vgg11', TINY)[0]
    old = dict(_use_new_zipfile_serialization=False)
    torch.save(net, tmp_path / 'x.pth', **old)
    with pytest.raises(ValueError, match='a whole module saved by PyTorch 1.5 or older: save its'):
        load_checkpoint(tmp_path / 'x.pth')
    torch.save(
        dict(model=net.state_dict(), args=argparse.Namespace(a=1)), tmp_path / 'x.pth', **old
    )
    assert read_weights(str(tmp_path / 'x.pth')).net.arch == 'A'


def test_classes_named_in_a_file_are_never_imported(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / 'trap.py').write_text(f'open({str(tmp_path / "marker")!r}, "w")\nclass Net: pass\n')
    program = b'\x80\x02ctrap\nNet\n)\x81}X\x01\x00\x00\x00aK\x01sb.'
    with zipfile.ZipFile(tmp_path / 'x.pth', 'w') as file:
        file.writestr('a/data.pkl', program)
        file.writestr('a/version', '3\n')
    with pytest.raises(ValueError, match='contains a Net, not a dict of weights'):
        load_checkpoint(tmp_path / 'x.pth')
    assert not (tmp_path / 'marker').exists()


# Complete files of kinds that cannot be read.


@pytest.mark.parametrize(
    'content, message',
    [
        (b'<!DOCTYPE html><html>', 'is a web page: the download did not give the file'),
        (
            b'version https://git-lfs.github.com/spec/v1\n',
            'is a pointer of Git LFS: fetch',
        ),
        (b'\x1f\x8b\x08\x00', 'is a compressed file: unpack it'),
        (b'MATLAB 7.3 MAT-file, Platform: GLNXA64', 'MATLAB 7.3: save it again with save'),
        (b'\x12\x01' + bytes(20), 'is a file of MXNet: export the net as ONNX'),
        (b'\x1c\0\0\0TFL3', 'is a file of TensorFlow Lite'),
        (
            bytes(40) + bytes.fromhex('57fb808b247547db'),
            'is a file of TensorFlow: save',
        ),
        (b'\x04\0\0\0\x01\0\0\0', 'is a file of Torch 7'),
    ],
)
@pytest.mark.parametrize('ending', ['pth', 'h5', 'npz', 'caffemodel'])
def test_files_of_unsupported_kinds(content, message, ending, tmp_path):
    path = tmp_path / f'x.{ending}'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        load_checkpoint(path)
    assert 'truncated' not in str(error.value) and '\n' not in str(error.value)


def test_archives_of_unsupported_kinds(tmp_path):
    with zipfile.ZipFile(tmp_path / 'x.pth', 'w') as file:
        file.writestr('photos/a.txt', json.dumps({}))
    with pytest.raises(ValueError, match='archive without weights of a known kind: it contains ph'):
        load_checkpoint(tmp_path / 'x.pth')
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), tmp_path / 'script.pt')
    with pytest.raises(ValueError, match='TorchScript archives cannot be read without') as error:
        load_checkpoint(tmp_path / 'script.pt')
    assert 'truncated' not in str(error.value)
