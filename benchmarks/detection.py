"""Detectors on small data: with the classifier's fc6 and fc7, or with new ones; speed of SSD300.

    python benchmarks/detection.py fc --checkpoint work_dirs/vgg11_cifar10/best.pth \
        --data-root data/animals --seeds 0 1 2
    python benchmarks/detection.py speed

``fc`` trains Faster R-CNN on net A with tools/train.py, once with everything from the classifier
and once with fc6 and fc7 drawn anew (Xavier, as the head's own), the same seeds and iterations.
``speed`` times training iterations of SSD300 on vgg_mm.SSDVGG and on mmdet's own SSDVGG, in turn.
Both add to benchmarks/results/detection.json. A training that is complete is not run again.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
import torch.nn as nn
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import MODELS, DefaultScope

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from vgg_mm.checkpoints import load_by_name, weights_of  # noqa: E402

CONFIGS = ROOT / 'configs/downstream/detection'
RESULTS = ROOT / 'benchmarks/results/detection.json'


def main() -> None:
    args = parse_args()
    found = args.measure(args)
    results = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    results[f'fc, {args.data}' if args.what == 'fc' else args.what] = found
    RESULTS.write_text(json.dumps(results, indent=2) + '\n')
    print(json.dumps(found, indent=2))


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest='what', required=True)
    fc = commands.add_parser('fc')
    fc.add_argument('--checkpoint', required=True, help='a net A of base_channels 16')
    fc.add_argument('--data-root', default='data/animals')
    fc.add_argument('--data', choices=('animals', 'blood_cells'), default='animals')
    fc.add_argument('--work-dir', default='work_dirs/detection_benchmark')
    fc.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    fc.add_argument('--epochs', type=int, default=12)
    fc.add_argument('--images', type=int, help='train on the first so many only')
    fc.add_argument('--side', type=int, default=320, help='longer side of the images')
    fc.set_defaults(measure=compare_fc)
    speed = commands.add_parser('speed')
    speed.add_argument('--batch-size', type=int, default=1)
    speed.add_argument('--iterations', type=int, default=5)
    speed.set_defaults(measure=compare_speed)
    return parser.parse_args()


def compare_fc(args: argparse.Namespace) -> dict:
    weights = weights_of(load_by_name(args.checkpoint))
    folder = Path(args.work_dir).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    runs = []
    for seed in args.seeds:
        for arm in ('classifier', 'drawn anew'):
            source = folder / f'{arm.replace(" ", "_")}_{seed}.pth'
            torch.save(
                dict(state_dict=weights if arm == 'classifier' else redrawn(weights, seed)), source
            )
            runs.append(dict(arm=arm, seed=seed, **train(args, weights, source, seed)))
            print(runs[-1], flush=True)
    return dict(
        checkpoint=Path(args.checkpoint).name, data=args.data, epochs=args.epochs,
        side=args.side, images=args.images, runs=runs,
    )  # fmt: skip


def redrawn(weights: dict, seed: int) -> dict:
    """The classifier with other fc6 and fc7."""
    torch.manual_seed(seed)
    weights = {name: tensor.clone() for name, tensor in weights.items()}
    for name, tensor in weights.items():
        if name.split('.')[-2] in ('fc6', 'fc7'):
            nn.init.xavier_uniform_(tensor) if tensor.ndim > 1 else nn.init.zeros_(tensor)
    return weights


def train(args: argparse.Namespace, weights: dict, source: Path, seed: int) -> dict:
    """One run of tools/train.py; the last losses and the mAP on the validation images."""
    fc6 = next(tensor for name, tensor in weights.items() if name.endswith('fc6.weight'))
    side = round((fc6.shape[1] / 128) ** 0.5)  # 128 channels, 8 * base_channels
    scale = f'({args.side},{args.side})'
    work_dir = source.with_suffix('')
    options = {
        'DATA_ROOT': Path(args.data_root).resolve(),
        'model.backbone.arch': 'A',
        'model.backbone.out_indices': "('conv5_2',)",
        'model.backbone.frozen_stages': 2,  # as in the paper, Section 3.3
        'model.roi_head.bbox_roi_extractor.roi_layer.output_size': side,
        'model.roi_head.bbox_head.roi_feat_size': side,
        'model.roi_head.bbox_head.fc_channels': len(fc6),
        'default_hooks.classifier_init.checkpoint': source,
        'default_hooks.logger.interval': 5,
        'train_cfg.max_epochs': args.epochs,
        'train_cfg.val_interval': args.epochs,
        'train_dataloader.dataset.pipeline.2.scale': scale,
        'val_dataloader.dataset.pipeline.1.scale': scale,
        'randomness.seed': seed,
    }
    if args.images:
        options['train_dataloader.dataset.indices'] = args.images
    command = [
        sys.executable,
        ROOT / 'tools/train.py',
        CONFIGS / f'faster_rcnn_vgg16_{args.data}.py',
    ]
    command += ['--broken-images', 'skip']  # one of the animals' files is cut off
    command += ['--work-dir', work_dir, '--cfg-options', *(f'{k}={v}' for k, v in options.items())]
    if not (work_dir / f'epoch_{args.epochs}.pth').exists():
        subprocess.run(list(map(str, command)), check=True)
    rows = [
        json.loads(line)
        for path in sorted(work_dir.glob('*/vis_data/scalars.json'))[-1:]
        for line in path.read_text().splitlines()
    ]
    losses = [row for row in rows if 'loss' in row]
    validation = [row for row in rows if 'coco/bbox_mAP' in row][-1]
    return dict(
        iterations=losses[-1]['step'],
        loss=[round(row['loss'], 4) for row in losses],
        loss_cls=[round(row['loss_cls'], 4) for row in losses],
        bbox_mAP=validation['coco/bbox_mAP'],
        bbox_mAP_50=validation['coco/bbox_mAP_50'],
    )


def compare_speed(args: argparse.Namespace) -> dict:
    from mmdet.testing import demo_mm_inputs

    cfg = Config.fromfile(CONFIGS / 'ssd300_vgg16_coco.py').model
    backbones = dict(vgg_mm=cfg.backbone, mmdet=dict(type='SSDVGG', depth=16))
    steps = {}
    for name, backbone in backbones.items():
        with DefaultScope.overwrite_default_scope('mmdet'):
            model = MODELS.build({**cfg, 'backbone': backbone}).train()
        nn.init.constant_(model.neck.l2_norm.weight, 20)
        optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=1e-6))
        steps[name] = (model, optimizer)
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for iteration in range(args.iterations + 1):
        for name, (model, optimizer) in steps.items():
            shapes = [(3, 300, 300)] * args.batch_size
            batch = demo_mm_inputs(args.batch_size, shapes, num_classes=80)
            start = time.process_time()
            model.train_step(batch, optimizer)
            if iteration:  # the first one allocates
                seconds[name].append(time.process_time() - start)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    return dict(
        batch_size=args.batch_size, torch_threads=torch.get_num_threads(),
        cpu_seconds=seconds, ratio=medians['vgg_mm'] / medians['mmdet'],
    )  # fmt: skip


if __name__ == '__main__':
    main()
