"""``tools/convert_weights.py``: other libraries' weights as a checkpoint of this package."""

import io
import math
import os
from typing import NamedTuple, Optional, Union

import torch

from vgg_mm.architectures import BASE_CHANNELS, BLOCK_WIDTHS, DEPTH_TO_ARCH, STRIDE, resolve_arch
from vgg_mm.checkpoints import (
    Preprocessing,
    has_own_names,
    loading_safely,
    noted_preprocessing,
    read_by_name,
    recorded_classes,
    run_checkpoint,
    unknown_layout,
    weights_of,
    write_atomically,
)
from vgg_mm.checkpoints.config_text import parse_config_text
from vgg_mm.checkpoints.from_classifier import NORMS, norms_in
from vgg_mm.checkpoints.layouts import recognise, to_own_layout
from vgg_mm.checkpoints.preprocessing import (
    CENTRED_BGR,
    CENTRED_RGB,
    STANDARDISED_RGB,
    note_preprocessing,
)
from vgg_mm.checkpoints.weights import Weights, averaged_weights, first_of, misfits
from vgg_mm.installation import argument, check_choice
from vgg_mm.models import VGG, ConvHead
from vgg_mm.text import first_few, printable, shortened
from vgg_mm.zoo import PREFIX, RGB_PREFIX

from .net_table import CROP
from .tables import format_table, say

#: Values of ``preprocessing``.
PREPROCESSING = {'torchvision': STANDARDISED_RGB, 'caffe': CENTRED_BGR, 'paper': CENTRED_RGB}

PARTS = ('backbone.', 'head.')

#: Maximum number of omitted names in a line.
SHOWN = 2


class Net(NamedTuple):
    """The net that weights belong to.

    ``fc_channels`` and ``kernel_size`` are None without fc6 and fc7, ``num_classes`` without fc8;
    where fc8 is alone, on the averaged last map, ``fc_channels`` is ().
    """

    arch: str
    base_channels: int
    norm: bool
    num_classes: Optional[int] = None
    fc_channels: Optional[tuple[int, ...]] = None
    kernel_size: Optional[int] = None
    in_channels: int = 3

    def __str__(self) -> str:
        depths = {arch: f' (VGG-{depth})' for depth, arch in DEPTH_TO_ARCH.items()}
        norm = 'batch norm' if self.norm else 'no norm'
        text = f'{self.arch}{depths.get(self.arch, "")}, {norm}, width {self.base_channels}'
        if self.in_channels != 3:
            text += f', images of {self.in_channels} channel{"s" * (self.in_channels > 1)}'
        if self.fc_channels is None:
            return f'{text}, without fully-connected layers'
        if self.fc_channels:
            text += f', fc6/fc7 {"/".join(map(str, self.fc_channels))}'
        else:
            text += ', global average pooling'
        if self.is_reduced:
            text += " (SSD's and DeepLab's, fc6 3x3)"
        return f'{text}, {f"{self.num_classes} classes" if self.num_classes else "without fc8"}'

    @property
    def crop(self) -> int:
        """Side of the crops that fc6 takes, in pixels; the paper's without it."""
        if self.kernel_size is None or not self.fc_channels or self.is_reduced:
            return CROP
        return STRIDE * self.kernel_size

    @property
    def is_reduced(self) -> bool:
        """Whether fc6 and fc7 are sub-sampled for SSD or DeepLab: no classifier has them."""
        return self.num_classes is None and self.kernel_size == 3

    def backbone_config(self) -> dict:
        norm = dict(norm_cfg=dict(type='BN')) if self.norm else {}
        channels = dict(in_channels=self.in_channels) if self.in_channels != 3 else {}
        return dict(arch=self.arch, base_channels=self.base_channels, **norm, **channels)

    def head_config(self) -> Optional[dict]:
        """Arguments of :class:`ConvHead`, without ``num_classes`` if there is no fc8; None if
        there is no fc6 and fc7 for it."""
        if self.fc_channels is None or self.is_reduced:
            return None
        classes = dict(num_classes=self.num_classes) if self.num_classes else {}
        return dict(
            **classes,
            in_channels=self.base_channels * BLOCK_WIDTHS[-1],
            fc_channels=self.fc_channels,
            kernel_size=self.kernel_size,
        )


class Converted(NamedTuple):
    """Weights in this package's layout, in FC form, and where they come from.

    ``sources`` maps their names to the file's; ``left_out`` are the file's that no layer has;
    ``averaged`` says which were used if the file contains EMA weights as well.
    """

    weights: Weights
    net: Net
    layout: str
    preprocessing: Optional[Preprocessing]
    sources: dict[str, str]
    left_out: list[str]
    classes: Optional[tuple[str, ...]]
    averaged: str = ''

    def unused(self) -> str:
        """Weights of the file that no layer uses, as text; '' if there are none."""
        # Keras's optimisers store arrays in addition to the weights.
        names = [printable(name) for name in self.left_out if 'optimizer' not in name]
        return f'{first_few(names, SHOWN)}: of no layer of the net' if names else ''

    def checkpoint(self) -> dict:
        """As it is written."""
        meta = dict(layout=self.layout, net=self.net._asdict())
        if self.preprocessing is not None:
            note_preprocessing(meta, self.preprocessing)
        if self.classes:
            meta['dataset_meta'] = dict(classes=self.classes)
        return dict(state_dict=self.weights, meta=meta)


