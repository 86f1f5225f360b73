"""What guards and exact resuming cost in training: switched on and off every ten iterations.

python benchmarks/guards.py [--config configs/vgg/vgg16_jitter_digits.py] [--iterations 400]

One run of the config; in every other block of ten iterations, LossGuardHook, ExactResumeHook and
the seeding of SeededDataset do nothing. Images are loaded by the training process itself, where
their seeding costs most. Two results are given: iterations with guards compared with those without,
and, because single iterations vary by a tenth, the time spent inside the guards themselves, which
on a CPU is their whole cost. Writes benchmarks/results/guards.json.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from mmengine.hooks import Hook
from mmengine.runner import Runner
from training import ROOT, prepare_digits

from vgg_mm.apis.config import make_resumable
from vgg_mm.apis.runner import build_runner
from vgg_mm.apis.training import training_config
from vgg_mm.datasets import samplers
from vgg_mm.engine import ExactResumeHook, LossGuardHook

BLOCK, WARM_UP = 10, 20


class Switch(Hook):
    """Times iterations, data loading included, and turns the guards on and off."""

    priority = 'VERY_HIGH'

    def __init__(self):
        self.on = True
        self.inside = 0.0
        self.seconds: dict[bool, list[float]] = {True: [], False: []}

    def wrap(self, owner, name: str) -> None:
        function = getattr(owner, name)

        def maybe(*args, **kwargs):
            if not self.on:
                return None
            start = time.perf_counter()
            result = function(*args, **kwargs)
            self.inside += time.perf_counter() - start
            return result

        setattr(owner, name, maybe)

    def before_train(self, runner: Runner) -> None:
        self._start = time.perf_counter()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        # This iteration's batch was loaded, and the one before trained, with the same setting,
        # except in the first iteration of a block, which is not counted.
        now = time.perf_counter()
        if runner.iter > WARM_UP and runner.iter % BLOCK:
            self.seconds[self.on].append(now - self._start)
        self._start = now
        if runner.iter % BLOCK == BLOCK - 1:
            self.on = not self.on


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--config', default=str(ROOT / 'configs/vgg/vgg16_jitter_digits.py'))
    parser.add_argument('--iterations', type=int, default=400)
    parser.add_argument('--data-root', default='data/digits')
    args = parser.parse_args()
    prepare_digits(args.data_root)
    with tempfile.TemporaryDirectory() as folder:
        options = {
            'DATA_ROOT': args.data_root,
            'train_dataloader.num_workers': 0,
            'log_level': 'ERROR',
            'train_cfg.max_epochs': -(-args.iterations // 45),
            'default_hooks.checkpoint.interval': 1000,
            'default_hooks.checkpoint.save_best': None,
        }
        cfg = training_config(args.config, folder, options, validate=False, pin_memory=False)
        make_resumable(cfg)
        runner = build_runner(cfg)
        switch = Switch()
        switch.wrap(LossGuardHook, 'after_train_iter')
        switch.wrap(ExactResumeHook, 'before_train_iter')
        switch.wrap(samplers, 'seed_draws')
        runner.register_hook(switch)
        runner.train()
    iterations_on = (runner.iter + 1) / 2
    medians = {on: statistics.median(times) for on, times in switch.seconds.items()}
    result = dict(
        config=Path(args.config).name,
        iterations={'on': len(switch.seconds[True]), 'off': len(switch.seconds[False])},
        median_ms={'on': 1e3 * medians[True], 'off': 1e3 * medians[False]},
        inside_guards_ms=1e3 * switch.inside / iterations_on,
        quartiles_ms={
            'on': [1e3 * q for q in statistics.quantiles(switch.seconds[True])],
            'off': [1e3 * q for q in statistics.quantiles(switch.seconds[False])],
        },
    )
    print(json.dumps(result, indent=1))
    print(f'on takes {100 * (medians[True] / medians[False] - 1):+.2f} % against off')
    share = switch.inside / iterations_on / medians[False]
    print(f'{100 * share:.2f} % of an iteration passes inside the guards')
    (ROOT / 'benchmarks/results/guards.json').write_text(json.dumps(result, indent=1))


if __name__ == '__main__':
    main()
