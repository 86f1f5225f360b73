"""Appendix A at a small scale: SCR and PCR, the fully-connected layers alone and all layers.

    python benchmarks/localisation.py --data-root data/animals [--seeds 0 1 2] [--amp]

The shipped configs for photos of raccoons and kangaroos, net D at full width, crops of 128, through
the tools: a classification net on the authors' thirteen convolutions, then, for each seed, four
localisation nets: fc6 and fc7 from it, then all layers. Each is tested by the central crop with the
true class (Table 8) and by the full protocol (Table 9); the nets 'all, PCR' of all seeds are also
fused. Finished runs are reused; an interrupted run is resumed. Writes
benchmarks/results/localisation_full_width.json.
"""

import argparse
import json
import sys
from pathlib import Path

from training import ROOT, run_tool, run_training, seconds_an_iteration

from vgg_mm.checkpoints import named_checkpoint

CONFIGS = ROOT / 'configs/localisation'
RESULTS = ROOT / 'benchmarks/results/localisation_full_width.json'

#: Layers fine-tuned, kind of regression -> config; all layers start from the preceding net.
NETS = {
    'fc6 and fc7, PCR': 'vgg16_pcr_fc_animals',
    'all, PCR': 'vgg16_pcr_animals',
    'fc6 and fc7, SCR': 'vgg16_scr_fc_animals',
    'all, SCR': 'vgg16_scr_animals',
}

#: The validation at the end of a training.
CENTRAL_CROP = 'central crop'

#: name of a full test -> options
TESTS: dict[str, dict] = {
    'full, Q = 160': {},
    'full, Q = 128, 160, 192': {'tta_pipeline.1.scales': '(128,160,192)'},
}

#: The nets that are also tested at several Q, and fused.
BEST = 'all, PCR'


def train(config: Path, work_dir: Path, amp: bool, options: dict) -> tuple[str, dict]:
    """Train one of the nets.

    Returns:
        The last checkpoint; its metrics on the validation images, in percent, and the median
        seconds of an iteration.
    """
    # One of the photos is truncated.
    flags = ['--broken-images', 'skip', *['--amp'] * amp]
    rows = run_training(config, work_dir, options, *flags)
    metrics = [{k: v for k, v in row.items() if 'error' in k} for row in rows if 'loss' not in row]
    seconds = round(seconds_an_iteration(rows), 2)
    return str(named_checkpoint(work_dir)), dict(metrics[-1], seconds_an_iteration=seconds)


def test(config: Path, checkpoint: str, folder: Path, name: str, options: dict) -> dict:
    """The metrics of a full test, in percent."""
    file = folder / f'{name}.json'
    if not file.exists():
        arguments = ['--tta', '--work-dir', folder, '--broken-images', 'count']
        arguments += ['--out', file, '--out-item', 'metrics']
        run_tool('test.py', folder, config, checkpoint, *arguments, options=options)
    return json.loads(file.read_text())


def fusion_config(path: Path, others: list[str]) -> Path:
    """A config whose test fuses more localisation nets of the same kind."""
    members = [dict(checkpoint=checkpoint) for checkpoint in others]
    path.write_text(
        f"_base_ = '{CONFIGS / 'vgg16_pcr_animals.py'}'\n"
        f'members = {members}\n'
        'localisers = [dict(config=_base_.model, **member) for member in members]\n'
        'tta_model = dict(localisers=localisers)\n'
    )
    return path


def measure_net(
    name: str, folder: Path, amp: bool, options: dict, test_options: dict
) -> dict[str, dict]:
    """Train and test one localisation net: test -> metrics."""
    config = CONFIGS / f'{NETS[name]}.py'
    net, found = train(config, folder, amp, options)
    results = {CENTRAL_CROP: found}
    for label, scales in TESTS.items():
        if name == BEST or not scales:
            results[label] = test(config, net, folder, label, test_options | scales)
    return results


