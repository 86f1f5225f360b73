"""Files of narrow nets in each library's published layout, and the library's own logits."""

import os

os.environ.setdefault('KERAS_BACKEND', 'torch')  # before keras is imported

import h5py
import torch

from tests.checkpoints import source_nets as sources


def torchvision(path, name='vgg11_bn'):
    net, logits = sources.torchvision_net(name)
    torch.save(net.state_dict(), path)
    return logits


def timm(path):
    net, logits = sources.timm_net('vgg11')
    torch.save(net.state_dict(), path)
    return logits


def mmpretrain(path):
    """As written by a training with MMPretrain, with its config inside."""
    net, logits = sources.mmpretrain_net('vgg11')
    cfg = (
        'data_preprocessor = dict(mean=[123.675, 116.28, 103.53], num_classes=7,\n'
        '    std=[58.395, 57.12, 57.375], to_rgb=True)\n'
        "model = dict(type='ImageClassifier', backbone=dict(type='VGG', depth=11, num_classes=7),\n"
        "    neck=None, head=dict(type='ClsHead'))\n"
    )
    torch.save(dict(state_dict=net.state_dict(), meta=dict(cfg=cfg, epoch=1)), path)
    return logits


def keras(path):
    from keras.src.legacy.saving import legacy_h5_format

    net, logits = sources.keras_net('vgg16')
    with h5py.File(path, 'w') as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, net)
    return logits


def keras_notop(path):
    """Only the convolutions."""
    weights = sources.caffe_weights('vgg16')
    with h5py.File(path, 'w') as file:
        for layer, (weight, bias) in weights.items():
            if layer.startswith('conv'):
                name = f'block{layer[4]}_conv{layer[6]}'
                file[f'{name}/{name}_W_1:0'] = weight.transpose(2, 3, 1, 0)
                file[f'{name}/{name}_b_1:0'] = bias


def caffe(path):
    weights = sources.caffe_weights('vgg16')
    path.write_bytes(sources.caffe_file(weights))
    return sources.caffe_logits(weights)


#: File name -> function that writes the file and returns a function from a photo to logits.
FILES = {
    'torchvision_vgg11_bn.pth': torchvision,
    'timm_vgg11.pth': timm,
    'mmpretrain_vgg11.pth': mmpretrain,
    'vgg16_weights_tf_dim_ordering_tf_kernels.h5': keras,
    'vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5': keras_notop,
    'VGG_ILSVRC_16_layers.caffemodel': caffe,
}
