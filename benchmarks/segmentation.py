"""FCN-32s -> FCN-16s -> FCN-8s, and LargeFOV, on street scenes: what each stage adds.

The shipped configs for CamVid, each trained by tools/train.py as docs/segmentation.md shows it; the
mean IoU (percent, on the validation masks) is that after the last epoch. FCN-32s and LargeFOV start
from the authors' thirteen convolutions, FCN-16s and FCN-8s from the preceding net. A finished
training is not run again; an interrupted one is resumed. Adds to
benchmarks/results/segmentation_full_width.json.

    python benchmarks/segmentation.py --data-root data/camvid [--amp] [--nets fcn32s fcn16s fcn8s]
"""

import argparse
import json
from pathlib import Path

from mmengine.config import Config
from training import ROOT, losses, run_training, seconds_an_iteration

from vgg_mm.checkpoints import named_checkpoint

CONFIGS = ROOT / 'configs/downstream/segmentation'
RESULTS = ROOT / 'benchmarks/results/segmentation_full_width.json'
#: Net -> the net that it starts from.
NETS = {'fcn32s': None, 'fcn16s': 'fcn32s', 'fcn8s': 'fcn16s', 'deeplab_largefov': None}


def main() -> None:
    args = parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for net in args.nets:
        found = train(args, net)
        results[f'{net}, seed {args.seed}{", --amp" if args.amp else ""}'] = found
        RESULTS.write_text(json.dumps(results, indent=1) + '\n')
        print(net, {key: found[key] for key in ('mIoU', 'aAcc', 'seconds_an_image')}, flush=True)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--data-root', default='data/camvid', help='with img_dir and ann_dir')
    parser.add_argument('--checkpoint', help="the authors' convolutions (default: Keras's address)")
    parser.add_argument('--nets', nargs='+', choices=NETS, default=list(NETS))
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument(
        '--amp', action='store_true', help='bfloat16, for a CPU with bfloat16 instructions'
    )
    parser.add_argument('--work-dir', default='work_dirs/segmentation_benchmark')
    return parser.parse_args()


def train(args: argparse.Namespace, net: str) -> dict:
    """One run of tools/train.py: its losses, and the metrics after its last epoch."""
    config = CONFIGS / f'{net}_vgg16_camvid.py'
    folder = Path(args.work_dir).resolve() / f'seed{args.seed}'
    options = dict(DATA_ROOT=Path(args.data_root).resolve())
    options['randomness.seed'] = args.seed
    if before := NETS[net]:
        options['load_from'] = named_checkpoint(folder / before)
    elif args.checkpoint:
        options['default_hooks.classifier_init.checkpoint'] = Path(args.checkpoint).resolve()
    rows = run_training(config, folder / net, options, *['--amp'] * args.amp)
    validations = [row for row in rows if 'mIoU' in row]
    cfg = Config.fromfile(config)
    seconds = seconds_an_iteration(rows) / cfg.train_dataloader.batch_size
    return dict(
        config=config.stem,
        epochs=cfg.train_cfg.max_epochs,
        **{key: validations[-1][key] for key in ('mIoU', 'mAcc', 'aAcc')},
        seconds_an_image=round(seconds, 2),
        validations={row['step']: row['mIoU'] for row in validations},
        losses=losses(rows),
    )


if __name__ == '__main__':
    main()
