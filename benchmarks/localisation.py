"""Appendix A at a small scale: SCR and PCR, the fully-connected layers alone and all layers.

python benchmarks/localisation.py ANIMALS CIFAR10 [--work-dir work_dirs/localisation]

Net A at a quarter of the width, crops of 96, through the tools: trained on the classes of
CIFAR10/{train,test}/CLASS/* (S = 112), then fine-tuned to tell those of ANIMALS/{train,val}.json
apart (S = 128); then, for each of three seeds, four localisation nets that start from it. Each is
tested by the central crop with the true class (Table 8) and by the full protocol (Table 9); the
nets of the three seeds are fused as well. Finished runs are used again. Writes
benchmarks/results/localisation.json.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from scalars import read_scalars

ROOT = Path(__file__).parent.parent
CONFIGS = ROOT / 'configs/localisation'
SEEDS = (0, 1, 2)

#: Layers fine-tuned, kind of regression -> config
NETS = {
    'all, PCR': 'vgg11_pcr_animals',
    'fc6 and fc7, PCR': 'vgg11_pcr_fc_animals',
    'fc6 and fc7, SCR': 'vgg11_scr_fc_animals',
    'all, SCR': 'vgg11_scr_animals',
}

#: The validation that ends a training.
CENTRAL_CROP = 'central crop'

#: name of a full test -> options
TESTS = {'full, Q = 128': (), 'full, Q = 96, 128, 160': ('tta_pipeline.1.scales=(96,128,160)',)}

#: The net that is tested at several Q, too.
BEST = 'all, PCR'

CIFAR10 = (
    'model.head.kernel_size=3',
    'train_dataloader.dataset.pipeline.1.scale=112',
    'train_dataloader.dataset.pipeline.1.crop_size=96',
    *(
        f'{loader}_dataloader.dataset.{option}'
        for loader in ('val', 'test')
        for option in ('data_prefix=test', 'pipeline.1.scale=112', 'pipeline.1.crop_size=96')
    ),
    'tta_pipeline.1.trained_at=112',
    'param_scheduler.milestones=[4]',
    'train_cfg.max_epochs=5',
    'train_cfg.val_interval=5',
)


def run(tool: str, work_dir: Path, *arguments: str) -> None:
    work_dir.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(ROOT / 'tools' / tool), *map(str, arguments)]
    with open(work_dir / 'log.txt', 'a', encoding='utf-8') as log:
        subprocess.run(command, check=True, stdout=log, stderr=log)


def train(config: Path, work_dir: Path, *options: str) -> tuple[Path, dict]:
    """Train, or go on where an earlier run stopped.

    Returns:
        The last checkpoint and its metrics on the validation images, in percent.
    """
    if not (work_dir / 'done').exists():
        arguments = ['--resume', '--broken-images', 'skip', '--work-dir', work_dir]
        run('train.py', work_dir, config, *arguments, '--cfg-options', *options)
        (work_dir / 'done').touch()
    rows = read_scalars(work_dir)
    metrics = [{k: v for k, v in row.items() if 'error' in k} for row in rows if 'loss' not in row]
    return Path((work_dir / 'last_checkpoint').read_text()), metrics[-1]


def test(config: Path, checkpoint: Path, folder: Path, name: str, *options: str) -> dict:
    """The metrics of a full test, in percent."""
    file = folder / f'{name}.json'
    if not file.exists():
        arguments = ['--tta', '--work-dir', folder, '--broken-images', 'count']
        arguments += ['--out', file, '--out-item', 'metrics']
        run('test.py', folder, config, checkpoint, *arguments, '--cfg-options', *options)
    return json.loads(file.read_text())


def fusion_config(path: Path, others: list[Path]) -> Path:
    """A config whose test takes more localisation nets of its own kind."""
    members = [dict(checkpoint=str(checkpoint)) for checkpoint in others]
    path.write_text(
        f"_base_ = '{CONFIGS / 'vgg11_pcr_animals.py'}'\n"
        f'members = {members}\n'
        'localisers = [dict(config=_base_.model, **member) for member in members]\n'
        'tta_model = dict(localisers=localisers)\n'
    )
    return path


def measure_net(name: str, folder: Path, rated: str, *options: str) -> dict[str, dict]:
    """Train and test one localisation net: test -> metrics."""
    config = CONFIGS / f'{NETS[name]}.py'
    net, found = train(config, folder, *options)
    results = {CENTRAL_CROP: found}
    for label, scales in TESTS.items():
        if name == BEST or not scales:
            results[label] = test(config, net, folder, label, options[0], rated, *scales)
    return results


def measure(animals: str, cifar10: str, work_dir: Path) -> dict:
    """All nets, trained and tested."""
    data = f'DATA_ROOT={animals}'
    clothing = ROOT / 'configs/vgg/vgg11_jitter_clothing.py'
    source, _ = train(clothing, work_dir / 'cifar10', f'DATA_ROOT={cifar10}', *CIFAR10)
    classes = CONFIGS / 'vgg11_animals.py'
    classifier, found = train(classes, work_dir / 'classifier', data, f'load_from={source}')
    rated = f'tta_model.classifiers.0.checkpoint={classifier}'
    start = f'default_hooks.staged_init.checkpoint={classifier}'
    results = dict(
        classifier=found,
        mean_box=mean_box_error(animals),
        nets={name: [] for name in NETS},
        fusion={},
    )
    for seed in SEEDS:
        for name, config in NETS.items():
            folder = work_dir / f'seed{seed}' / config
            tests = measure_net(name, folder, rated, data, start, f'randomness.seed={seed}')
            results['nets'][name].append(tests)
            print(f'seed {seed}, {name}: {tests}', flush=True)
    folders = [work_dir / f'seed{seed}' / NETS[BEST] for seed in SEEDS]
    checkpoints = [Path((folder / 'last_checkpoint').read_text()) for folder in folders]
    folder = work_dir / 'fusion'
    folder.mkdir(exist_ok=True)
    config = fusion_config(folder / 'fusion.py', checkpoints[1:])
    for label, scales in TESTS.items():
        results['fusion'][label] = test(config, checkpoints[0], folder, label, data, rated, *scales)
    return results


def mean_box_error(animals: str) -> float:
    """Error with the true class known, in percent, of answering the training boxes' mean always."""
    import numpy as np
    import torch

    from vgg_mm.datasets import CentralCrop, CocoBoxes
    from vgg_mm.evaluation import LocalizationError

    crop = CentralCrop(128, 96)
    boxes: dict[str, list] = {}
    for split in ('train', 'val'):
        data = CocoBoxes(f'{split}.json', data_root=animals, data_prefix=split)
        infos = [data[i] for i in range(len(data))]
        blank = [dict(i, img=np.zeros(i['annotated_shape'], np.uint8)) for i in infos]
        boxes[split] = [crop(info)['gt_bboxes'] for info in blank]
    inside = [b.clip(0, 96) for b in boxes['train']]
    largest = [(b[:, 2:] - b[:, :2]).prod(axis=1).argmax() for b in inside]
    mean = np.mean([b[i] for b, i in zip(boxes['train'], largest)], axis=0)
    metric = LocalizationError()
    guess = dict(gt_label=torch.tensor([0]), pred_bboxes=torch.tensor(mean[None]))
    metric.process(None, [dict(guess, gt_bboxes=b) for b in boxes['val']])
    return metric.evaluate(len(boxes['val']))['localisation/error_class_known']


