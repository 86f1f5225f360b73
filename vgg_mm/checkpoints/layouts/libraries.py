"""The layouts of other libraries. A new one is an entry in :data:`LAYOUTS`."""

import re
from collections.abc import Callable
from typing import Optional

import torch

from ..known_weights import identify
from ..preprocessing import CENTRED_BGR, CENTRED_RGB, STANDARDISED_RGB, Preprocessing
from ..weights import FIRST_WEIGHT, Weights
from .layout import (
    Layout,
    Table,
    conv_names,
    flat_fc,
    from_hwc,
    module_indices,
    reduced_fc,
    sequential_tables,
    split_name,
    without_head,
)

#: The authors' names are this package's.
AUTHORS_FC = {name: name for name in ('fc6', 'fc7', 'fc8')}

#: Other libraries' names for 'weight' and 'bias'.
KINDS = {
    **dict.fromkeys(('0', 'w', 'gamma'), 'weight'),
    **dict.fromkeys(('1', 'b', 'beta'), 'bias'),
}


def _layer_and_kind(*patterns: str) -> Callable[[str, torch.Tensor], Optional[tuple[str, str]]]:
    """A ``layer_of`` for names that match one of the patterns, of a layer and a kind."""
    compiled = [re.compile(pattern) for pattern in patterns]

    def layer_of(name: str, tensor: torch.Tensor) -> Optional[tuple[str, str]]:
        match = next(filter(None, (pattern.fullmatch(name) for pattern in compiled)), None)
        return match and (match[1], KINDS.get(match[2], match[2]))

    return layer_of


def _authors_tables(arch: str) -> list[Table]:
    return [{f'conv{name}': f'conv{name}' for name in conv_names(arch)} | AUTHORS_FC]


# torchvision: ``features.N``, a list of all layers, and ``classifier.N``. The same list without
# ``features`` before it is what SSD, losses by features and style transfer keep of VGG, some of
# them cut into ``slice1`` to ``slice5``.

TORCHVISION_FC = {'classifier.0': 'fc6', 'classifier.3': 'fc7', 'classifier.6': 'fc8'}

#: Until 2017 (torchvision 0.1), with a dropout before each.
OLD_FC = {'classifier.1': 'fc6', 'classifier.4': 'fc7', 'classifier.6': 'fc8'}

#: ``VGG16_Weights.IMAGENET1K_FEATURES``: other weights with other pre-processing, in a whole net
#: whose classifier is not a number.
FEATURES_PREPROCESSING = Preprocessing(True, (122.999, 116.999, 103.999), (1.0, 1.0, 1.0))


def _without_classifier(weights: Weights) -> bool:
    bias = weights.get('classifier.6.bias')
    return bias is not None and bool(bias.isnan().all())


TORCHVISION = Layout(
    name='torchvision',
    looks_like='features.0.weight',
    preprocessing=STANDARDISED_RGB,
    tables=lambda arch: sequential_tables(
        arch, 'features.', TORCHVISION_FC, OLD_FC, reduced_fc(arch, 'features.')
    ),
    layer_of=split_name,
    tensor_of=flat_fc,
    applies=lambda weights: not _without_classifier(weights),
    positional=True,
)

TORCHVISION_FEATURES = TORCHVISION._replace(
    name='torchvision, features only',
    preprocessing=FEATURES_PREPROCESSING,
    tables=lambda arch: sequential_tables(arch, 'features.', {}),
    applies=_without_classifier,
)

SEQUENTIAL = TORCHVISION._replace(
    name='torchvision, a numbered list',
    looks_like='0.weight',
    tables=lambda arch: sequential_tables(arch, '', {}, reduced_fc(arch, '')),
    layer_of=_layer_and_kind(r'(?:slice\d+\.)?(\d+)\.(\w+)'),
    applies=lambda weights: True,
)


# timm: torchvision's ``features.N``; the fully-connected layers are convolutions.

TIMM_FC = {'pre_logits.fc1': 'fc6', 'pre_logits.fc2': 'fc7', 'head.fc': 'fc8'}

TIMM = Layout(
    name='timm',
    looks_like='pre_logits.fc1.weight',
    preprocessing=STANDARDISED_RGB,
    tables=lambda arch: sequential_tables(arch, 'features.', TIMM_FC),
    layer_of=split_name,
    tensor_of=flat_fc,
)


# MMPretrain: ``backbone.features.N`` holds ``conv`` and ``bn``, then ``classifier.N``.


def _mmpretrains_tables(arch: str) -> list[Table]:
    plain = {f'features.{i}.conv': f'conv{name}' for i, name in module_indices(arch, 1)}
    norms = {f'features.{i}.bn': f'bn{name}' for i, name in module_indices(arch, 1)}
    return [plain | TORCHVISION_FC, plain | norms | TORCHVISION_FC]


def _mmpretrains_layer_of(name: str, tensor: torch.Tensor) -> Optional[tuple[str, str]]:
    found = split_name(name, tensor)
    return found and (found[0].removeprefix('backbone.'), found[1])


