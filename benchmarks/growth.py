"""How testing time grows with Q, classes, images, loader workers and nets of an ensemble.

python benchmarks/growth.py [--repetitions 5] [--base-channels 16] [--only CURVE ...]

A narrow net A with random weights, on generated photos. The points of a curve take turns. A power
law, time ~ x^exponent, is fitted to the medians, and another one to the work at the same points:
multiply-adds of the net's layers, counted as they run, or of averaging an ensemble. A curve counts
as no steeper than its work if its exponent exceeds that of the work by no more than the goal.
Before anything is timed, posteriors that should agree are compared (see growth_curves.py). Writes
benchmarks/results/growth.json.
"""

import argparse
import json
import statistics
import tempfile
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import goals
import numpy as np
import torch
from growth_curves import CURVES, Curve, check
from machine import describe, device_name
from mmengine.registry import DefaultScope
from timing import in_turn, seconds

RESULT = Path(__file__).parent / 'results' / 'growth.json'


def exponent(xs: Sequence[float], ys: Sequence[float]) -> float:
    """The exponent of the power law y ~ x^exponent that fits best in logarithms."""
    slope, _ = np.polyfit(np.log(xs), np.log(ys), 1)
    return round(float(slope), 6) + 0.0  # not -0.0


def measure(curve: Curve, repetitions: int) -> dict:
    """Times, work and fits of a curve; its points take turns."""
    by_x = in_turn({str(p.x): partial(seconds, p.run) for p in curve.points}, repetitions)
    times = list(by_x.values())
    xs, work = zip(*((point.x, point.work) for point in curve.points))
    fits = [exponent(xs, repetition) for repetition in zip(*times)]
    return dict(
        over=curve.over,
        expected=curve.expected,
        x=xs,
        seconds=times,
        work=work,
        exponent=exponent(xs, [statistics.median(one) for one in times]),
        exponent_spread=[min(fits), max(fits)],
        work_exponent=exponent(xs, work),
    )


def report(name: str, found: dict) -> str:
    low, high = found['exponent_spread']
    steeper = found['exponent'] - found['work_exponent']
    return (
        f'{name}: over {found["over"]} {found["x"][0]} to {found["x"][-1]}, '
        f'{statistics.median(found["seconds"][0]):.3f} to '
        f'{statistics.median(found["seconds"][-1]):.3f} s; exponent {found["exponent"]:.2f} '
        f'({low:.2f} to {high:.2f}), of the work {found["work_exponent"]:.2f} '
        f'({found["expected"]}); steeper by {steeper:.2f}, goal {goals.GROWTH}: '
        f'{goals.GROWTH.verdict(steeper)}'
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--repetitions', type=int, default=5)
    parser.add_argument('--base-channels', type=int, default=16, help='64 in the paper')
    parser.add_argument('--points', type=int, help='only the first points of each curve, so many')
    parser.add_argument('--only', nargs='+', choices=CURVES, default=list(CURVES))
    parser.add_argument('--out', type=Path, default=RESULT)
    args = parser.parse_args()
    # More workers than cores are measured on purpose.
    warnings.filterwarnings('ignore', message='This DataLoader will create')
    result = dict(
        machine=describe('torch'),
        device=device_name(),
        threads=torch.get_num_threads(),
        net=f'A, base_channels={args.base_channels}',
        curves={},
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        DefaultScope.overwrite_default_scope('mmpretrain'),
        torch.no_grad(),
    ):
        check(args.base_channels, Path(folder))
        for name in args.only:
            curve = CURVES[name](args.base_channels, Path(folder), args.points)
            result['curves'][name] = measure(curve, args.repetitions)
            print(report(name, result['curves'][name]), flush=True)
    args.out.parent.mkdir(exist_ok=True)
    args.out.write_text(json.dumps(result, indent=1) + '\n')


if __name__ == '__main__':
    main()