def table(results: dict) -> str:
    """Errors in percent: the mean over the seeds, and each."""
    rows = ['| fine-tuned, regression | test | true class known | top-1 |', '|---|---|---|---|']
    rows.append(f'| the mean box, always | central crop | {results["mean_box"]:.1f} | |')
    for name, runs in results['nets'].items():
        for label in runs[0]:
            cells = []
            for key in ('localisation/error_class_known', 'localisation/error_top1'):
                values = [tests[label][key] for tests in runs if key in tests[label]]
                each = ', '.join(f'{value:.1f}' for value in values)
                cells.append(f'{sum(values) / len(values):.1f} ({each})' if values else '')
            rows.append(f'| {name} | {label} | {cells[0]} | {cells[1]} |')
    for label, metrics in results['fusion'].items():
        values = ' | '.join(f'{value:.1f}' for value in metrics.values())
        rows.append(f'| all, PCR, three nets fused | {label} | {values} |')
    return '\n'.join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('animals')
    parser.add_argument('cifar10')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/localisation'))
    args = parser.parse_args()
    results = measure(args.animals, args.cifar10, args.work_dir.resolve())
    file = ROOT / 'benchmarks/results/localisation.json'
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(results, indent=1))
    print(table(results))


if __name__ == '__main__':
    main()
