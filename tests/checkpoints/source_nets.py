"""Narrow VGGs of other libraries, with random weights, and their logits for a photo.

Each function returns (net, function from a uint8 RGB photo of 224x224 to the logits that the
library computes, including its pre-processing).
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from mmpretrain.models import VGG as MMPretrainVGG
from mmpretrain.models.backbones.vgg import make_vgg_layer
from mmpretrain.models.utils import ClsDataPreprocessor
from PIL import Image
from torchvision.models import get_model_weights
from torchvision.models.vgg import VGG as TorchvisionVGG
from torchvision.models.vgg import make_layers

#: Divisor of the first weights of nets whose images are not divided by a standard deviation.
PIXELS = 64

#: Convolutions of each block, by the libraries' names.
BLOCKS = {
    'vgg11': (1, 1, 2, 2, 2),
    'vgg13': (2, 2, 2, 2, 2),
    'vgg16': (2, 2, 3, 3, 3),
    'vgg19': (2, 2, 4, 4, 4),
}


class Size(NamedTuple):
    """Widths of the blocks and of fc6 and fc7, side of fc6's map, number of classes."""

    widths: tuple[int, ...] = (4, 8, 16, 32, 32)
    fc: int = 16
    side: int = 7
    classes: int = 7


NARROW = Size()


def plan(name, widths=NARROW.widths):
    """A net in the notation of torchvision and timm, by default with 1/16 of the width."""
    return [
        step
        for count, width in zip(BLOCKS[name.removesuffix('_bn')], widths)
        for step in [width] * count + ['M']
    ]


def randomise(net, seed=0):
    """Random weights that preserve the scale of activations; non-zero biases and statistics."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in net.state_dict().items():
        if tensor.ndim > 1:
            tensor.normal_(0, (2 / tensor[0].numel()) ** 0.5, generator=generator)
        elif 'running_var' in name or 'weight' in name:
            tensor.uniform_(0.5, 1.5, generator=generator)
        elif tensor.is_floating_point():
            tensor.normal_(0, 0.1, generator=generator)
    return net.eval()


def classifier(size=NARROW):
    return nn.Sequential(
        nn.Linear(size.widths[-1] * size.side**2, size.fc), nn.ReLU(True), nn.Dropout(),
        nn.Linear(size.fc, size.fc), nn.ReLU(True), nn.Dropout(),
        nn.Linear(size.fc, size.classes),
    )  # fmt: skip


@torch.no_grad()
def torchvision_net(name, size=NARROW):
    with torch.device('meta'):
        net = TorchvisionVGG(nn.Identity(), init_weights=False)
    net.features = make_layers(plan(name, size.widths), batch_norm=name.endswith('_bn'))
    net.avgpool = nn.AdaptiveAvgPool2d(size.side)
    net.classifier = classifier(size)
    randomise(net)
    transform = get_model_weights(name).IMAGENET1K_V1.transforms()

    @torch.no_grad()
    def logits(rgb):
        # The transform's centre crop of 224 is the photo without the frame.
        framed = np.pad(rgb, ((16, 16), (16, 16), (0, 0)))
        return net(transform(Image.fromarray(framed))[None])

    return net, logits


@torch.no_grad()
def timm_net(name):
    import timm
    from timm.data import create_transform, resolve_data_config
    from timm.layers import ClassifierHead
    from timm.models.vgg import VGG, ConvMlp

    norm = nn.BatchNorm2d if name.endswith('_bn') else None
    net = VGG(plan(name), num_classes=NARROW.classes, norm_layer=norm, device='meta')
    net.features = make_layers(plan(name), batch_norm=norm is not None)
    net.pre_logits = ConvMlp(NARROW.widths[-1], NARROW.fc, 7)
    net.head = ClassifierHead(NARROW.fc, NARROW.classes)
    randomise(net)
    config = resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())
    transform = create_transform(**config)

    @torch.no_grad()
    def logits(rgb):
        framed = np.pad(rgb, ((16, 16), (16, 16), (0, 0)))
        return net(transform(Image.fromarray(framed))[None])

    return net, logits


class MMPretrainNet(nn.Module):
    """The parts of MMPretrain's ImageClassifier, so that the weights have its names."""

    def __init__(self, name):
        super().__init__()
        norm = dict(type='BN') if name.endswith('_bn') else None
        with torch.device('meta'):
            depth = int(name.removeprefix('vgg').removesuffix('_bn'))
            self.backbone = MMPretrainVGG(depth, num_classes=NARROW.classes, norm_cfg=norm)
        layers, channels = [], 3
        for count, width in zip(BLOCKS[name.removesuffix('_bn')], NARROW.widths):
            layers += make_vgg_layer(channels, width, count, norm_cfg=norm)
            channels = width
        self.backbone.features = nn.Sequential(*layers)
        self.backbone.classifier = classifier()


@torch.no_grad()
def mmpretrain_net(name):
    net = randomise(MMPretrainNet(name))
    # configs/_base_/datasets/imagenet_bs32.py of MMPretrain
    preprocess = ClsDataPreprocessor(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True
    )

    @torch.no_grad()
    def logits(rgb):
        bgr = torch.from_numpy(rgb[..., ::-1].transpose(2, 0, 1).copy())
        return net.backbone(preprocess(dict(inputs=bgr[None]))['inputs'])[-1]

    return net, logits


