"""``tools/net_table.py``: the paper's Tables 1 and 2, from the code."""

from typing import Any, NamedTuple, Optional

import numpy as np
import torch
import torch.nn as nn

from vgg_mm.architectures import ARCHITECTURES, NUM_BLOCKS, Arch, resolve_arch
from vgg_mm.models import VGG, ConvHead

from .tables import format_table

#: The classifier of Section 2.1: a crop of 224 leaves a 7x7 map.
FC_CHANNELS, FC_KERNEL, CROP = 4096, 7, 224

#: AlexNet (Krizhevsky et al. 2012, Section 3.5), 227x227 input, split over two GPUs:
#: (layer, kernel, input channels each filter sees, output channels, side of its output).
ALEXNET = (
    ('conv1', 11, 3, 96, 55),
    ('conv2', 5, 48, 256, 27),
    ('conv3', 3, 256, 384, 13),
    ('conv4', 3, 192, 384, 13),
    ('conv5', 3, 192, 256, 13),
    ('fc6', 6, 256, 4096, 1),
    ('fc7', 1, 4096, 4096, 1),
    ('fc8', 1, 4096, 1000, 1),
)


class LayerRow(NamedTuple):
    """One layer of a net.

    ``stride`` and ``receptive_field`` are those of its output with respect to the image, in pixels;
    ``output`` is (channels, height, width).
    """

    name: str
    kernel: int
    stride: int
    receptive_field: int
    output: tuple[int, int, int]
    parameters: int
    multiply_adds: int


def layers(arch: Arch, num_classes: int = 1000, size: int = CROP) -> list[LayerRow]:
    """All layers of a net at the paper's width, for an image of ``size`` x ``size``.

    Above 224 the fully-connected layers are convolutions over a larger map (Section 3.2).

    Raises:
        ValueError: if the net is unknown, ``size`` is below 224 or ``num_classes`` below 1.
    """
    if size < CROP:
        raise ValueError(f'net_table: size must be at least {CROP}, got {size}')
    if num_classes < 1:
        raise ValueError(f'net_table: num_classes must be positive, got {num_classes}')
    rows: list[LayerRow] = []

    def note(name: str, layer: nn.Module, output: torch.Tensor) -> None:
        stride, field = (rows[-1].stride, rows[-1].receptive_field) if rows else (1, 1)
        kernel = int(np.max(getattr(layer, 'kernel_size', 1)))
        field += (kernel - 1) * stride
        if isinstance(layer, nn.MaxPool2d):
            stride *= int(np.max(layer.stride))
        shape = (*output.shape[1:],)
        parameters = sum(parameter.numel() for parameter in layer.parameters())
        cost = multiply_adds(layer, output)
        rows.append(LayerRow(name, kernel, stride, field, shape, parameters, cost))

    # Shapes alone: nothing is computed.
    with torch.device('meta'):
        backbone, head = VGG(arch), ConvHead(num_classes)
        for name, layer in [*backbone.named_children(), *head.named_children()]:
            if name.startswith(('conv', 'lrn', 'pool', 'fc')):
                layer.register_forward_hook(lambda layer, _, out, name=name: note(name, layer, out))
        with torch.no_grad():
            head.score_map(backbone(torch.empty(1, 3, size, size)))
    return rows


def multiply_adds(layer: nn.Module, output: Any) -> int:
    """Those of a layer's forward pass, by its output.

    A weight is used once at every position of the output, in convolutions, matrix products and
    norms alike. Biases are not counted.
    """
    weight = getattr(layer, 'weight', None)
    if not isinstance(weight, torch.Tensor) or not isinstance(output, torch.Tensor):
        return 0
    return output.numel() // len(weight) * weight.numel()


def alexnet_totals() -> tuple[int, int]:
    """AlexNet's parameters and multiply-adds."""
    weights = [(out * inp * k**2, out, side) for _, k, inp, out, side in ALEXNET]
    return sum(w + out for w, out, _ in weights), sum(w * side**2 for w, _, side in weights)


def stack_weights(n: int, channels: int = 512) -> tuple[int, int]:
    """Weights of n stacked 3x3 layers and of one (2n+1)x(2n+1), C to C channels (Section 2.3)."""
    return n * 9 * channels**2, (2 * n + 1) ** 2 * channels**2


