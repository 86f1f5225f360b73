"""What staged initialisation does: net D on the digits, random against staged, three seeds.

python benchmarks/staging_on_digits.py [--work-dir work_dirs/staging]

Trains net A once per seed, then D from each start with the same budget, through tools/train.py;
finished runs are used again. Writes benchmarks/results/staging_on_digits.json (loss per epoch and
error on the last 360 digits) and docs/images/staging_on_digits.png.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from scalars import read_scalars

ROOT = Path(__file__).parent.parent
SEEDS = (0, 1, 2)
EPOCHS = 12

#: name -> (initialiser of what is not copied, whether A's layers are copied)
STARTS = {
    'random N(0, std 1e-2)': ('normal_std', False),
    'from A, rest N(0, std 1e-2)': ('normal_std', True),
    'from A, rest Glorot': ('glorot', True),
}


def train(config: str, work_dir: Path, *options: str) -> None:
    """Train through the tool, or go on where an earlier run stopped."""
    command = [sys.executable, str(ROOT / 'tools/train.py'), str(ROOT / f'configs/vgg/{config}.py')]
    command += ['--resume', '--work-dir', str(work_dir), '--cfg-options', *options]
    work_dir.mkdir(parents=True, exist_ok=True)
    with open(work_dir / 'log.txt', 'a', encoding='utf-8') as log:
        subprocess.run(command, check=True, stdout=log, stderr=log)


def curves(work_dir: Path) -> dict[str, list[float]]:
    """Mean training loss and validation top-1 error (percent) of every epoch."""
    losses: dict[int, list[float]] = {}
    errors: dict[int, float] = {}
    for row in read_scalars(work_dir):
        if 'loss' in row:
            losses.setdefault(row['epoch'], []).append(row['loss'])
        elif 'error/top1' in row:
            errors[row['step']] = row['error/top1']
    mean = [sum(v) / len(v) for _, v in sorted(losses.items())]
    return dict(loss=mean, error=[v for _, v in sorted(errors.items())])


def run(work_dir: Path, data: str) -> dict[str, list[dict]]:
    """Every start with every seed."""
    results: dict[str, list[dict]] = {name: [] for name in STARTS}
    for seed in SEEDS:
        common = (
            f'DATA_ROOT={data}',
            f'randomness.seed={seed}',
            f'train_cfg.max_epochs={EPOCHS}',
            'param_scheduler.milestones=[9,11]',
        )
        source = work_dir / f'seed{seed}' / 'A'
        train('vgg11_jitter_digits', source, *common)
        for index, (name, (word, staged)) in enumerate(STARTS.items()):
            options = [
                *common,
                f'model.backbone.init_cfg={word}',
                f'model.head.init_cfg={word}',
                'train_cfg.val_interval=1',
            ]
            if staged:
                checkpoint = (source / 'last_checkpoint').read_text()
                options.append(f'default_hooks.staged_init.checkpoint={checkpoint}')
            target = work_dir / f'seed{seed}' / f'D{index}'
            train('vgg16_jitter_digits', target, *options)
            results[name].append(curves(target))
            print(f'seed {seed}, {name}: error {results[name][-1]["error"][-1]:.1f} %', flush=True)
    return results


def plot(results: dict[str, list[dict]], path: Path) -> None:
    """Loss and error over epochs: a thin line a seed, a thick one their mean."""
    import matplotlib

    matplotlib.use('Agg')
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout='constrained')
    titles = {'loss': 'training loss', 'error': 'top-1 error on 360 other digits (%)'}
    for axis, (key, title) in zip(axes, titles.items()):
        for color, (name, runs) in enumerate(results.items()):
            epochs = range(1, EPOCHS + 1)
            for values in runs:
                axis.plot(epochs, values[key], color=f'C{color}', alpha=0.3, linewidth=1)
            mean = [sum(v) / len(v) for v in zip(*(values[key] for values in runs))]
            axis.plot(epochs, mean, color=f'C{color}', linewidth=2.2, label=name)
        axis.set(xlabel='epoch', title=title)
        axis.grid(alpha=0.3)
    axes[0].axhline(2.302585, color='grey', linestyle=':')
    axes[0].annotate(
        'ln 10', (EPOCHS, 2.302585), xytext=(0, 4), textcoords='offset points', ha='right'
    )
    axes[0].set_ylim(bottom=0)
    axes[1].set_ylim(bottom=0)
    axes[1].legend(title='net D starts', loc='center right', bbox_to_anchor=(1, 0.6))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/staging'))
    parser.add_argument('--data-root', default='data/digits')
    args = parser.parse_args()
    prepare = [sys.executable, str(ROOT / 'tools/prepare_data.py'), 'digits']
    subprocess.run([*prepare, '--out', args.data_root], check=True)
    results = run(args.work_dir, args.data_root)
    file = ROOT / 'benchmarks/results/staging_on_digits.json'
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(results, indent=1))
    plot(results, ROOT / 'docs/images/staging_on_digits.png')


if __name__ == '__main__':
    main()
