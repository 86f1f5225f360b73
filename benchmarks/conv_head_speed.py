"""ConvHead against plain linear layers at a crop of 224, and against a convolution on larger maps.

python benchmarks/conv_head_speed.py [--batch 32] [--repetitions 9]

At 224: one forward and backward pass. On the maps of 4:3 photos at Q = 256, 384, 512 (a photo and
its flip): the forward pass of fc6, as this package computes it and by ``conv2d`` with the same
weight. All have the same weights and outputs (which is checked), and take turns. Prints medians and
their ratios, and writes benchmarks/results/conv_head_speed.json.
"""

import argparse
import json
import statistics
from functools import partial
from pathlib import Path

import torch
import torch.nn as nn
from timing import in_turn, ratios, seconds, spread

from vgg_mm.models import ConvHead

RESULT = Path(__file__).parent / 'results' / 'conv_head_speed.json'


def plain_head(head: ConvHead) -> nn.Sequential:
    """torchvision's form of the classifier, with the same weights."""
    layers = []
    for folded in (head.fc6, head.fc7, head.fc8):
        linear = nn.Linear(folded.in_features, folded.out_features)
        linear.load_state_dict(folded.state_dict())
        layers += [linear, nn.ReLU(inplace=True), nn.Dropout(0.5)]
    return nn.Sequential(nn.Flatten(), *layers[:-2])


def step(module: nn.Module, x: object, labels: torch.Tensor) -> None:
    module.zero_grad()
    nn.functional.cross_entropy(module(x), labels).backward()


def dense_times(head: ConvHead, repetitions: int) -> dict[str, dict[str, list[float]]]:
    """Seconds of fc6 on larger maps, by test scale and kind."""
    kinds = {
        'ConvHead': head.fc6,
        'conv2d': lambda x: nn.functional.conv2d(x, head.fc6.kernel, head.fc6.bias),
    }
    times = {}
    for scale, size in {'256': (8, 10), '384': (12, 16), '512': (16, 21)}.items():
        x = torch.randn(2, 512, *size).to(memory_format=torch.channels_last)
        torch.testing.assert_close(*(layer(x) for layer in kinds.values()), rtol=1e-4, atol=1e-4)
        runs = {kind: partial(seconds, layer, x) for kind, layer in kinds.items()}
        times[scale] = in_turn(runs, repetitions)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--batch', type=int, default=32)
    parser.add_argument('--repetitions', type=int, default=9)
    args = parser.parse_args()
    torch.manual_seed(0)
    ours = ConvHead(1000)
    ours.init_weights()
    plain = plain_head(ours)
    x = torch.randn(args.batch, 512, 7, 7, requires_grad=True)
    labels = torch.randint(1000, (args.batch,))
    torch.testing.assert_close(ours.eval()((x,)), plain.eval()(x))
    ours.train()
    plain.train()
    runs = {
        'ConvHead': partial(seconds, step, ours, (x,), labels),
        'plain': partial(seconds, step, plain, x, labels),
    }
    times = in_turn(runs, args.repetitions)
    medians = {name: statistics.median(values) for name, values in times.items()}
    against_plain = ratios(times['ConvHead'], times['plain'])
    with torch.no_grad():
        dense = dense_times(ours.eval(), args.repetitions)
    result = dict(
        dense_seconds=dense,
        batch=args.batch,
        seconds=times,
        medians=medians,
        ratio=statistics.median(against_plain),
        spread=[min(against_plain), max(against_plain)],
        threads=torch.get_num_threads(),
        torch=torch.__version__,
    )
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1))
    print(
        f'ConvHead {medians["ConvHead"]:.3f} s, plain {medians["plain"]:.3f} s, '
        f'ratio {spread(against_plain, ".3f")}'
    )
    for scale, kinds in dense.items():
        ours_s, conv_s = (statistics.median(kinds[kind]) for kind in ('ConvHead', 'conv2d'))
        print(
            f'fc6 at Q = {scale}: ConvHead {ours_s:.3f} s, conv2d {conv_s:.3f} s, '
            f'{conv_s / ours_s:.2f} times as fast'
        )


if __name__ == '__main__':
    main()