def convert_weights(
    source: str,
    out: Union[str, os.PathLike],
    arch: Optional[str] = None,
    preprocessing: Optional[str] = None,
    trust_checkpoint: bool = False,
    ema: bool = False,
) -> None:
    """Read weights in any known layout, write them as a checkpoint, print a report on them.

    Args:
        source: A file, a URL, or a model of a zoo (``torchvision://vgg16``).
        out: File to write, ``.pth``.
        arch: Expected net; needed for A-LRN only, whose weights are A's.
        preprocessing: One of :data:`PREPROCESSING`, instead of the layout's.
        trust_checkpoint: Run code in files that cannot be read otherwise.
        ema: Use the EMA weights, which the file must contain.

    Raises:
        ImportError: in one line, if the library for the kind of file is missing.
        OSError: if a file cannot be read or written.
        ValueError: if the layout is unknown, the weights are of no VGG, or an argument is invalid.
    """
    if not os.fspath(out).endswith('.pth'):
        raise ValueError(f'convert_weights: the file to write must end in .pth, got {out}')
    check_choice('preprocessing', preprocessing, PREPROCESSING, optional=True)
    check_is_another_file(out, source)
    with loading_safely(trust_checkpoint):
        converted = read_weights(source, arch, ema)
    if preprocessing is not None:
        given = PREPROCESSING[preprocessing]._replace(
            origin=f'recorded: as given with {argument("preprocessing")}'
        )
        converted = converted._replace(preprocessing=given)
    buffer = io.BytesIO()
    torch.save(converted.checkpoint(), buffer)
    write_atomically(out, buffer.getvalue())
    say(report(converted))
    say(f'written: {out}')


def check_is_another_file(out: Union[str, os.PathLike], source: Union[str, os.PathLike]) -> None:
    """Refuse to overwrite the checkpoint that is read, with a ValueError.

    ``source`` may be the folder of a run, or have one of this package's prefixes.
    """
    source = os.fspath(source).removeprefix(RGB_PREFIX).removeprefix(PREFIX)
    if os.path.realpath(out) == os.path.realpath(run_checkpoint(source)):
        raise ValueError(f'{os.fspath(out)} is the file that is read: give another one to write')


def read_weights(source: str, arch: Optional[str] = None, ema: bool = False) -> Converted:
    """A net's weights from a file, URL or zoo in any known layout.

    Args:
        source, arch, ema: As of :func:`convert_weights`.

    Raises:
        ImportError, OSError, ValueError: as :func:`convert_weights`.
    """
    as_read = read_by_name(source)
    average, _ = averaged_weights(as_read)
    if ema and not average:
        raise ValueError(
            f'{source} contains no EMA weights besides the others: leave out {argument("ema")}'
        )
    try:
        loaded = to_own_layout(as_read, averaged=ema)
    except ValueError as error:
        raise ValueError(f'checkpoint {source}: {error}') from error
    found = identify_weights(loaded, source, arch)
    plain = f'plain; {argument("ema", True)} uses the EMA weights in the file'
    return found._replace(averaged='averaged (EMA)' if ema else plain if average else '')


def identify_weights(loaded: dict, source: str, arch: Optional[str] = None) -> Converted:
    """What :func:`read_weights` gives, of a checkpoint that is loaded already.

    Raises:
        ValueError: in one line, if the layout is not known or the weights are of no VGG.
    """
    weights = weights_of(loaded)
    if not has_own_names(weights):
        raise unknown_layout(weights, source)
    own = {
        name: tensor.flatten(1) if name.startswith('head.fc') and tensor.ndim == 4 else tensor
        for name, tensor in weights.items()
        if name.startswith(PARTS)
    }
    meta, conversion = loaded.get('meta') or {}, loaded.get('conversion')
    if conversion is None:
        left_out = [name for name in weights if name not in own]
        conversion = dict(sources={name: name for name in own}, left_out=left_out)
    net = identify_net(own, source, arch or _recorded_lrn(loaded))
    classes = recorded_classes(loaded)
    return Converted(
        own,
        net,
        meta.get('layout', 'vgg_mm'),
        noted_preprocessing(loaded),
        conversion['sources'],
        conversion['left_out'],
        tuple(classes) if classes else None,
    )


def recorded_backbone(loaded: dict) -> dict:
    """The settings of the net in the config of a checkpoint's training; empty where none is."""
    text = (loaded.get('meta') or {}).get('cfg')
    try:
        model = parse_config_text(text, ('model',)).get('model') if isinstance(text, str) else None
    except ValueError:  # written by another program; the weights say what the net is
        return {}
    while isinstance(model, dict) and 'module' in model:
        model = model['module']
    backbone = model.get('backbone') if isinstance(model, dict) else None
    if not isinstance(backbone, dict) or str(backbone.get('type')).split('.')[-1] != 'VGG':
        return {}
    return backbone


