"""What staged initialisation does: net D on the digits, random against staged, three seeds.

python benchmarks/staging_on_digits.py [--work-dir work_dirs/staging] [--widths 16 32] [--amp]

For each width (channels of conv1: a quarter and half of the paper's) trains net A once per seed,
then D from each start with the same budget, with tools/train.py; finished runs are reused.
Writes benchmarks/results/staging_on_digits.json (loss per epoch and error on the last 360 digits)
and docs/images/staging_on_digits.png.
"""

import argparse
import json
from pathlib import Path

from matplotlib.figure import Figure
from training import ROOT, prepare_digits, run_training

from vgg_mm.checkpoints import named_checkpoint
from vgg_mm.visualization.style import COLORS, INK, grid, plot_style

SEEDS = (0, 1, 2)
EPOCHS = 12

#: name -> (initialiser of the layers that are not copied, whether A's layers are copied)
STARTS = {
    'random N(0, std 1e-2)': ('normal_std', False),
    'from A, rest N(0, std 1e-2)': ('normal_std', True),
    'random Glorot': ('glorot', False),
    'from A, rest Glorot': ('glorot', True),
}


def curves(rows: list[dict]) -> dict[str, list[float]]:
    """Mean training loss and validation top-1 error (percent) of every epoch."""
    losses: dict[int, list[float]] = {}
    errors: dict[int, float] = {}
    for row in rows:
        if 'loss' in row:
            losses.setdefault(row['epoch'], []).append(row['loss'])
        elif 'error/top1' in row:
            errors[row['step']] = row['error/top1']
    mean = [sum(v) / len(v) for _, v in sorted(losses.items())]
    return dict(loss=mean, error=[v for _, v in sorted(errors.items())])


def run(work_dir: Path, data: str, width: int, amp: bool) -> dict[str, list[dict]]:
    """Train from every start with every seed."""
    results: dict[str, list[dict]] = {name: [] for name in STARTS}
    configs = ROOT / 'configs/vgg'
    flags = ['--amp'] * amp
    for seed in SEEDS:
        common = {
            'DATA_ROOT': data,
            'randomness.seed': seed,
            'train_cfg.max_epochs': EPOCHS,
            'param_scheduler.milestones': '[9,11]',
            'model.backbone.base_channels': width,
            'model.head.in_channels': 8 * width,
        }
        source = work_dir / f'width{width}/seed{seed}/A'
        run_training(configs / 'vgg11_jitter_digits.py', source, common, *flags)
        for name, (word, staged) in STARTS.items():
            options = {
                **common,
                'model.backbone.init_cfg': word,
                'model.head.init_cfg': word,
                'train_cfg.val_interval': 1,
            }
            if staged:
                options['default_hooks.staged_init.checkpoint'] = named_checkpoint(source)
            target = source.with_name(f'D_{word}_{"from_A" if staged else "random"}')
            rows = run_training(configs / 'vgg16_jitter_digits.py', target, options, *flags)
            results[name].append(curves(rows))
            error = results[name][-1]['error'][-1]
            print(f'width {width}, seed {seed}, {name}: error {error:.1f} %', flush=True)
    return results


def plot(results: dict[str, dict[str, list[dict]]], path: Path) -> None:
    """Loss and error over epochs, one row per width: thin lines are seeds, thick ones means."""
    rows = len(results)
    figure = Figure(figsize=(9, 3.4 * rows), layout='constrained')
    axes = figure.subplots(rows, 2, squeeze=False, sharex=True)
    # Key of the curves -> title, value of guessing and its name.
    panels = {
        'loss': ('Training loss', 2.302585, 'ln 10'),
        'error': ('Top-1 error (%)', 90, 'guessing'),
    }
    # Both starts from N(0, std 1e-2) coincide with guessing: the second is drawn dashed.
    styles = dict(zip(STARTS, ('-', '--', '-', '-')))
    for row, (width, found) in zip(axes, results.items()):
        for axis, (key, (title, chance, word)) in zip(row, panels.items()):
            for color, (name, runs) in zip(COLORS, found.items()):
                epochs = range(1, EPOCHS + 1)
                for values in runs:
                    axis.plot(epochs, values[key], color=color, alpha=0.3, linewidth=1)
                mean = [sum(v) / len(v) for v in zip(*(values[key] for values in runs))]
                axis.plot(epochs, mean, color=color, linewidth=2.2, label=name, ls=styles[name])
            part = {'16': 'a quarter', '32': 'half', '64': 'all'}.get(width, width)
            axis.set(title=f'{title}, {part} of the width', ylim=(0, None))
            grid(axis)
            axis.axhline(chance, color=INK, linestyle=':', zorder=0)
            axis.annotate(
                word, (EPOCHS, chance), xytext=(0, -12), textcoords='offset points', ha='right'
            )
    for axis in axes[-1]:
        axis.set_xlabel('epoch')
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(),
        loc='outside lower center', ncols=2, title='net D starts',
    )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/staging'))
    parser.add_argument('--data-root', default='data/digits')
    parser.add_argument('--widths', type=int, nargs='+', default=[16, 32], help='channels of conv1')
    parser.add_argument(
        '--amp', action='store_true', help='bfloat16, for a CPU with bfloat16 instructions'
    )
    args = parser.parse_args()
    prepare_digits(args.data_root)
    work_dir, data = args.work_dir.resolve(), str(Path(args.data_root).resolve())
    results = {str(width): run(work_dir, data, width, args.amp) for width in args.widths}
    file = ROOT / 'benchmarks/results/staging_on_digits.json'
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(results, indent=1) + '\n')
    with plot_style():
        plot(results, ROOT / 'docs/images/staging_on_digits.png')


if __name__ == '__main__':
    main()