def measure(args: argparse.Namespace) -> None:
    """Train and test all nets; the results are written after each."""
    work_dir = args.work_dir.resolve()
    data = dict(DATA_ROOT=Path(args.data_root).resolve())
    options = dict(data)
    if args.checkpoint:
        options['default_hooks.classifier_init.checkpoint'] = Path(args.checkpoint).resolve()
    config = CONFIGS / 'vgg16_animals.py'
    classifier, found = train(config, work_dir / 'classifier', args.amp, options)
    test_options = {**data, 'tta_model.classifiers.0.checkpoint': classifier}
    results = dict(
        classifier=found,
        amp=args.amp,
        seeds=args.seeds,
        mean_box=mean_box_error(args.data_root),
        nets={name: [] for name in args.nets},
        fusion={},
    )
    for seed in args.seeds:
        for name in args.nets:
            folder = work_dir / f'seed{seed}' / NETS[name]
            own = {**data, **source(folder, classifier), 'randomness.seed': seed}
            tests = measure_net(name, folder, args.amp, own, test_options)
            results['nets'][name].append(tests)
            print(f'seed {seed}, {name}: {tests}', flush=True)
            RESULTS.write_text(json.dumps(results, indent=1) + '\n')
    if BEST in args.nets and len(args.seeds) > 1:
        results['fusion'] = fuse(work_dir, args.seeds, test_options)
    RESULTS.write_text(json.dumps(results, indent=1) + '\n')
    print(table(results))


def source(folder: Path, classifier: str) -> dict[str, str]:
    """What a net starts from: the classification net, or the one whose fc layers were trained."""
    if '_fc_' in folder.name:
        return {'default_hooks.staged_init.checkpoint': classifier}
    before = folder.with_name(folder.name.replace('cr_', 'cr_fc_'))
    checkpoint = named_checkpoint(before)
    if checkpoint is None:
        sys.exit(f'error: {before} has no net: train fc6 and fc7 first (--nets)')
    return dict(load_from=checkpoint)


def fuse(work_dir: Path, seeds: list[int], options: dict) -> dict[str, dict]:
    """The nets of all seeds in one full test: test -> metrics."""
    folders = [work_dir / f'seed{seed}' / NETS[BEST] for seed in seeds]
    checkpoints = [str(named_checkpoint(folder)) for folder in folders]
    folder = work_dir / 'fusion'
    folder.mkdir(exist_ok=True)
    config = fusion_config(folder / 'fusion.py', checkpoints[1:])
    return {
        label: test(config, checkpoints[0], folder, label, options | scales)
        for label, scales in TESTS.items()
    }


def mean_box_error(animals: str) -> float:
    """Error in percent, true class known, of always answering the mean of the training boxes."""
    import numpy as np
    import torch

    from vgg_mm.datasets import CentralCrop, CocoBoxes
    from vgg_mm.evaluation import LocalizationError

    crop = CentralCrop(160, 128)
    boxes: dict[str, list] = {}
    for split in ('train', 'val'):
        data = CocoBoxes(f'{split}.json', data_root=animals, data_prefix=split)
        infos = [data[i] for i in range(len(data))]
        blank = [dict(i, img=np.zeros(i['annotated_shape'], np.uint8)) for i in infos]
        boxes[split] = [crop(info)['gt_bboxes'] for info in blank]
    inside = [b.clip(0, 128) for b in boxes['train']]
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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--data-root',
        default='data/animals',
        help='with train.json, val.json and a folder for each',
    )
    parser.add_argument('--checkpoint', help="the authors' convolutions (default: Keras's address)")
    parser.add_argument('--nets', nargs='+', choices=NETS, default=list(NETS))
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument(
        '--amp', action='store_true', help='bfloat16, for a CPU with bfloat16 instructions'
    )
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/localisation'))
    measure(parser.parse_args())


if __name__ == '__main__':
    main()