MMPRETRAIN = Layout(
    name='MMPretrain',
    looks_like='backbone.features.0.conv.weight',
    preprocessing=STANDARDISED_RGB,
    tables=_mmpretrains_tables,
    layer_of=_mmpretrains_layer_of,
    tensor_of=flat_fc,
    positional=True,
)


# Caffe, the authors' release: images are BGR minus the mean, and fc6 takes the map in the order
# C-H-W, as in PyTorch. Caffe numbers a layer's weights; Caffe2 adds ``_w`` and ``_b`` to the names.


def _from_caffe(layer: str, kind: str, tensor: torch.Tensor, channels: int) -> torch.Tensor:
    """Without the dimensions of 1 that files of 2014 put before those of a weight."""
    if kind == 'bias':
        return tensor.flatten()
    if tensor.ndim == 4 and layer.startswith('fc') and tensor.shape[:2] == (1, 1):
        return tensor[0, 0]
    return flat_fc(layer, kind, tensor, channels)


CAFFE = Layout(
    name='Caffe',
    looks_like='conv1_1.blobs.0',
    preprocessing=CENTRED_BGR,
    tables=_authors_tables,
    layer_of=_layer_and_kind(r'(\w+)_([wb])(?:_0)?', r'(.+)\.blobs\.([01])'),
    tensor_of=_from_caffe,
)


# Keras: kernels in the order H-W-in-out, and fc1 takes the map in the order H-W-C. The published
# files and those of ``model.save('...h5')`` name the layers (``block1_conv1``), of nets of one's
# own they number them (``conv2d_1``), as ``model.save_weights('....weights.h5')`` of Keras 3 does.
# Files of 2015 and 2016 for Theano have kernels in the order out-in-H-W, most of them turned by 180
# degrees.

KERAS_FC = {'fc1': 'fc6', 'fc2': 'fc7', 'predictions': 'fc8'}
NUMBERED_FC = {'dense': 'fc6', 'dense_1': 'fc7', 'dense_2': 'fc8'}
#: Of Keras 1, which counted from 1.
KERAS_1_FC = {'dense_1': 'fc6', 'dense_2': 'fc7', 'dense_3': 'fc8'}

_NAMED = re.compile(r'(?:^|/)(block\d_conv\d|fc[12]|predictions)/')
_NUMBERED = re.compile(
    r'(?:^|/)((?:conv2d|convolution2d|dense)(?:_\d+)?)/'
    r'(?:vars/[01]|.*(?:kernel|bias|_W|_b)\w*(?::0)?)$'
)
_PARAMETER = re.compile(r'(?:^|/)(layer_\d+)/param_[01]$')


def _keras_tables(arch: str) -> list[Table]:
    names = conv_names(arch)
    named = {'block{}_conv{}'.format(*name.split('_')): f'conv{name}' for name in names}
    numbered = {f'conv2d_{i}' if i else 'conv2d': f'conv{name}' for i, name in enumerate(names)}
    keras_1 = {f'convolution2d_{i}': f'conv{name}' for i, name in enumerate(names, 1)}
    # In 2015 every layer was counted: a padding before each convolution, poolings, then a
    # flattening and dropouts.
    of_2015 = {f'layer_{i + 1}': f'conv{name}' for i, name in module_indices(arch, 2)}
    flattened = max(i for i, _ in module_indices(arch, 2)) + 3
    of_2015 |= {f'layer_{flattened + 1 + 2 * i}': f'fc{6 + i}' for i in range(3)}
    return [named | KERAS_FC, numbered | NUMBERED_FC, keras_1 | KERAS_1_FC, of_2015]


def _keras_layer_of(name: str, tensor: torch.Tensor) -> Optional[tuple[str, str]]:
    if 'optimizer' in name:  # optimisers keep arrays under the layers' names, too
        return None
    match = _NAMED.search(name) or _NUMBERED.search(name) or _PARAMETER.search(name)
    return match and (match[1], 'bias' if tensor.ndim == 1 else 'weight')


def _without_averages(weights: Weights, meta: dict, sources: dict[str, str]) -> Weights:
    """Leave out layers after a global pooling, and refuse those that may be.

    Flattening a 1x1 map and averaging over a map both give one number per channel: only the model's
    description distinguishes them.
    """
    fc6 = weights.get('head.fc6.weight')
    named = _NAMED.search(sources.get('head.fc6.weight', ''))
    channels = max(len(t) for name, t in weights.items() if name.startswith('backbone.'))
    if fc6 is None or named or fc6.shape[1] > channels:
        return weights
    if 'flattens' not in meta:
        raise ValueError(
            f'{sources["head.fc6.weight"]} has {fc6.shape[1]} inputs, one per channel: this is '
            'a flattened 1x1 map (VGG) or global average pooling. Save the whole model, which '
            "tells them apart: model.save('NAME.keras')"
        )
    return weights if meta['flattens'] else without_head(weights)


