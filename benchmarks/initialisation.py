"""What the paper's two possible initialisation scales do to nets A and E.

python benchmarks/initialisation.py [--iterations 300] [--base-channels 64]

Section 3.1 prints "zero mean and 10^-2 variance"; many read it as a standard deviation of 10^-2.
For A and E at full depth, and at the paper's width unless --base-channels says otherwise, on digits
with crops of 64: the magnitude of activations and gradients in every layer of the untrained net,
and its training loss with the recipe's SGD (batch 8 and, by the linear scaling rule, a learning
rate of 1e-2 * 8 / 256); Glorot's initialisation for comparison. Writes
benchmarks/results/initialisation.json and docs/images/initialisation.png.
"""

import argparse
import json
import math
from pathlib import Path

import torch
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.registry import MODELS
from training import ROOT, prepare_digits

import vgg_mm  # noqa: F401  (registers its parts)
from vgg_mm.apis.runner import use_kernels
from vgg_mm.engine.layer_statistics import layer_statistics
from vgg_mm.visualization.style import COLORS, INK, MARKERS, grid, plot_style

NETS = ('A', 'E')
BATCH = 8
STARTS = {
    'normal_var': 'N(0, variance 1e-2)',
    'normal_std': 'N(0, std 1e-2)',
    'glorot': 'Glorot',
}


def config(net: str, start: str, width: int, data: str) -> Config:
    cfg = Config.fromfile(ROOT / 'configs/vgg/vgg11_jitter_digits.py')
    cfg.model.backbone.update(arch=net, base_channels=width, init_cfg=start)
    cfg.model.head.update(in_channels=8 * width, fc_channels=64 * width, init_cfg=start)
    cfg.train_dataloader.update(batch_size=BATCH, collate_fn=dict(type='default_collate'))
    cfg.train_dataloader.dataset.data_root = data
    return cfg


def run(cfg: Config, iterations: int) -> dict:
    """Statistics of the untrained net, and the loss of every iteration (None: not finite)."""
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    use_kernels(model.train())
    loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
    optim_wrapper = cfg.optim_wrapper.copy()
    optim_wrapper.clip_grad = None  # the paper has none
    optim_wrapper.optimizer.lr = 1e-2 * BATCH / 256
    optim_wrapper = build_optim_wrapper(model, optim_wrapper)
    batches = _endless(loader)
    input_rms, statistics = layer_statistics(model, next(batches))
    losses = []
    for _ in range(iterations):
        loss = model.train_step(next(batches), optim_wrapper)['loss'].item()
        losses.append(loss if math.isfinite(loss) else None)
        if losses[-1] is None:
            break
    return dict(input=input_rms, layers=[s._asdict() for s in statistics], losses=losses)


def _endless(loader):
    while True:
        yield from loader


def plot(results: dict, path: Path) -> None:
    """One row per net: activations by layer, gradients by layer, loss by iteration."""
    figure = Figure(figsize=(15, 8), layout='constrained')
    axes = figure.subplots(len(NETS), 3)
    for row, net in zip(axes, NETS):
        for color, marker, (start, name) in zip(COLORS, MARKERS, STARTS.items()):
            one = results[f'{net} {start}']
            layers = [s['layer'] for s in one['layers']]
            for axis, key in zip(row, ('activation', 'gradient')):
                values = [max(s[key], 1e-30) if math.isfinite(s[key]) else None
                          for s in one['layers']]  # fmt: skip
                axis.plot(layers, values, color=color, marker=marker, label=name, markersize=4)
            row[2].plot(smoothed(one['losses']), color=color, label=name)
        for axis, title in zip(row, ('activations (rms)', 'gradients of weights (rms)')):
            axis.set(yscale='log', title=f'Net {net}: {title}')
            axis.tick_params('x', rotation=90)
        row[2].axhline(math.log(10), color=INK, linestyle=':', label='ln 10, that of guessing')
        row[2].set(title=f'Net {net}: training loss', xlabel='iteration', ylim=(0, 5))
        for axis in row:
            grid(axis)
    axes[0][2].legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def smoothed(losses: list, window: int = 10) -> list[float]:
    known = [loss for loss in losses if loss is not None]
    return [
        sum(part) / len(part)
        for part in (known[max(0, i - window) : i + 1] for i in range(len(known)))
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--iterations', type=int, default=300)
    parser.add_argument('--base-channels', type=int, default=64)
    parser.add_argument('--data-root', default='data/digits')
    args = parser.parse_args()
    prepare_digits(args.data_root)
    file = ROOT / 'benchmarks/results/initialisation.json'
    file.parent.mkdir(exist_ok=True)
    results = {}
    for net in NETS:
        for start in STARTS:
            cfg = config(net, start, args.base_channels, args.data_root)
            with DefaultScope.overwrite_default_scope('mmpretrain'):
                one = results[f'{net} {start}'] = run(cfg, args.iterations)
            tail = [loss for loss in one['losses'] if loss is not None][-20:]
            state = f'{sum(tail) / len(tail):.3f}' if tail else 'none that is finite'
            print(
                f'{net} {start}: {len(one["losses"])} iterations, last losses {state}', flush=True
            )
            file.write_text(json.dumps(results, indent=1))
    with plot_style(text_parse_math=True):  # powers of ten
        plot(results, ROOT / 'docs/images/initialisation.png')


if __name__ == '__main__':
    main()
