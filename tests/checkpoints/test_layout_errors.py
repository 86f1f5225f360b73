"""Truncated, inconsistent and unsupported files are rejected with one line."""

import json
import os
import struct
import zipfile
import zlib

import h5py
import numpy as np
import onnx
import pytest
import safetensors.torch
import scipy.io
import torch
import torchvision
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.checkpoints import source_nets as sources
from tests.checkpoints.test_files import arrays_of, matconvnet, onnx_file
from vgg_mm.apis.convert_weights import read_weights
from vgg_mm.checkpoints import formats, load_checkpoint

TINY = sources.Size((2, 4, 8, 16, 16), 4, 1, 3)
KINDS = ('caffemodel', 'h5', 'safetensors', 'pth', 'pt', 'npz', 'npy', 'mat', 'onnx')
ERRORS = (ValueError, OSError, ImportError)


def fails(path, match=''):
    with pytest.raises(ERRORS, match=match or None) as error:
        read_weights(str(path))
    text = str(error.value)
    assert '\n' not in text and str(path) in text and len(text) < 1200
    return text


def keras_arrays(weights):
    """Caffe's arrays as in a Keras file: {path: array}."""
    fc = {'fc6': 'fc1', 'fc7': 'fc2', 'fc8': 'predictions'}
    arrays = {}
    for layer, (weight, bias) in weights.items():
        name = fc.get(layer) or f'block{layer[4]}_conv{layer[6]}'
        order = (1, 0) if weight.ndim == 2 else (2, 3, 1, 0)
        arrays[f'{name}/{name}/kernel'] = weight.transpose(order)
        arrays[f'{name}/{name}/bias'] = bias
    return arrays


def write_keras(path, arrays):
    with h5py.File(path, 'w') as file:
        for name, array in arrays.items():
            file[name] = array


@pytest.fixture(scope='module')
def tiny():
    return sources.caffe_weights('vgg16', TINY)


@pytest.fixture(scope='module')
def whole(tiny, tmp_path_factory):
    """One complete file of each kind."""
    folder = tmp_path_factory.mktemp('whole')
    net, _ = sources.torchvision_net('vgg16', TINY)
    hwc = arrays_of(tiny)
    files = {kind: folder / f'net.{kind}' for kind in KINDS}
    files['caffemodel'].write_bytes(sources.caffe_file(tiny))
    write_keras(files['h5'], keras_arrays(tiny))
    safetensors.torch.save_file(net.state_dict(), files['safetensors'])
    torch.save(net.state_dict(), files['pth'])
    torch.save(net, files['pt'])
    np.savez(
        files['npz'],
        **{f'{layer}_{i}': a for layer, (w, b) in hwc.items() for i, a in (('W', w), ('b', b))},
    )
    np.save(files['npy'], hwc, allow_pickle=True)
    scipy.io.savemat(files['mat'], matconvnet(tiny, 'today'), do_compression=True)
    onnx_file(
        files['onnx'], {f'{n}_{k}_0': a for n, pair in tiny.items() for k, a in zip('wb', pair)}
    )
    for path in files.values():
        assert read_weights(str(path)).net.arch == 'D'
    return files


@pytest.mark.parametrize('part', [0, 1, 7, 9, 0.1, 0.5, 0.9, 0.9999])
@pytest.mark.parametrize('kind', KINDS)
def test_truncated(whole, kind, part, tmp_path):
    content = whole[kind].read_bytes()
    path = tmp_path / f'cut.{kind}'
    path.write_bytes(content[: part if isinstance(part, int) else int(part * len(content))])
    fails(path)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    kind=st.sampled_from(['caffemodel', 'safetensors', 'mat', 'npy', 'npz', 'onnx']),
    where=st.floats(0, 1, exclude_max=True),
    value=st.binary(min_size=1, max_size=9),
    early=st.booleans(),
)
def test_damaged(whole, kind, where, value, early, tmp_path):
    """A file with wrong bytes is read as a net or rejected with one line."""
    content = bytearray(whole[kind].read_bytes())
    at = int(where * (600 if early else len(content)))
    content[at : at + len(value)] = value
    path = tmp_path / f'damaged.{kind}'
    path.write_bytes(content)
    try:
        read_weights(str(path))
    except ERRORS as error:
        assert '\n' not in str(error) and str(path) in str(error)