def _from_theano(layer: str, kind: str, tensor: torch.Tensor, channels: int) -> torch.Tensor:
    """fc1 takes the map in the order C-H-W, as in PyTorch."""
    return tensor.t().contiguous() if tensor.ndim == 2 else tensor


def _unrotated(weights: Weights, meta: dict, sources: dict[str, str]) -> Weights:
    """Kernels for a correlation. Their direction is known from the origin of the first one."""
    identity = identify(weights[FIRST_WEIGHT], weights.get('backbone.conv1_1.bias'))
    if identity is None:
        raise ValueError(
            f'{sources[FIRST_WEIGHT]} is in the order of Theano: whether its kernels are rotated '
            "by 180 degrees (th_kernels) or not (tf_kernels) is known only of the authors' weights"
            '. Save the weights with Keras 2 or newer'
        )
    turned = {
        name: tensor.flip(2, 3) if identity.rotated and tensor.ndim == 4 else tensor
        for name, tensor in weights.items()
    }
    return _without_averages(turned, meta, sources)


KERAS = Layout(
    name='Keras',
    looks_like='block1_conv1/kernel',
    preprocessing=CENTRED_BGR,
    tables=_keras_tables,
    layer_of=_keras_layer_of,
    tensor_of=from_hwc,
    positional=True,
    finish=_without_averages,
)

KERAS_THEANO = KERAS._replace(name='Keras for Theano', tensor_of=_from_theano, finish=_unrotated)


# The authors' weights as TensorFlow users have them: kernels H-W-in-out, fc6 for maps in H-W-C.
# ``vgg16.npy`` and ``vgg19.npy`` are dicts of lists (``conv1_1`` -> kernel, bias), or of dicts (of
# ``caffe-tensorflow``); ``vgg16_weights.npz`` has ``conv1_1_W`` and ``conv1_1_b``, for RGB images.

_TENSORFLOW = re.compile(r'(conv\d_\d|fc\w+)[_/](?:W|b|weights|biases|[01])(?:/0)?')


def _tensorflows_layer_of(name: str, tensor: torch.Tensor) -> Optional[tuple[str, str]]:
    match = _TENSORFLOW.fullmatch(name)
    return match and (match[1], 'bias' if tensor.ndim == 1 else 'weight')


TENSORFLOW = Layout(
    name='TensorFlow',
    looks_like='conv1_1_W',
    preprocessing=CENTRED_BGR,
    tables=_authors_tables,
    layer_of=_tensorflows_layer_of,
    tensor_of=from_hwc,
)


# MatConvNet: the authors' names, kernels H-W-in-out, fc6 to fc8 as convolutions, RGB.


def _from_matconvnet(layer: str, kind: str, tensor: torch.Tensor, channels: int) -> torch.Tensor:
    """MATLAB leaves out last dimensions of 1."""
    if kind != 'bias':
        tensor = tensor.reshape(*tensor.shape, *(1,) * (4 - tensor.ndim))
    return from_hwc(layer, kind, tensor, channels)


MATCONVNET = Layout(
    name='MatConvNet',
    looks_like='layers/conv1_1/0',
    preprocessing=CENTRED_RGB,
    tables=_authors_tables,
    layer_of=_layer_and_kind(r'layers/(\w+)/([01])'),
    tensor_of=_from_matconvnet,
)


# MXNet's model zoo, whose VGG the ONNX zoo has: each kind of layer is counted from 0.

MXNET_FC = {'dense0': 'fc6', 'dense1': 'fc7', 'dense2': 'fc8'}


def _mxnets_tables(arch: str) -> list[Table]:
    convs = {f'conv{i}': f'conv{name}' for i, name in enumerate(conv_names(arch))}
    norms = {f'batchnorm{i}': f'bn{name}' for i, name in enumerate(conv_names(arch))}
    return [convs | MXNET_FC, convs | norms | MXNET_FC]


MXNET = Layout(
    name='MXNet',
    looks_like='vgg0_conv0_weight',
    preprocessing=STANDARDISED_RGB,
    tables=_mxnets_tables,
    layer_of=_layer_and_kind(r'(?:vgg\d+_)?((?:conv|batchnorm|dense)\d+)_(\w+)'),
    tensor_of=flat_fc,
)


# This package's names without a prefix: a backbone's or a head's own state dict, or the
# authors' release as others converted it. They get the prefixes of a classifier.


def _own_tables(arch: str) -> list[Table]:
    (plain,) = _authors_tables(arch)
    return [plain, plain | {f'bn{name}': f'bn{name}' for name in conv_names(arch)}]


BARE = Layout(
    name='vgg_mm, without prefixes',
    looks_like='conv1_1.weight',
    preprocessing=None,
    tables=_own_tables,
    layer_of=split_name,
    tensor_of=flat_fc,
)


#: Where two fit equally, the first is used.
LAYOUTS = (
    TORCHVISION, TORCHVISION_FEATURES, TIMM, MMPRETRAIN, CAFFE, KERAS, KERAS_THEANO, TENSORFLOW,
    MATCONVNET, MXNET, BARE, SEQUENTIAL,
)  # fmt: skip
