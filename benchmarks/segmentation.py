"""FCN-32s -> FCN-16s -> FCN-8s on a small set of street scenes: what each stage adds.

Each stage is a call of tools/train.py as docs/segmentation.md shows it; the mean IoU (percent, of
the validation masks at their full size) is that after its last epoch. With --from-random FCN-32s is
also trained without the classifier. A stage that is complete is not run again.

    python benchmarks/segmentation.py --data CAMVID --classifier FILE
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
CONFIGS = ROOT / 'configs/downstream/segmentation'
STAGES = ('fcn32s', 'fcn16s', 'fcn8s')


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--data', required=True, help='folder with img_dir and ann_dir')
    parser.add_argument('--classifier', required=True, help='checkpoint to begin with')
    parser.add_argument('--options', nargs='*', default=[], help='further --cfg-options')
    parser.add_argument('--epochs', type=int, nargs=3, default=[40, 20, 20], help='of each stage')
    parser.add_argument('--scale', type=int, nargs=2, default=[240, 180], help='image size')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument(
        '--from-random', action='store_true', help='FCN-32s without classifier, too'
    )
    parser.add_argument('--work-dir', default='work_dirs/segmentation_benchmark')
    parser.add_argument('--out', default=ROOT / 'benchmarks/results/segmentation.json')
    return parser.parse_args()


def config(args, stage, folder):
    """A config of the user's own on top of the shipped one, with smaller images."""
    text = f"""_base_ = {str(CONFIGS / f'{stage}_vgg16_camvid.py')!r}
resize = dict(type='Resize', scale={tuple(args.scale)})
load, annotations = dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')
flip, pack = dict(type='RandomFlip', prob=0.5), dict(type='PackSegInputs')
train_dataloader = dict(
    dataset=dict(data_root={args.data!r}, pipeline=[load, annotations, resize, flip, pack])
)
# Resized before the masks are read, so that these keep their size.
val_dataloader = dict(
    dataset=dict(data_root={args.data!r}, pipeline=[load, resize, annotations, pack])
)
test_dataloader = val_dataloader
"""
    path = folder / f'{stage}.py'
    path.write_text(text)
    return path


def train(args, stage, epochs, start):
    """Train one stage; returns its validation metrics after the last epoch."""
    name = f'{stage}_random' if start is None else stage
    folder = Path(args.work_dir, f'seed{args.seed}', name)
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / f'epoch_{epochs}.pth'
    if not checkpoint.exists():
        options = [
            *args.options,
            f'train_cfg.max_epochs={epochs}',
            f'train_cfg.val_interval={epochs}',
            f'randomness.seed={args.seed}',
            'default_hooks.logger.interval=4',
        ]
        if start is not None:
            key = 'default_hooks.classifier_init.checkpoint' if stage == STAGES[0] else 'load_from'
            options.append(f'{key}={start}')
        command = [sys.executable, str(ROOT / 'tools/train.py'), str(config(args, stage, folder))]
        command += ['--work-dir', str(folder), '--resume', 'auto', '--cfg-options', *options]
        subprocess.run(command, check=True)
    rows = [
        json.loads(line)
        for path in sorted(folder.glob('*/vis_data/scalars.json'))
        for line in path.read_text().splitlines()
    ]
    metrics = [row for row in rows if 'mIoU' in row][-1]
    losses = [row['loss'] for row in rows if 'loss' in row]
    print(f'{name}: mIoU {metrics["mIoU"]}, pixel accuracy {metrics["aAcc"]}', flush=True)
    result = dict(stage=stage, classifier=start is not None, epochs=epochs, seed=args.seed)
    result.update(mIoU=metrics['mIoU'], mAcc=metrics['mAcc'], aAcc=metrics['aAcc'])
    return dict(result, last_losses=losses[-3:]), checkpoint


def main():
    args = parse_args()
    results, start = [], args.classifier
    for stage, epochs in zip(STAGES, args.epochs):
        result, start = train(args, stage, epochs, start)
        results.append(result)
        write(args, results)
    if args.from_random:
        results.append(train(args, STAGES[0], args.epochs[0], None)[0])
        write(args, results)


def write(args, results):
    info = dict(classifier=Path(args.classifier).parent.name, options=args.options)
    info.update(scale=args.scale, results=results)
    Path(args.out).write_text(json.dumps(info, indent=1) + '\n')


if __name__ == '__main__':
    main()