@pytest.mark.parametrize(
    'ending', ['h5', 'hdf5', 'keras', 'safetensors', 'caffemodel', 'npy', 'npz', 'mat', 'onnx']
)
@pytest.mark.parametrize('content', [b'', b'no weights at all', b'\x00' * 300])
def test_wrong_kind(ending, content, tmp_path):
    path = tmp_path / f'x.{ending}'
    path.write_bytes(content)
    fails(
        path,
        'is named like a file of (HDF5|safetensors|Caffe|numpy|MATLAB|ONNX), but does not begin',
    )


def test_kinds_are_recognised_by_content(whole, tmp_path):
    for kind, path in whole.items():
        other = tmp_path / f'{kind}.bin'
        other.write_bytes(path.read_bytes())
        state, expected = (load_checkpoint(p)['state_dict'] for p in (other, path))
        assert state.keys() == expected.keys()


def test_a_missing_library(whole, monkeypatch):
    def missing(*args):
        raise ImportError('No module named h5py')

    monkeypatch.setattr(formats, 'import_module', missing)
    packages = dict(h5='h5py', caffemodel='protobuf', onnx='protobuf', safetensors='safetensors')
    for kind, package in packages.items():
        fails(whole[kind], f'needs a library: pip install {package}$')


# Wrong layouts.


def test_other_nets(tmp_path):
    net = torchvision.models.squeezenet1_1(weights=None)
    torch.save(net.state_dict(), tmp_path / 'net.pth')
    text = fails(tmp_path / 'net.pth', "no VGG found .* found 'features.0.weight'")
    for name in ('vgg_mm', 'torchvision', 'timm', 'MMPretrain', 'Caffe', 'Keras', 'TensorFlow'):
        assert f'{name} (' in text
    # load_checkpoint reads the weights of any model.
    assert load_checkpoint(tmp_path / 'net.pth').keys() == net.state_dict().keys()


@pytest.mark.parametrize(
    'change, message',
    [
        ({'features.5.weight': None}, 'no VGG found'),
        ({'features.5.bias': None}, 'is not a complete net D .*conv2_1.bias is missing'),
        ({'classifier.3.weight': None}, 'has fc6.weight, but no fc7.weight'),
        ({'features.5.weight': (4, 2, 5, 5)}, 'no VGG found'),
        ({'features.5.weight': (4, 9, 3, 3)}, r'conv2_1.weight is \(4, 9, 3, 3\)'),
        ({'classifier.0.weight': (5,)}, r'classifier.0.weight is \(5,\)'),
        ({'classifier.6.weight': (0, 4)}, 'it is empty'),
        ({'classifier.0.weight': (4, 999)}, r'fc6.weight is \(4, 999\)'),
        ({'features.28.bias': (3,)}, r'conv5_3.bias is \(3,\)'),
    ],
)
def test_incomplete_nets(change, message, tmp_path):
    state = sources.torchvision_net('vgg16', TINY)[0].state_dict()
    for name, shape in change.items():
        state.pop(name)
        if shape:
            state[name] = torch.zeros(shape)
    torch.save(state, tmp_path / 'net.pth')
    fails(tmp_path / 'net.pth', message)


def test_feature_map_that_is_not_square(tiny, tmp_path):
    arrays = {**keras_arrays(tiny), 'fc1/fc1/kernel': np.zeros((16 * 6, 4), 'f4')}
    write_keras(tmp_path / 'x.h5', arrays)
    fails(tmp_path / 'x.h5', 'fc6 has 96 inputs, no square map of 16 channels')


# Caffe files with wrong sizes.


def caffe_with(change, tiny):
    message = sources.caffe_message()
    message.ParseFromString(sources.caffe_file(tiny, 'today'))
    change(message.layer[0].blobs[0])
    return message.SerializeToString()


@pytest.mark.parametrize(
    'dims', [[2, 3, 3, 4], [2**40, 2**40], [-2, 3, 3, 3], [0], [2**62] * 4, [1] * 40 + [54], []]
)
def test_wrong_shape_in_a_caffe_file(dims, tiny, tmp_path):
    def change(blob):
        del blob.shape.dim[:]
        blob.shape.dim.extend(dims)

    (tmp_path / 'x.caffemodel').write_bytes(caffe_with(change, tiny))
    fails(tmp_path / 'x.caffemodel', r'conv1_1.blobs.0 has the shape .* 216 in the file')


