"""Detectors on small data: the shipped configs; fc6 and fc7 from a classifier or new; speed.

    python benchmarks/detection.py small --detector faster_rcnn --data animals [--seed 1] [--amp]
    python benchmarks/detection.py fc --checkpoint work_dirs/vgg16_finetune/best.pth --seeds 0 1 2
    python benchmarks/detection.py speed

``small`` trains a shipped config with tools/train.py. ``fc`` trains Faster R-CNN twice per seed:
once with all weights from a classifier (net D with fc6 and fc7 of any width), and once with fc6 and
fc7 newly initialised (Xavier, as the head does it). ``speed`` times training iterations of SSD300
with vgg_mm.SSDVGG and with mmdet's own SSDVGG, which take turns. All add to
benchmarks/results/detection.json. A finished training is not run again; an interrupted one is
resumed.
"""

import argparse
import json
import statistics
import time
from functools import partial
from pathlib import Path

import torch
import torch.nn as nn
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import MODELS, DefaultScope
from timing import in_turn
from training import ROOT, losses, run_training, seconds_an_iteration

from vgg_mm.checkpoints import load_by_name, weights_of

CONFIGS = ROOT / 'configs/downstream/detection'
RESULTS = ROOT / 'benchmarks/results/detection.json'
#: Detector -> beginning of the names of its configs, which end with the data set.
DETECTORS = {
    'faster_rcnn': 'faster_rcnn_vgg16',
    'faster_rcnn_fpn': 'faster_rcnn_vgg16_fpn',
    'ssd300': 'ssd300_vgg16',
}


def main() -> None:
    args = parse_args()
    found = args.measure(args)
    results = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    key = args.what if args.what == 'speed' else f'{args.what}, {args.data}'
    if args.what == 'small':
        key += f', {args.detector}, seed {args.seed}'
    results[key + ', --amp' * getattr(args, 'amp', False)] = found
    RESULTS.write_text(json.dumps(results, indent=2) + '\n')
    print(json.dumps(found, indent=2))


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest='what', required=True)
    small, fc = commands.add_parser('small'), commands.add_parser('fc')
    small.add_argument('--checkpoint', help="the authors' convolutions (default: Keras's address)")
    small.add_argument('--detector', choices=DETECTORS, default='faster_rcnn')
    small.add_argument('--seed', type=int, default=0)
    small.set_defaults(measure=train_small)
    fc.add_argument('--checkpoint', required=True, help='a classifier with net D')
    fc.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    fc.set_defaults(measure=compare_fc)
    for command in (small, fc):
        command.add_argument('--data', choices=('animals', 'blood_cells'), default='animals')
        command.add_argument('--data-root', help='default: data/DATA')
        command.add_argument('--work-dir', default='work_dirs/detection_benchmark')
        command.add_argument('--amp', action='store_true', help='bfloat16')
    speed = commands.add_parser('speed')
    speed.add_argument('--batch-size', type=int, default=1)
    speed.add_argument('--iterations', type=int, default=5)
    speed.set_defaults(measure=compare_speed)
    return parser.parse_args()


def train_small(args: argparse.Namespace) -> dict:
    options = {'randomness.seed': args.seed}
    if args.checkpoint:
        options['default_hooks.classifier_init.checkpoint'] = Path(args.checkpoint).resolve()
    folder = f'{args.detector}_{args.data}_seed{args.seed}'
    return train(args, args.detector, Path(args.work_dir).resolve() / folder, options)


def compare_fc(args: argparse.Namespace) -> dict:
    weights = weights_of(load_by_name(args.checkpoint))
    fc6 = next(tensor for name, tensor in weights.items() if name.endswith('fc6.weight'))
    folder = Path(args.work_dir).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    runs = []
    for seed in args.seeds:
        for arm in ('classifier', 'drawn anew'):
            source = folder / f'{arm.replace(" ", "_")}_{seed}.pth'
            torch.save(
                dict(state_dict=weights if arm == 'classifier' else redrawn(weights, seed)), source
            )
            options = {
                'model.roi_head.bbox_head.fc_channels': len(fc6),
                'default_hooks.classifier_init.checkpoint': source,
                'default_hooks.classifier_init.require_fc': True,
                'randomness.seed': seed,
            }
            run = train(args, 'faster_rcnn', source.with_suffix(''), options)
            runs.append(dict(arm=arm, seed=seed, **run))
            print(runs[-1], flush=True)
    return dict(checkpoint=Path(args.checkpoint).name, runs=runs)


def redrawn(weights: dict, seed: int) -> dict:
    """The classifier with newly initialised fc6 and fc7."""
    torch.manual_seed(seed)
    weights = {name: tensor.clone() for name, tensor in weights.items()}
    for name, tensor in weights.items():
        if name.split('.')[-2] in ('fc6', 'fc7'):
            nn.init.xavier_uniform_(tensor) if tensor.ndim > 1 else nn.init.zeros_(tensor)
    return weights


def train(args: argparse.Namespace, detector: str, work_dir: Path, options: dict) -> dict:
    """One run of tools/train.py: its losses, and mAP after each validation."""
    config = CONFIGS / f'{DETECTORS[detector]}_{args.data}.py'
    options = {'DATA_ROOT': Path(args.data_root or f'data/{args.data}').resolve(), **options}
    # One of the animal photos is truncated.
    flags = ['--broken-images', 'skip', *['--amp'] * args.amp]
    rows = run_training(config, work_dir, options, *flags)
    validations = [row for row in rows if 'coco/bbox_mAP' in row]
    return dict(
        config=config.stem,
        seconds_an_iteration=round(seconds_an_iteration(rows), 2),
        losses=losses(rows),
        validations=[
            dict(
                epoch=row['step'],
                mAP=row['coco/bbox_mAP'],
                AP_50=row['coco/bbox_mAP_50'],
                AP_75=row['coco/bbox_mAP_75'],
            )
            for row in validations
        ],
    )


def compare_speed(args: argparse.Namespace) -> dict:
    cfg = Config.fromfile(CONFIGS / 'ssd300_vgg16_coco.py').model
    backbones = dict(vgg_mm=cfg.backbone, mmdet=dict(type='SSDVGG', depth=16))
    runs = {}
    for name, backbone in backbones.items():
        with DefaultScope.overwrite_default_scope('mmdet'):
            model = MODELS.build({**cfg, 'backbone': backbone}).train()
        nn.init.constant_(model.neck.l2_norm.weight, 20)
        optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=1e-6))
        runs[name] = partial(cpu_seconds, model, optimizer, args.batch_size)
    seconds = in_turn(runs, args.iterations)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    return dict(
        batch_size=args.batch_size, torch_threads=torch.get_num_threads(),
        cpu_seconds=seconds, ratio=medians['vgg_mm'] / medians['mmdet'],
    )  # fmt: skip


def cpu_seconds(model: nn.Module, optimizer: OptimWrapper, batch_size: int) -> float:
    """CPU time of a training iteration on generated images."""
    from mmdet.testing import demo_mm_inputs

    batch = demo_mm_inputs(batch_size, [(3, 300, 300)] * batch_size, num_classes=80)
    start = time.process_time()
    model.train_step(batch, optimizer)
    return time.process_time() - start


if __name__ == '__main__':
    main()
