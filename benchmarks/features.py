"""A linear SVM on the authors' convolutions: layers, scales, averaged or stacked features.

    python benchmarks/features.py FOLDER FILE.h5 [--work-dir work_dirs/features]

FOLDER/{train,val}/CLASS/* are photos, FILE.h5 the authors' thirteen convolutions of net D as Keras
publishes them. For each layer, tools/extract_features.py writes the stacked features of several Q,
without flips; those of a single Q are a part of them, and the averaged ones are the mean of these
parts, as the tool itself would write them. C is chosen by cross-validation on the training photos.
Writes benchmarks/results/features_authors.json; an interrupted extraction is resumed.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from training import ROOT

from vgg_mm.apis.features.probe import train_and_test
from vgg_mm.apis.features.svm import DEFAULT_C, FOLDS, fit
from vgg_mm.apis.subprocess_tools import available_cores
from vgg_mm.evaluation import wilson_interval

RESULTS = ROOT / 'benchmarks/results/features_authors.json'
SPLITS = ('train', 'val')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder', type=Path)
    parser.add_argument('weights', type=Path)
    parser.add_argument('--layers', nargs='+', default=['pool5', 'conv5_3'])
    parser.add_argument('--scales', type=int, nargs='+', default=[224, 288])
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/features'))
    args = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for layer in args.layers:
        start = time.perf_counter()
        files = [extract(args, layer, split) for split in SPLITS]
        print(
            f'{layer}: {(time.perf_counter() - start) / 60:.1f} minutes of extraction', flush=True
        )
        for name, found in probes(files, args.scales).items():
            results[f'{layer}, {name}'] = found
            print(f'{layer}, {name}: {found}', flush=True)
        RESULTS.write_text(json.dumps(results, indent=1) + '\n')


def extract(args: argparse.Namespace, layer: str, split: str) -> str:
    """The file of a split's features."""
    args.work_dir.mkdir(parents=True, exist_ok=True)
    file = args.work_dir / f'{layer}_{split}.parquet'
    if not file.exists():
        command = [sys.executable, ROOT / 'tools/extract_features.py', args.weights]
        command += [args.folder / split, '--layer', layer, '--scales', *args.scales]
        command += ['--combine', 'stack', '--flip', 'no', '--out', file]
        subprocess.run(list(map(str, command)), check=True)
    return str(file)


def probes(files: list[str], scales: list[int]) -> dict[str, dict]:
    """Kind of features -> error of the SVM."""
    learn, held_out = train_and_test([files[0]], [files[1]], 0, 0)
    parts = [data.values.reshape(len(data.values), len(scales), -1) for data in (learn, held_out)]
    kinds = {f'Q = {q}': [p[:, i] for p in parts] for i, q in enumerate(scales)}
    if len(scales) > 1:
        kinds['averaged'] = [p.mean(axis=1) for p in parts]
        kinds['stacked'] = [p.reshape(len(p), -1) for p in parts]
    found = {}
    for name, values in kinds.items():
        train, test = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in values)
        fitted = fit(train, learn.labels, DEFAULT_C, FOLDS, 0, available_cores())
        wrong = int((fitted.scores(test).argmax(axis=1) != held_out.labels).sum())
        interval = wilson_interval(wrong, len(test))
        found[name] = dict(
            numbers=train.shape[1],
            C=fitted.c,
            wrong=wrong,
            error=round(100 * wrong / len(test), 1),
            interval=[round(100 * end, 1) for end in interval],
        )
    return found


if __name__ == '__main__':
    main()