def test_caffe_blob_without_values(tiny, tmp_path):
    (tmp_path / 'x.caffemodel').write_bytes(caffe_with(lambda b: b.ClearField('data'), tiny))
    fails(tmp_path / 'x.caffemodel', 'conv1_1.blobs.0 has the shape .* 0 in the file')


def test_a_caffe_net_without_weights(tmp_path):
    (tmp_path / 'x.caffemodel').write_bytes(sources.caffe_file({}))
    fails(tmp_path / 'x.caffemodel', 'without weights')


# ONNX files with wrong sizes.


@pytest.mark.parametrize('dims', [[2, 3, 3, 4], [2**40, 2**40], [-2, 3, 3, 3], [0], [1] * 40])
def test_wrong_shape_in_an_onnx_file(dims, tiny, tmp_path):
    onnx_file(tmp_path / 'x.onnx', {'conv1_1_w': tiny['conv1_1'][0]})
    model = onnx.load(tmp_path / 'x.onnx')
    del model.graph.initializer[0].dims[:]
    model.graph.initializer[0].dims.extend(dims)
    (tmp_path / 'x.onnx').write_bytes(model.SerializeToString())
    fails(tmp_path / 'x.onnx', 'conv1_1_w has the shape .* 216 in the file')


# MATLAB files with wrong sizes, or nested too deeply.

MAT_HEADER = b'MATLAB 5.0 MAT-file'.ljust(124) + struct.pack('<HH', 0x0100, 0x4D49)


def mat_array(kind, dims, *rest, name=b''):
    """A miMATRIX element: flags, dimensions, name, and the given content."""
    parts = [struct.pack('<IIII', 6, 8, kind, 0)]
    content = struct.pack(f'<{len(dims)}i', *dims)
    parts.append(struct.pack('<II', 5, len(content)) + content + bytes(-len(content) % 8))
    parts.append(struct.pack('<II', 1, len(name)) + name + bytes(-len(name) % 8))
    body = b''.join([*parts, *rest])
    return struct.pack('<II', 14, len(body)) + body


CELL, STRUCT, SINGLE = 1, 2, 7


#: An array of one number whose header says 2**36.
FEW = mat_array(SINGLE, (2**30, 64), struct.pack('<IIf', 7, 4, 1), name=b'layers')


def nested(depth):
    inner = mat_array(SINGLE, (0, 0))
    for _ in range(depth):
        inner = mat_array(CELL, (1, 1), inner)
    return mat_array(CELL, (1, 1), inner, name=b'layers')


@pytest.mark.parametrize(
    'content, message',
    [
        (nested(3000), 'deeper than in any net'),
        (mat_array(CELL, (2**30, 2), name=b'layers'), 'an array of the shape'),
        (mat_array(CELL, (-1, 1), name=b'layers'), 'an array of the shape'),
        (
            FEW,
            'cannot res',
        ),
        (struct.pack('<II', 14, 2**31), 'an element of 2,147,483,648 bytes where 0 are left'),
        (struct.pack('<II', 15, 4) + b'abcd', 'incorrect header check|Error -'),
        (b'', 'without weights'),
    ],
)
def test_inconsistent_mat_files(content, message, tmp_path):
    (tmp_path / 'x.mat').write_bytes(MAT_HEADER + content)
    fails(tmp_path / 'x.mat', message)


def test_mat_file_that_is_a_decompression_bomb(tmp_path):
    bomb = zlib.compress(mat_array(SINGLE, (1,), bytes(10**8), name=b'layers'))
    content = struct.pack('<II', 15, len(bomb)) + bomb
    (tmp_path / 'x.mat').write_bytes(MAT_HEADER + content)
    fails(tmp_path / 'x.mat', 'more than 100 times as large as in the file')


# Archives and arrays with wrong sizes.