def _recorded_lrn(loaded: dict) -> Optional[str]:
    """Net A-LRN, which has the weights of A, where the checkpoint says so."""
    arch = str(recorded_backbone(loaded).get('arch'))
    return arch if arch.endswith('-LRN') else None


def identify_net(weights: Weights, source: str, arch: Optional[str] = None) -> Net:
    """What net the weights of a classifier or a backbone are, checked against the net itself.

    Args:
        weights: In this package's layout.
        source: Their name, for messages.
        arch: Expected net; None: any.

    Raises:
        ValueError: in one line, if it is another, or weights are missing or of the wrong shape.
    """
    bare = {name.split('.', 1)[1]: tensor for name, tensor in weights.items()}
    found = recognise(bare)
    if found is None:
        raise unknown_layout(bare, source)
    given = found.arch if arch is None else resolve_arch(arch)
    if given.removesuffix('-LRN') != found.arch:
        raise ValueError(f'{source} is net {found.arch}, not {given}')
    kind = norms_in(weights)
    if kind not in ('', 'bn'):
        raise ValueError(
            f'{source} is of a net with {NORMS[kind]}: only nets without norms or with batch norms '
            'are recognised from their weights; use it with its own config'
        )
    norm = kind == 'bn'
    width, channels = bare['conv1_1.weight'].shape[:2]
    net = Net(given, width, norm, in_channels=channels)
    if 'fc8.weight' in bare:
        net = net._replace(num_classes=len(bare['fc8.weight']), fc_channels=(), kernel_size=1)
    if 'fc6.weight' in bare:
        if 'fc7.weight' not in bare:
            raise ValueError(f'{source} has fc6.weight, but no fc7.weight')
        fc6, fc7 = bare['fc6.weight'], bare['fc7.weight']
        side = math.isqrt(fc6[0].numel() // (width * BLOCK_WIDTHS[-1]))
        net = net._replace(fc_channels=(len(fc6), len(fc7)), kernel_size=max(side, 1))
    _check(net, weights, source)
    return net


def _check(net: Net, weights: Weights, source: str) -> None:
    target: Weights = {}
    with torch.device('meta'):
        parts: dict[str, torch.nn.Module] = {'backbone': VGG(**net.backbone_config())}
        if head := net.head_config():
            parts['head'] = ConvHead(**{'num_classes': 1, **head})
    for part, module in parts.items():
        target |= {f'{part}.{name}': tensor for name, tensor in module.state_dict().items()}
    if net.num_classes is None:
        target = {name: tensor for name, tensor in target.items() if '.fc8.' not in name}
    problems = list(misfits(weights, target).values())
    # Old files have no counters of batches.
    missing = [n for n in target if n not in weights and not n.endswith('num_batches_tracked')]
    problems += [f'{name} is missing' for name in missing]
    if problems:
        raise ValueError(f'{source} is not a complete net {net}: {first_of(problems)}')


def report(converted: Converted) -> str:
    """Layout, net, pre-processing, and the use of every weight of the file."""
    unknown = f"not recorded: the config's is used; {argument('preprocessing')} records one"
    facts = [
        ('layout', converted.layout),
        ('net', converted.net),
        ('pre-processing', converted.preprocessing or unknown),
        ('model', _model_text(converted.net)),
    ]
    if converted.averaged:
        facts.append(('weights', converted.averaged))
    rows = [
        [
            shortened(converted.sources[name], 60, True),
            name,
            'x'.join(map(str, tensor.shape)) or 'scalar',
        ]
        for name, tensor in converted.weights.items()
    ]
    rows += [[shortened(name, 60, True), 'left out', ''] for name in converted.left_out]
    lines = [f'{what + ":":16}{text}' for what, text in facts]
    return '\n'.join([*lines, '', format_table(['in the file', 'here', 'shape'], rows), ''])


def _model_text(net: Net) -> str:
    """The config's lines that are not the defaults of ``configs/_base_/models/vgg.py``."""
    backbone = net.backbone_config()
    if net.base_channels == BASE_CHANNELS:
        del backbone['base_channels']
    defaults = dict(in_channels=512, fc_channels=(4096, 4096), kernel_size=7)
    head = {k: v for k, v in (net.head_config() or {}).items() if defaults.get(k) != v}
    texts = {part: _as_call(cfg) for part, cfg in (('backbone', backbone), ('head', head)) if cfg}
    return ', '.join(f'{part}={text}' for part, text in texts.items())


def _as_call(cfg: dict) -> str:
    values = {k: _as_call(v) if isinstance(v, dict) else repr(v) for k, v in cfg.items()}
    return f'dict({", ".join(f"{k}={v}" for k, v in values.items())})'