def configurations(num_classes: int = 1000, markdown: bool = False) -> str:
    """Table 1: the layers of every net, a column each."""
    columns: dict[str, list[list[str]]] = {}
    for arch in ARCHITECTURES:
        columns[arch] = [[] for _ in range(NUM_BLOCKS)]
        for row in layers(arch, num_classes):
            if row.name.startswith('conv'):
                text = f'conv{row.kernel}-{row.output[0]}'
                columns[arch][int(row.name[4]) - 1].append(text)
            elif row.name == 'lrn1':
                columns[arch][0].append('LRN')
    rows: list[list[str]] = []
    for block in range(NUM_BLOCKS):
        height = max(len(column[block]) for column in columns.values())
        for line in range(height):
            rows.append(
                ['', *(c[block][line] if line < len(c[block]) else '' for c in columns.values())]
            )
        rows[-height][0] = f'block {block + 1}'
        rows.append(['', *['maxpool'] * len(columns)])
    for row in layers('A', num_classes)[-3:]:
        rows.append([row.name, *[f'FC-{row.output[0]}'] * len(columns)])
    rows.append(['', *['soft-max'] * len(columns)])
    return format_table(['', *columns], rows, markdown)


def totals(num_classes: int = 1000, size: int = CROP, markdown: bool = False) -> str:
    """Table 2, with the cost of one image; AlexNet for comparison."""
    rows = []
    for arch, architecture in ARCHITECTURES.items():
        table = layers(arch, num_classes, size)
        parameters, macs = sum(r.parameters for r in table), sum(r.multiply_adds for r in table)
        rows.append(_total(arch, architecture.conv_layers + 3, parameters, macs))
    rows.append(_total('AlexNet', len(ALEXNET), *alexnet_totals()))
    headers = ('net', 'weight layers', 'parameters', 'millions', 'G multiply-adds', 'GFLOPs')
    return format_table(headers, rows, markdown)


def _total(name: str, depth: int, parameters: int, macs: int) -> list[str]:
    millions = f'{parameters / 1e6:.0f}'
    return [name, str(depth), f'{parameters:,}', millions, f'{macs / 1e9:.2f}', f'{macs / 5e8:.2f}']


def stacks(markdown: bool = False) -> str:
    """Section 2.3: n layers of 3x3 against one layer with the same receptive field."""
    rows = []
    for n in range(1, 5):
        stacked, single = stack_weights(n, channels=1)
        side = 2 * n + 1
        ratio = f'{single / stacked:.2f}'
        rows.append([n, f'{side}x{side}', f'{stacked} C^2', f'{single} C^2', ratio])
    headers = ('3x3 layers', 'receptive field', 'their weights', 'one layer', 'ratio')
    return format_table(headers, rows, markdown)


def layer_table(
    net: Arch, num_classes: int = 1000, size: int = CROP, markdown: bool = False
) -> str:
    """Every layer of one net, with totals."""
    table = layers(net, num_classes, size)
    rows = [
        [
            row.name,
            '' if row.name == 'lrn1' else f'{row.kernel}x{row.kernel}',
            row.stride,
            row.receptive_field,
            'x'.join(map(str, row.output)),
            f'{row.parameters:,}',
            f'{row.multiply_adds / 1e6:,.1f}',
        ]
        for row in table
    ]
    parameters, macs = sum(r.parameters for r in table), sum(r.multiply_adds for r in table)
    rows.append(['total', '', '', '', '', f'{parameters:,}', f'{macs / 1e6:,.1f}'])
    headers = ('layer', 'kernel', 'stride', 'field', 'output', 'parameters', 'M multiply-adds')
    return format_table(headers, rows, markdown)


def report(
    net: Optional[str] = None, num_classes: int = 1000, size: int = CROP, markdown: bool = False
) -> str:
    """What the tool prints: every net, or the layers of one.

    Args:
        net: A name of Table 1 or a depth ('16', 'vgg16'); None prints the tables of all nets.
        num_classes: Width of fc8.
        size: Side of the (square) image in pixels, at least 224.
        markdown: Markdown tables instead of plain ones.
    """
    if net is not None:
        arch = resolve_arch(net)
        title = f'Net {arch} at {size}x{size} (stride and receptive field in pixels of the image)'
        return f'{title}\n\n{layer_table(arch, num_classes, size, markdown)}'
    return '\n\n'.join(
        [
            'Table 1: the nets (convK-C: K x K convolution with C channels, each with a ReLU)',
            configurations(num_classes, markdown),
            f'Table 2: parameters, and cost of one {size}x{size} image (AlexNet: 227x227)',
            totals(num_classes, size, markdown),
            'Section 2.3: weights from C to C channels, biases aside',
            stacks(markdown),
        ]
    )
