"""Files of torchvision and Keras at the published width."""

import os

os.environ.setdefault('KERAS_BACKEND', 'torch')  # before keras is imported

import h5py
import pytest
import torch

from tests.checkpoints import source_nets as sources
from tests.checkpoints.test_layouts import check, rgb  # noqa: F401  (a fixture)


def keras_file(path):
    from keras.applications import vgg16
    from keras.src.legacy.saving import legacy_h5_format

    net = vgg16.VGG16(weights=None, classifier_activation=None)
    kernel = net.get_layer('block1_conv1').kernel
    kernel.assign(kernel * 2)  # Glorot initialisation shrinks the activations
    with h5py.File(path, 'w') as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, net)
    return sources.keras_logits(net, vgg16.preprocess_input)


def torchvision_file(path):
    size = sources.Size((64, 128, 256, 512, 512), 4096, 7, 1000)
    net, logits = sources.torchvision_net('vgg16', size)
    torch.save(net.state_dict(), path)
    return logits


@pytest.mark.parametrize(
    'write, ending, layout',
    [(torchvision_file, 'pth', 'torchvision'), (keras_file, 'h5', 'Keras')],
)
def test_vgg16(write, ending, layout, rgb, tmp_path):  # noqa: F811
    path = tmp_path / f'vgg16.{ending}'
    logits = write(path)
    assert path.stat().st_size > 138_357_544 * 4
    check(path, logits, rgb, layout, 'D')
    path.unlink()