def keras_net(name):
    from keras import Model, layers
    from keras.applications.vgg16 import preprocess_input

    x = image = layers.Input((224, 224, 3))
    for block, (count, width) in enumerate(zip(BLOCKS[name], NARROW.widths), 1):
        for index in range(1, count + 1):
            layer = f'block{block}_conv{index}'
            x = layers.Conv2D(width, 3, activation='relu', padding='same', name=layer)(x)
        x = layers.MaxPooling2D(2, 2, name=f'block{block}_pool')(x)
    x = layers.Flatten(name='flatten')(x)
    for layer in ('fc1', 'fc2'):
        x = layers.Dense(NARROW.fc, activation='relu', name=layer)(x)
    net = Model(image, layers.Dense(NARROW.classes, name='predictions')(x))
    rng = np.random.default_rng(0)
    weights = [
        rng.normal(0, (2 / np.prod(w.shape[:-1])) ** 0.5 if w.ndim > 1 else 0.1, w.shape)
        for w in net.get_weights()
    ]
    weights[0] /= PIXELS
    net.set_weights(weights)
    return net, keras_logits(net, preprocess_input)


def keras_logits(net, preprocess_input):
    def logits(rgb):
        x = preprocess_input(rgb[None].astype(np.float32))
        with torch.no_grad():
            return torch.as_tensor(np.asarray(net(x).detach().cpu()))

    return logits


# Caffe. The fields' names, numbers and types are those of its caffe.proto.

FIELD = descriptor_pb2.FieldDescriptorProto
CAFFE_PROTO = {
    'BlobShape': 'dim=1 int64 packed',
    'BlobProto': 'num=1 int32; channels=2 int32; height=3 int32; width=4 int32; '
    'data=5 float packed; diff=6 float packed; shape=7 .BlobShape; double_data=8 double packed',
    'V1LayerParameter': 'bottom=2 string repeated; top=3 string repeated; name=4 string; '
    'type=5 int32; blobs=6 .BlobProto repeated; blobs_lr=7 float repeated',
    'LayerParameter': 'name=1 string; type=2 string; bottom=3 string repeated; '
    'top=4 string repeated; blobs=7 .BlobProto repeated; phase=10 int32',
    'NetParameter': 'name=1 string; layers=2 .V1LayerParameter repeated; '
    'input=3 string repeated; input_dim=4 int32 repeated; layer=100 .LayerParameter repeated',
}
CONVOLUTION, INNER_PRODUCT, RELU = 4, 14, 18


def caffe_message(name='NetParameter'):
    file = descriptor_pb2.FileDescriptorProto(name='caffe.proto', package='caffe')
    for message, fields in CAFFE_PROTO.items():
        described = file.message_type.add(name=message)
        for text in fields.split('; '):
            (field, number), (kind, *rest) = text.split()[0].split('='), text.split()[1:]
            added = described.field.add(name=field, number=int(number))
            added.label = FIELD.LABEL_REPEATED if rest else FIELD.LABEL_OPTIONAL
            if 'packed' in rest:
                added.options.packed = True
            if kind.startswith('.'):
                added.type, added.type_name = FIELD.TYPE_MESSAGE, f'.caffe{kind}'
            else:
                added.type = getattr(FIELD, f'TYPE_{kind.upper()}')
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f'caffe.{name}'))()


def caffe_weights(name, size=NARROW):
    """{layer: [weight, bias]} as float32 arrays, fully-connected ones as (out, in)."""
    rng = np.random.default_rng(0)
    shapes, channels = {}, 3
    for block, (count, width) in enumerate(zip(BLOCKS[name], size.widths), 1):
        for index in range(1, count + 1):
            shapes[f'conv{block}_{index}'] = (width, channels, 3, 3)
            channels = width
    fc6 = (size.fc, channels * size.side**2)
    shapes |= dict(fc6=fc6, fc7=(size.fc, size.fc), fc8=(size.classes, size.fc))
    weights = {
        layer: [
            rng.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape).astype(np.float32),
            rng.normal(0, 0.1, shape[0]).astype(np.float32),
        ]
        for layer, shape in shapes.items()
    }
    weights['conv1_1'][0] /= PIXELS
    return weights


def caffe_file(weights, form='2014', double=False):
    """A NetParameter in the form of 2014 (the authors' release) or in the current form."""
    net = caffe_message()
    net.name = 'VGG_ILSVRC_16_layers'
    for layer, arrays in weights.items():
        is_conv = layer.startswith('conv')
        if form == '2014':
            added = net.layers.add(name=layer, type=CONVOLUTION if is_conv else INNER_PRODUCT)
            net.layers.add(name=f'relu{layer[-3:]}', type=RELU, bottom=[layer], top=[layer])
        else:
            added = net.layer.add(name=layer, type='Convolution' if is_conv else 'InnerProduct')
        for array in arrays:
            blob = added.blobs.add()
            (blob.double_data if double else blob.data).extend(array.ravel().tolist())
            if form == '2014':
                sizes = (1,) * (4 - array.ndim) + array.shape
                blob.num, blob.channels, blob.height, blob.width = sizes
            else:
                blob.shape.dim.extend(array.shape)
    return net.SerializeToString()


def caffe_logits(weights):
    """Caffe's net in plain torch: BGR minus the mean; fc6 takes its map in the order C-H-W."""
    tensors = {k: [torch.from_numpy(a) for a in arrays] for k, arrays in weights.items()}

    def logits(rgb):
        bgr = rgb[..., ::-1].astype(np.float32) - np.float32([103.939, 116.779, 123.68])
        x = torch.from_numpy(bgr.transpose(2, 0, 1).copy())[None]
        block = 1
        for layer, (weight, bias) in tensors.items():
            if x.ndim == 4 and (layer.startswith('fc') or int(layer[4]) > block):
                x, block = F.max_pool2d(x, 2), block + 1
            if layer.startswith('fc'):
                x = x.flatten(1) @ weight.T + bias
                x = x if layer == 'fc8' else x.relu()
            else:
                x = F.conv2d(x, weight, bias, padding=1).relu()
        return x

    return logits
