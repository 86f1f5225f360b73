"""``tools/net_table.py``: the paper's Tables 1 and 2, from the code."""

from collections.abc import Iterator
from typing import NamedTuple, Optional

from vgg_mm.architectures import (
    ARCHITECTURES,
    BLOCK_WIDTHS,
    NUM_BLOCKS,
    Arch,
    architecture_of,
    resolve_arch,
)

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
    plan = list(_plan(arch, num_classes))
    if size < CROP:
        raise ValueError(f'net_table: size must be at least {CROP}, got {size}')
    if num_classes < 1:
        raise ValueError(f'net_table: num_classes must be positive, got {num_classes}')
    rows = []
    side, channels, stride, field = size, 3, 1, 1
    for name, kernel, width in plan:
        if name.startswith('pool'):
            side, field, stride = side // 2, field + stride, stride * 2
            parameters = macs = 0
        elif name == 'lrn1':
            parameters = macs = 0
        else:
            if name.startswith('fc'):
                side -= kernel - 1
            field += (kernel - 1) * stride
            weights = width * channels * kernel**2
            parameters, macs = weights + width, weights * side**2
            channels = width
        rows.append(LayerRow(name, kernel, stride, field, (channels, side, side), parameters, macs))
    return rows


def _plan(arch: Arch, num_classes: int) -> Iterator[tuple[str, int, int]]:
    """(name, kernel size, output channels) of every layer in order."""
    kernels, lrn = architecture_of(arch)
    for block, (block_kernels, multiple) in enumerate(zip(kernels, BLOCK_WIDTHS), start=1):
        for index, kernel in enumerate(block_kernels, start=1):
            yield f'conv{block}_{index}', kernel, 64 * multiple
            if lrn and block == index == 1:
                yield 'lrn1', 1, 64
        yield f'pool{block}', 2, 64 * multiple
    yield 'fc6', FC_KERNEL, FC_CHANNELS
    yield 'fc7', 1, FC_CHANNELS
    yield 'fc8', 1, num_classes


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
        columns[arch] = [[] for _ in BLOCK_WIDTHS]
        for name, kernel, width in _plan(arch, num_classes):
            if name.startswith('conv'):
                columns[arch][int(name[4]) - 1].append(f'conv{kernel}-{width}')
            elif name == 'lrn1':
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
    for name, width in (('fc6', FC_CHANNELS), ('fc7', FC_CHANNELS), ('fc8', num_classes)):
        rows.append([name, *[f'FC-{width}'] * len(columns)])
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
    net: Optional[str] = None,
    num_classes: int = 1000,
    size: int = CROP,
    markdown: bool = False,
) -> str:
    """What the tool prints: every net, or the layers of one.

    Args:
        net: A name of Table 1 or a depth; None prints the tables of all nets.
        num_classes: Width of fc8.
        size: Side of the (square) image in pixels, at least 224.
        markdown: Markdown tables instead of plain ones.
    """
    if net is not None:
        arch = resolve_arch(int(net) if net.isdigit() else net)
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
