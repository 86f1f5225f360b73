"""A-LRN's local response normalisation against torch's, and its iteration against A's.

    python benchmarks/lrn_speed.py [--batch 4] [--repetitions 5]

The layer: a map of conv1_1 at a crop of 224, (batch, 64, 224, 224) in channels_last as in training,
forward and backward; outputs and gradients are compared before anything is timed. The nets: full
width, a whole training iteration, A-LRN with each of the two layers. All take turns. Writes
benchmarks/results/lrn_speed.json.
"""

import argparse
import json
from functools import partial
from pathlib import Path

import torch
import torch.nn as nn
from machine import describe, results_folder
from timing import in_turn, ratios, seconds, spread

from vgg_mm.kernels import BandLocalResponseNorm, accelerate
from vgg_mm.models import VGG
from vgg_mm.models.backbones.vgg import ALEXNET_LRN

A, OWN, TORCHS = 'A', 'A-LRN, vgg_mm', "A-LRN, torch's layer"
LAYERS = {OWN: BandLocalResponseNorm, TORCHS: nn.LocalResponseNorm}


def run(module: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Forward and backward: output and the input's gradient."""
    module.zero_grad()
    x = x.detach().requires_grad_()
    y = module(x)
    y = y[-1] if isinstance(y, tuple) else y
    y.backward(torch.ones_like(y))
    return y.detach(), x.grad


def nets() -> dict[str, nn.Module]:
    """A and A-LRN with each layer, all with the same weights."""
    made = {name: VGG(name.partition(',')[0], init_cfg='kaiming') for name in (A, OWN, TORCHS)}
    for net in made.values():
        net.load_state_dict(made[A].state_dict())
        accelerate(net.train())
    made[TORCHS].lrn1 = nn.LocalResponseNorm(**ALEXNET_LRN)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--batch', type=int, default=4)
    parser.add_argument('--repetitions', type=int, default=5)
    parser.add_argument('--out', type=Path, help='default: in benchmarks/results')
    args = parser.parse_args()
    torch.manual_seed(0)
    x = 50 * torch.randn(args.batch, 64, 224, 224).to(memory_format=torch.channels_last)
    layers = {kind: layer(**ALEXNET_LRN) for kind, layer in LAYERS.items()}
    torch.testing.assert_close(*(run(layer, x) for layer in layers.values()))
    image = 50 * torch.randn(args.batch, 3, 224, 224)
    found = {
        kind: in_turn(
            {name: partial(seconds, run, module, data) for name, module in modules.items()},
            args.repetitions,
        )
        for kind, modules, data in (('layer', layers, x), ('iteration', nets(), image))
    }
    layer, iteration = found['layer'], found['iteration']
    print(f"the layer: {spread(ratios(layer[TORCHS], layer[OWN]))} times as fast as torch's")
    for name in (OWN, TORCHS):
        print(f"{name}: {spread(ratios(iteration[name], iteration[A]))} times A's iteration")
    result = dict(describe('torch'), batch=args.batch, seconds=found)
    (args.out or results_folder() / 'lrn_speed.json').write_text(json.dumps(result, indent=1))


if __name__ == '__main__':
    main()
