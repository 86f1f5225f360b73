"""Pictures of the paper's nets, drawn from the tables in the code.

    python docs/figures/networks.py PHOTO --out docs/images

writes ``networks.png``, the nets of Table 1 layer by layer, and ``receptive_fields.jpg``, what a
position of net D's maps sees of a photo.
"""

import argparse
import os
from collections.abc import Sequence

import cv2
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from vgg_mm.apis.net_table import layers
from vgg_mm.architectures import ARCHITECTURES, BASE_CHANNELS, BLOCK_WIDTHS
from vgg_mm.visualization.style import BLUE, GREY, INK, ORANGE, OUTSIDE, PINK, TEAL, plot_style

CROP = 224
COLORS = {1: ORANGE, 3: BLUE, 5: PINK}
ROWS = max(len(block) for net in ARCHITECTURES.values() for block in net.kernels)


def draw_networks(path: str) -> None:
    """A column a net, the blocks side by side in all of them."""
    with plot_style():
        figure = Figure(figsize=(10, 7))
        axes = figure.add_axes((0.16, 0.02, 0.66, 0.86))
        for column, name in enumerate(ARCHITECTURES):
            draw_network(axes, name, column)
        for block, width in enumerate(BLOCK_WIDTHS):
            side = CROP // 2**block
            text = f'{width * BASE_CHANNELS} channels\n{side} x {side}'
            axes.text(-0.6, block * (ROWS + 1) + ROWS / 2, text, ha='right', va='center')
        axes.text(
            -0.6, len(BLOCK_WIDTHS) * (ROWS + 1) + 1.5, 'fc6, fc7, fc8', ha='right', va='center'
        )
        axes.set(xlim=(-0.5, len(ARCHITECTURES) - 0.5), ylim=(28.5, -0.3))
        axes.axis('off')
        kinds = [Patch(color=color, label=f'{k}x{k} convolution') for k, color in COLORS.items()]
        kinds += [Patch(color=TEAL, label='LRN'), Patch(color=GREY, label='fully connected')]
        kinds += [Patch(color=INK, label='max pooling')]
        axes.legend(handles=kinds, **OUTSIDE)
        figure.savefig(path)


def draw_network(axes: Axes, name: str, column: int) -> None:
    net, rows = ARCHITECTURES[name], layers(name)
    parameters = sum(row.parameters for row in rows)
    title = f'{net.conv_layers + 3} layers\n{parameters / 1e6:.0f} million'
    axes.text(column, -1.9, name, ha='center', va='bottom', weight='bold', size=12)
    axes.text(column, -0.3, title, ha='center', va='bottom', size=9)
    for block, kernels in enumerate(net.kernels):
        top = block * (ROWS + 1)
        for row, kernel in enumerate(kernels):
            axes.add_patch(Rectangle((column - 0.35, top + row), 0.7, 0.85, color=COLORS[kernel]))
        if net.lrn and block == 0:
            axes.add_patch(Rectangle((column - 0.35, top + 1), 0.7, 0.3, color=TEAL))
        axes.add_patch(Rectangle((column - 0.35, top + ROWS + 0.1), 0.7, 0.25, color=INK))
    for row in range(3):
        top = len(BLOCK_WIDTHS) * (ROWS + 1) + row
        axes.add_patch(Rectangle((column - 0.45, top), 0.9, 0.85, color=GREY))


def draw_receptive_fields(photo_path: str, path: str) -> None:
    """Of the last convolution of each block of net D: on a photo at Q = 256, and as numbers."""
    photo = cv2.imread(photo_path)
    if photo is None:
        raise SystemExit(f'error: {photo_path}: no image')
    height, width = photo.shape[:2]
    scale = 256 / min(height, width)
    size = round(width * scale), round(height * scale)
    photo = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)[..., ::-1]
    rows = [row for row in layers('D') if row.name.startswith('conv')]
    ends = [
        r
        for r, after in zip(rows, [*rows[1:], None])
        if after is None or r.name[4] != after.name[4]
    ]
    with plot_style():
        figure = Figure(figsize=(10, 4.2))
        wide = 3.6 * size[0] / size[1] / 10
        left = figure.add_axes((0.01, 0.06, wide, 0.86))
        left.imshow(photo)
        left.axis('off')
        left.set_title('what one position sees')
        right = figure.add_axes((wide + 0.1, 0.2, 0.88 - wide, 0.72))
        colors = (ORANGE, BLUE, TEAL, PINK, GREY)
        for row, color in zip(ends, colors):
            corner = (size[0] - row.receptive_field) / 2, (size[1] - row.receptive_field) / 2
            side = row.receptive_field
            left.add_patch(Rectangle(corner, side, side, fill=False, edgecolor=color, linewidth=2))
        blocks = [int(row.name[4]) - 1 for row in rows]
        fields = [row.receptive_field for row in rows]
        bars = right.bar([row.name for row in rows], fields, color=[colors[b] for b in blocks])
        right.bar_label(bars, [str(field) for field in fields])
        right.tick_params('x', rotation=60)
        right.set_title("receptive field of net D's layers, pixels")
        figure.savefig(path, pil_kwargs={'quality': 88})


def main(args: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('photo')
    parser.add_argument('--out', default='docs/images')
    options = parser.parse_args(args)
    os.makedirs(options.out, exist_ok=True)
    draw_networks(os.path.join(options.out, 'networks.png'))
    draw_receptive_fields(options.photo, os.path.join(options.out, 'receptive_fields.jpg'))


if __name__ == '__main__':
    main()
