"""A small study, and generated results of the real one, for the tests of studies/run.py."""

import numpy as np
import yaml
from study.load import load_study
from study.results import Errors, Results, TrainingCurve, pack, settings_of

from tests.conftest import ROOT

CLAIMS = str(ROOT / 'studies/claims.yaml')
CONFIG = str(ROOT / 'configs/vgg/vgg11_jitter_digits.py')


def tiny():
    """Content of a study file: A, and D initialised from A, on small digits."""
    data = dict(
        root='data/digits',
        config=CONFIG,
        crop=32,
        width=4,
        fc_channels=16,
        scales=dict(jitter=[36, 56]),
        tests=dict(jitter=dict(one=46, several=[36, 46])),
        curve=[36, 46],
        options={
            'train_cfg.max_epochs': 2,
            'train_cfg.val_interval': 1,
            'train_dataloader.batch_size': 24,
            'train_dataloader.num_workers': 0,
            'val_dataloader.num_workers': 0,
            'test_dataloader.num_workers': 0,
            'default_hooks.logger.interval': 1,
            'default_hooks.checkpoint.interval': 1,
        },
    )
    claim = dict(
        name='depth',
        title='Deeper is better',
        section='4.1',
        says='D is better than A.',
        comparisons=[dict(better='D dense one', than='A dense one')],
    )
    profile = dict(
        about='a test',
        seeds=[0],
        init='glorot',
        work_dir='runs',
        results='results',
        report='report/tiny',
        data=dict(digits=data),
    )
    return dict(
        title='A tiny study',
        runs=dict(A=dict(arch='A'), D=dict(arch='D', staged_from='A')),
        claims=[claim],
        plots=dict(curve=['D']),
        profiles=dict(tiny=profile),
    )


def write(folder, content):
    path = folder / 'study.yaml'
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return str(path)


def course(run, fall=0.2, drops=(12.0, 17.0), failed=None):
    """Curves of 24 epochs; the error falls by ``fall`` points over the last fifth of them."""
    epochs = np.arange(1, 25.0)
    errors = 12 + 60 * np.exp(-epochs / 2) + np.where(epochs < 20, fall, 0)
    return TrainingCurve(
        12.5, f'python tools/train_chain.py {run}', failed, epochs.tolist(),
        (2.3 * np.exp(-epochs / 5)).tolist(), epochs.tolist(), errors.tolist(), list(drops),
    )  # fmt: skip


def made_up(study, images=300, seed=0):
    """Random results of all sides and seeds: all nets have learnt, with errors of 5 to 18 %."""
    rng = np.random.default_rng(seed)
    found = {}
    for name, data in study.data.items():
        results = Results(settings_of(study, data), rng.integers(0, 10, images).tolist())
        for side in study.sides(data):
            rate = rng.uniform(0.05, 0.18)
            for s in study.seeds:
                wrong = rng.random(images) < rate
                results.answers[f'{side}/{s}'] = Errors(pack(wrong), rng.uniform(1e-3, 1))
        for run in study.runs_on(name):
            for s in study.seeds:
                results.courses[f'{run}/{s}'] = course(run)
        results.machine = ['a machine']
        results.test_minutes = dict.fromkeys(results.courses, 100.0)
        found[name] = results
    return found


def real_study(profile=None):
    return load_study(CLAIMS, profile)