def test_archives_that_are_decompression_bombs(tiny, tmp_path):
    np.savez_compressed(tmp_path / 'x.npz', conv1_1_W=np.zeros(10**6))
    fails(tmp_path / 'x.npz', 'conv1_1_W.npy is far larger than in the file')
    with zipfile.ZipFile(tmp_path / 'x.keras', 'w', zipfile.ZIP_DEFLATED) as file:
        file.writestr('config.json', '{}')
        file.writestr('model.weights.h5', bytes(10**8))
    fails(tmp_path / 'x.keras', 'model.weights.h5 is far larger than in the archive')


@pytest.mark.parametrize('shape', [(2**40, 2**20), (3, 3), (-1,), (2**63,)])
def test_wrong_shape_in_an_npy_file(shape, tmp_path):
    with open(tmp_path / 'x.npy', 'wb') as file:
        header = dict(descr='<f4', fortran_order=False, shape=shape)
        np.lib.format.write_array_header_1_0(file, header)
        file.write(bytes(4))
    fails(tmp_path / 'x.npy', 'truncated or no numpy file')


# Wrong headers of safetensors.


@pytest.mark.parametrize(
    'header, size',
    [
        (b'{', 2**31),
        (json.dumps({'a': dict(dtype='F32', shape=[2**40], data_offsets=[0, 4])}).encode(), None),
        (json.dumps({'a': dict(dtype='F32', shape=[1], data_offsets=[0, 2**50])}).encode(), None),
        (b'{"a": ' * 5000, None),
    ],
)
def test_wrong_safetensors_header(header, size, tmp_path):
    path = tmp_path / 'x.safetensors'
    path.write_bytes(struct.pack('<Q', size or len(header)) + header + b'1234')
    fails(path, 'truncated or no safetensors file')


# HDF5 files with wrong sizes, or with links to other files.


def test_hdf5_array_without_data(tmp_path):
    with h5py.File(tmp_path / 'x.h5', 'w') as file:
        file.create_dataset('huge', shape=(10**6, 10**6), dtype='f4')
    fails(tmp_path / 'x.h5', r'huge has the shape \(1000000, 1000000\), but only 0 bytes')


def test_hdf5_array_that_is_a_decompression_bomb(tmp_path):
    with h5py.File(tmp_path / 'x.h5', 'w') as file:
        file.create_dataset('bomb', data=np.zeros(10**6, 'f4'), compression='gzip', chunks=True)
    fails(tmp_path / 'x.h5', 'bomb has the shape')


def test_compressed_hdf5_arrays_are_read(tiny, tmp_path):
    with h5py.File(tmp_path / 'x.h5', 'w') as file:
        for name, array in keras_arrays(tiny).items():
            file.create_dataset(name, data=array, compression='gzip', chunks=True)
    state = load_checkpoint(tmp_path / 'x.h5')['state_dict']
    np.testing.assert_array_equal(state['head.fc7.weight'], tiny['fc7'][0])


def test_links_to_other_files_are_not_followed(tiny, tmp_path):
    secret = tmp_path / 'secret.h5'
    with h5py.File(secret, 'w') as file:
        file['a'] = np.zeros(4, 'f4')
    (tmp_path / 'raw').write_bytes(b'secret numbers!!')
    with h5py.File(tmp_path / 'link.h5', 'w') as file:
        file['block1_conv1'] = h5py.ExternalLink(secret.name, '/a')
        file['loop'] = h5py.SoftLink('/')
        file.create_group('a')['itself'] = file['/']
    fails(tmp_path / 'link.h5', 'without weights')
    with h5py.File(tmp_path / 'raw.h5', 'w') as file:
        external = [(str(tmp_path / 'raw'), 0, 16)]
        file.create_dataset('block1_conv1/kernel', shape=(4,), dtype='f4', external=external)
    fails(tmp_path / 'raw.h5', 'block1_conv1/kernel is in another file')
    with h5py.File(tmp_path / 'virtual.h5', 'w') as file:
        layout = h5py.VirtualLayout(shape=(4,), dtype='f4')
        layout[:] = h5py.VirtualSource(str(secret), 'a', shape=(4,))
        file.create_virtual_dataset('v', layout)
    fails(tmp_path / 'virtual.h5', 'v is in another file')


def test_files_are_closed(whole):
    before = len(os.listdir('/proc/self/fd')) if os.path.isdir('/proc/self/fd') else 0
    for path in whole.values():
        load_checkpoint(path)
    if before:
        assert len(os.listdir('/proc/self/fd')) == before
