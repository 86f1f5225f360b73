"""Chains of trainings: tools/train_chain.py."""

import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

from tests.conftest import A_DIGITS, ROOT, heed_ctrl_c
from vgg_mm.apis.chain import load_chain, train_chain
from vgg_mm.apis.chain.curves import draw_curves, merge_runs, read_curves, smooth
from vgg_mm.apis.chain.estimate import crop_size, split_time
from vgg_mm.apis.chain.job import RECORD_FILE, Job, Record, locked, progress
from vgg_mm.apis.chain.plan import plan_table
from vgg_mm.apis.chain.stages import RunOptions, changes
from vgg_mm.checkpoints import load_checkpoint
from vgg_mm.evaluation.paper_results import TABLE_3, TABLE_4, TABLE_5
from vgg_mm.progress import short_duration

CHAINS = sorted((ROOT / 'configs/chains').glob('*.py'))
TINY = (
    'model.backbone.base_channels=4', 'model.head.in_channels=32', 'model.head.fc_channels=16',
    'train_dataloader.batch_size=24', 'train_dataloader.num_workers=0',
    'val_dataloader.num_workers=0', 'test_dataloader.num_workers=0',
    'default_hooks.checkpoint.interval=1', 'default_hooks.logger.interval=1',
    'train_cfg.val_interval=1', 'optim_wrapper.optimizer.lr=1e-3',
)  # fmt: skip


def write_chain(path, *stages, **common):
    """A chain file with the stages, given as keywords of dict(...)."""
    entries = [', '.join(f'{k}={v!r}' for k, v in {**common, **s}.items()) for s in stages]
    path.write_text('stages = [{}]\n'.format(', '.join(f'dict({entry})' for entry in entries)))
    return str(path)


def digits_stage(net, epochs, **keys):
    config = str(ROOT / f'configs/vgg/{net}_jitter_digits.py')
    return dict(config=config, options={'train_cfg.max_epochs': epochs}, **keys)


def jobs_of(chain, run):
    jobs = {}
    for stage in load_chain(str(chain)):
        jobs[stage.name] = Job(stage, run, jobs.get(stage.source))
    return jobs


@pytest.fixture(scope='module')
def options(few_digits):
    return [f'DATA_ROOT={few_digits}', *TINY]


@pytest.fixture(scope='module')
def chain(tmp_path_factory):
    """Net A for one epoch; D, initialised from A, for six; one test."""
    path = tmp_path_factory.mktemp('chain') / 'a_then_d.py'
    stages = [
        digits_stage('vgg11', 1, name='A'),
        digits_stage('vgg16', 6, name='D', staged_from='A', test='dense_one_scale'),
    ]
    return write_chain(path, *stages)


@pytest.fixture(scope='module')
def interrupted(chain, options, tmp_path_factory):
    """Folder and output of a chain that Ctrl-C stopped in the second stage."""
    root = tmp_path_factory.mktemp('interrupted')
    tool = [sys.executable, str(ROOT / 'tools/train_chain.py'), chain]
    process = subprocess.Popen(
        [*tool, '--work-dir', 'root', '--cfg-options', *options],
        cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=heed_ctrl_c,
    )  # fmt: skip
    lines = []
    for line in process.stdout:
        lines.append(line)
        if 'Epoch(val) [2]' in line:
            training = int((root / 'root/D/chain_stage.lock').read_text())
            process.send_signal(signal.SIGINT)
    _, stderr = process.communicate()
    return root / 'root', ''.join(lines), stderr, process.returncode, training


@pytest.fixture(scope='module')
def finished(chain, options, interrupted):
    """The same folder after the same command finished the chain, and its table."""
    work_dir = interrupted[0]
    first_stage = (work_dir / 'A' / 'epoch_1.pth').stat().st_mtime_ns
    table = train_chain(chain, str(work_dir), options)
    assert (work_dir / 'A' / 'epoch_1.pth').stat().st_mtime_ns == first_stage
    return work_dir, table


def test_interruption_stops_every_process_with_one_line(interrupted):
    work_dir, stdout, stderr, status, training = interrupted
    assert status == 130
    assert stderr.strip().splitlines()[-1] == 'stopped; run the same command again to resume'
    assert 'Traceback' not in stdout + stderr
    with pytest.raises(ProcessLookupError):
        os.kill(training, 0)
    assert re.search(r'Stage 1 of 2: A, from random initialisation\n', stdout)
    assert 'A/epoch_1.pth' in stdout and 'staged initialisation from' in stdout
    for stage in stdout.split('Stage ')[1:]:  # a loss is logged before validation
        assert re.search(r'Epoch\(train\).* eta: .* loss: \d', stage.partition('Epoch(val)')[0])
    first, second = (Record.read(work_dir / name) for name in 'AD')
    assert first.finished and first.checkpoints['last'] == 'epoch_1.pth'
    assert second.finished is None and second.minutes > 0
    assert second.settings['start'] == 'A, staged (last)'
    assert (work_dir / 'A' / 'curves.png').stat().st_size > 20_000


def test_same_command_resumes(finished, interrupted):
    work_dir, table = finished
    record = Record.read(work_dir / 'D')
    assert record.finished and record.minutes > 0 and list(record.tests) == ['dense_one_scale']
    assert (record.source, record.source_finished) == ('A', Record.read(work_dir / 'A').finished)
    log = (work_dir / 'D' / 'chain_stage.log').read_text()
    first, second = re.split(r'^\$ ', log, flags=re.MULTILINE)[1:3]
    assert 'staged initialisation from' in first and 'resumed epoch' not in first
    assert 'staged initialisation from' not in second and 'resumed epoch: ' in second
    assert load_checkpoint(work_dir / 'D' / 'epoch_6.pth')['meta']['epoch'] == 6
    assert re.search(r'\nD +D +\[64;96\] +80 +dense +\d', table)
    assert (work_dir / 'D' / 'posteriors.npz').exists()
    curves = read_curves(str(work_dir / 'D'))
    assert curves.unit == 'epoch' and curves.loss[:, 0].tolist() == [i / 5 for i in range(1, 31)]
    validated = curves.errors[1][:, 0].tolist()
    # The validation of epoch 2 was interrupted.
    assert validated in ([1, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6])


def test_finished_stages_are_not_repeated(finished, chain, options, monkeypatch, capsys):
    def refuse(*args, **kwargs):
        raise AssertionError('nothing should run')

    monkeypatch.setattr('vgg_mm.apis.chain.run.run_tool', refuse)
    work_dir, table = finished
    assert train_chain(chain, str(work_dir), options) == table
    assert capsys.readouterr().out.count('done before') == 2


@pytest.mark.parametrize(
    'change, message',
    [
        (
            'optim_wrapper.optimizer.lr=0.5',
            'stage A was trained with optim_wrapper.optimizer.lr=0.001, now 0.5: use another '
            'work_dir, or delete .*A; accept_changes=True',
        ),
        ('train_dataloader.batch_size=12', 'images per step=24, now 12'),
        ('train_cfg.max_epochs=9', 'stage A was trained with train_cfg.max_epochs=1, now 9'),
        ('model.head.dropout=0.1', 'model.head.dropout=nothing, now 0.1'),
    ],
)
def test_changed_settings_are_reported(finished, chain, options, change, message):
    with pytest.raises(ValueError, match=message):
        train_chain(chain, str(finished[0]), [*options, change])


def test_options_without_effect_on_the_net_are_accepted(finished, chain, options, capsys):
    others = [
        'train_dataloader.num_workers=3', 'default_hooks.logger.interval=7',
        'default_hooks.checkpoint.interval=2', 'val_dataloader.batch_size=5',
    ]  # fmt: skip
    train_chain(chain, str(finished[0]), [*options, *others], dry_run=True)
    assert capsys.readouterr().out.count('done') == 2


def test_changes_can_be_accepted(finished, chain, options, capsys):
    arguments = dict(dry_run=True, measure=False, accept_changes=True)
    change = 'optim_wrapper.optimizer.lr=0.5'
    train_chain(chain, str(finished[0]), [*options, change], **arguments)
    assert capsys.readouterr().out.count('accepted: stage') == 2


def test_retrained_source_is_reported(finished, chain, options):
    work_dir = finished[0]
    record = Record.read(work_dir / 'A')
    try:
        Record(**{**vars(record), 'finished': '2031-01-01T00:00:00'}).write(work_dir / 'A')
        with pytest.raises(
            ValueError, match='stage D started from the A of .*which has since been retrained'
        ):
            train_chain(chain, str(work_dir), options)
    finally:
        record.write(work_dir / 'A')


def test_commands_of_a_stage(finished, options, tmp_path):
    """A new stage loads its source; a stage that resumes from a checkpoint does not."""
    stages = [
        digits_stage('vgg11', 1, name='A', use='best'),
        digits_stage('vgg11', 1, name='again', start_from='A'),
        digits_stage('vgg16', 6, name='D', staged_from='A'),
    ]
    chain = write_chain(tmp_path / 'c.py', *stages)
    jobs = jobs_of(chain, RunOptions(str(finished[0]), (*options,), processes=2))
    command = jobs['again'].train_command()
    best = next((finished[0] / 'A').glob('best_*.pth'))
    assert command[-3:] == [f'load_from={best}', '--launcher', 'pytorch']
    assert '--resume' in command
    assert command[1:5] == ['-m', 'torch.distributed.run', '--standalone', '--nproc_per_node=2']
    assert command[5] == str(ROOT / 'tools/train.py')
    resumed = jobs['D'].train_command()
    assert '--resume' in resumed and not any('staged_init' in word for word in resumed)
    assert jobs['again'].settings['images per step'] == 48


def test_the_plan(finished, chain, options):
    """The hours are extrapolated from measured steps of each net."""
    run = RunOptions(str(finished[0] / 'other'), (*options,))
    table = plan_table(list(jobs_of(chain, run).values()))
    rows = {line.split()[0]: line.split() for line in table.splitlines()[2:4]}
    assert rows['A'][-7:-1] == ['120', '1', '24', '5', 'to', 'do']
    assert rows['D'][-7:-1] == ['120', '6', '24', '30', 'to', 'do']
    assert min(float(rows[net][-1]) for net in 'AD') > 0
    assert 'extrapolated from a few training steps of each net on random images' in table
    assert 'for 32 images per step, here are 24' in table


def test_step_on_cached_maps_is_timed_separately(options, tmp_path, capsys):
    """Two stages that run all layers share a measurement; a stage on cached maps has its own."""
    frozen = f'_base_ = {A_DIGITS!r}\nmodel = dict(backbone=dict(frozen_stages=4))\n'
    (tmp_path / 'layers.py').write_text(frozen)
    loop = "dict(_delete_=True, type='vgg_mm.CachedMapsTrainLoop', max_epochs=3, views=2)"
    (tmp_path / 'maps.py').write_text(f'{frozen}train_cfg = {loop}\n')
    stages = [
        dict(name='one', config=str(tmp_path / 'layers.py')),
        dict(name='other', config=str(tmp_path / 'layers.py'), start_from='one'),
        dict(name='on_maps', config=str(tmp_path / 'maps.py'), start_from='other'),
    ]
    chain = write_chain(tmp_path / 'c.py', *stages)
    options = [o for o in options if not o.startswith('train_cfg.')]
    plan_table(list(jobs_of(chain, RunOptions(str(tmp_path / 'runs'), (*options,))).values()))
    assert capsys.readouterr().err.count('timing training steps') == 2


def test_the_time_of_a_step():
    """A step takes 3 s with 2 images and 6 s with 8: 0.5 s per image, plus 2 s."""
    assert split_time(3.0, 6.0, 2, 8) == (0.5, 2.0)
    assert split_time(3.0, 6.0, 2, 8).hours(images=3600, steps=1800) == 1.5
    # Neither part is negative, whatever was measured.
    assert split_time(3.0, 2.0, 2, 8) == (0.0, 2.0)


def test_the_plan_of_the_paper(tmp_path, capsys):
    """74 epochs with batches of 256 are the 370 K iterations of Section 3.1."""
    chain = str(ROOT / 'configs/chains/vgg16_paper.py')
    arguments = dict(dry_run=True, measure=False, launcher='pytorch', gpus=4)
    missing = [f'DATA_ROOT={tmp_path}/nowhere']
    train_chain(chain, str(tmp_path), missing, **arguments)
    printed = capsys.readouterr().out
    assert printed.count('1,281,167*') == printed.count('64 x 4') == printed.count('370,370') == 4
    assert len(printed.splitlines()[2]) <= 110
    assert "* assumed: ImageNet's" in printed and 'note:' not in printed
    assert printed.count('to do') == 4


def test_missing_data_are_reported_before_training(tmp_path):
    chain = str(ROOT / 'configs/chains/vgg16_digits.py')
    with pytest.raises(FileNotFoundError, match='stage vgg11_jitter_digits: no data folder'):
        train_chain(chain, str(tmp_path / 'root'), ['DATA_ROOT=nowhere'])
    assert not (tmp_path / 'root').exists()


@pytest.mark.parametrize('path', CHAINS, ids=lambda path: path.stem)
def test_every_chain_fits_together(path, tmp_path):
    jobs = jobs_of(path, RunOptions(str(tmp_path)))
    first, *others = jobs.values()
    assert first.cfg.model.backbone.arch == 'A' and first.source is None
    for job in others:
        assert job.source is not None
        assert crop_size(job.cfg) == (64 if 'digits' in path.stem else 224)
        same = job.cfg.model.backbone.arch == job.source.cfg.model.backbone.arch
        assert job.stage.all_layers == same
        rate, source_rate = (j.cfg.optim_wrapper.optimizer.lr for j in (job, jobs[first.name]))
        assert rate == pytest.approx(source_rate / 10 if same else source_rate)


def test_chains_cover_the_tables_of_the_paper(tmp_path):
    """Each (net, S, Q, protocol) of Tables 3 to 5, except A-LRN's, is tested by a chain."""
    from mmengine.config import Config

    from vgg_mm.apis.test_results import describe
    from vgg_mm.apis.tta import use_test_time_augmentation

    found = set()
    for path in CHAINS:
        for job in jobs_of(path, RunOptions(str(tmp_path))).values():
            for name in job.tests:
                cfg = Config(job.cfg.to_dict())
                use_test_time_augmentation(cfg, name)
                info = describe(cfg)
                found |= {
                    (info['net'], info['scale'], info['test_scales'], protocol)
                    for protocol in info['protocols']
                }
    rows = {row[:4] for row in (*TABLE_3, *TABLE_4, *TABLE_5) if row.net != 'A-LRN'}
    assert rows - found == set()


STAGE = dict(config=str(ROOT / 'configs/vgg/vgg11_jitter_digits.py'))
#: A text that --cfg-options cannot represent, neither unquoted nor in quotes of either kind.
BOTH_QUOTES = '"two", \'words\''

WRONG = {
    'no stages': ([], r'a chain needs stages = \[dict'),
    'no config': ([dict(name='A')], r'a stage is dict\(config=FILE'),
    'missing config': ([dict(config='no.py')], 'config of stage no not found: .*no.py'),
    'typo': (
        [dict(STAGE, start_form='A')],
        "a stage has no 'start_form'; did you mean 'start_from",
    ),
    'same name': ([STAGE, STAGE], "two stages are named 'vgg11_jitter_digits'"),
    'unknown source': (
        [dict(STAGE, staged_from='A')],
        "starts from 'A', which is not an earlier stage",
    ),
    'two starts': ([dict(STAGE, staged_from='A', start_from='A')], 'has staged_from .* start_from'),
    'use': ([dict(STAGE, use='first')], "use is 'last' or 'best', got 'first'"),
    'options': ([dict(STAGE, options=['a=1'])], 'options are .*got'),
    'start as option': ([dict(STAGE, options={'load_from': 'a.pth'})], 'load_from in its options'),
    'value': ([dict(STAGE, options={'a.b': BOTH_QUOTES})], 'a.b=.* cannot be passed by cfg_opt'),
    'name': ([dict(STAGE, name='a/b')], "the name of a stage is that of its folder, got 'a/b'"),
    'option': ([dict(STAGE, options={'modle.head.dropout': 1})], 'digits: .*no .modle.*model'),
    'test': ([dict(STAGE, test='denser')], "protocol 'denser': no such file"),
    'best': (
        [dict(STAGE, use='best', options={'default_hooks.checkpoint.save_best': None})],
        "use='best' needs default_hooks.checkpoint.save_best",
    ),
}


@pytest.mark.parametrize('case', WRONG)
def test_wrong_chains(case, tmp_path):
    stages, message = WRONG[case]
    chain = write_chain(tmp_path / 'chain.py', *stages)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        train_chain(chain, str(tmp_path), dry_run=True, measure=False)


@pytest.mark.parametrize(
    'arguments, message',
    [
        (dict(gpus=2), "gpus=2 needs launcher='pytorch'"),
        (dict(first='B'), "first='B': no such stage; available: vgg11_jitter_digits, vgg16_jitter"),
        (
            dict(first='vgg16_jitter_digits', until='vgg11_jitter_digits'),
            "first='vgg16_jitter_digits' comes after until=",
        ),
        (dict(first='vgg16_jitter_digits'), 'stage vgg11_jitter_digits is not finished in'),
        (dict(work_dir=BOTH_QUOTES), 'work_dir=.* cannot be passed by cfg_options'),
        (dict(chain='no.py'), 'chain not found: no.py'),
    ],
    ids=lambda value: '-'.join(value) if isinstance(value, dict) else '',
)
def test_wrong_arguments(arguments, message, tmp_path):
    chain = str(ROOT / 'configs/chains/vgg16_digits.py')
    given = dict(chain=chain, work_dir=str(tmp_path), dry_run=True, measure=False)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        train_chain(**{**given, **arguments})


@pytest.mark.parametrize('folder', ['A', 'elsewhere/A'])  # CheckpointHook's out_dir
def test_training_not_started_by_a_chain_is_rejected(folder, options, chain, tmp_path):
    for name in ('A', folder):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
    checkpoint = tmp_path / folder / 'epoch_1.pth'
    checkpoint.touch()
    (tmp_path / 'A/last_checkpoint').write_text(str(checkpoint))
    with pytest.raises(ValueError, match='of a training not started by a chain'):
        train_chain(chain, str(tmp_path), options)


def test_checkpoints_in_another_folder_are_found(options, tmp_path, capfd):
    """With ``out_dir`` of CheckpointHook."""
    stages = [
        digits_stage('vgg11', 1, name='A'),
        digits_stage('vgg11', 1, name='B', start_from='A', test='dense_one_scale'),
    ]
    chain = write_chain(tmp_path / 'c.py', *stages)
    elsewhere = f'default_hooks.checkpoint.out_dir={tmp_path / "elsewhere"}'
    for _ in range(2):
        table = train_chain(chain, str(tmp_path / 'runs'), [*options, elsewhere])
        (row,) = table.splitlines()[-1:]
        assert row.split()[:2] == ['B', 'A'] and 'dense' in row
    assert (tmp_path / 'elsewhere/A/epoch_1.pth').exists()
    out = capfd.readouterr().out
    assert 'A: done before' in out and 'B: done before' in out


def test_progress_of_a_stage(tmp_path):
    assert progress(tmp_path) == ('epoch', 0)
    names = ['epoch_9.pth', 'epoch_10.pth', 'best_accuracy_epoch_11.pth', 'epoch_12.pth.part']
    for name in names:
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (1, 1))
    assert progress(tmp_path) == ('epoch', 10)
    (tmp_path / 'iter_400.pth').touch()
    assert progress(tmp_path) == ('iter', 400)
    (tmp_path / 'another').mkdir()
    (tmp_path / 'another/last_checkpoint').write_text(str(tmp_path / 'epoch_10.pth'))
    assert progress(tmp_path / 'another') == ('iter', 400)


def test_broken_record(tmp_path):
    (tmp_path / RECORD_FILE).write_text('{"config": "a.py"')
    with pytest.raises(ValueError, match='chain_stage.json is broken'):
        Record.read(tmp_path)


def test_one_process_per_stage(tmp_path):
    with locked(str(tmp_path / 'A'), 'A'):
        message = f'stage A: process {os.getpid()} is running in .*A: wait until it ends'
        with pytest.raises(RuntimeError, match=message), locked(str(tmp_path / 'A'), 'A'):
            raise AssertionError('the lock was taken twice')
    with locked(str(tmp_path / 'A'), 'A') as file:
        assert not file.closed


def test_changes_in_one_line():
    assert changes({'a': 1}, {'a': 1}) == ''
    many = changes(dict.fromkeys('abcde', 1), dict.fromkeys('abcd', 2))
    assert many == 'a=1, now 2; b=1, now 2; c=1, now 2; and 2 more'
    assert changes({'e': [1, 2]}, {}) == 'e=[1, 2], now nothing'
    scaled = changes({'--auto-scale-lr': False}, {'--auto-scale-lr': True})
    assert scaled == 'auto_scale_lr=False, now True'


def test_durations():
    assert [short_duration(m) for m in (0.5, 119, 180, 4320)] == [
        '0.5 min',
        '119.0 min',
        '3.0 h',
        '3.0 d',
    ]


def train_rows(epochs, start=1, per_epoch=4, interval=2, rate=0.01):
    """Rows of a log as mmengine writes them."""
    rows = []
    for epoch in range(start, start + epochs):
        for inner in range(interval, per_epoch + 1, interval):
            iteration = (epoch - 1) * per_epoch + inner
            rows.append(
                dict(lr=rate, loss=1 / iteration, epoch=epoch, iter=iteration, step=iteration)
            )
        rows.append({'error/top1': 50 / epoch, 'accuracy/top5': 90.0, 'step': epoch})
    return rows


def test_merged_runs_have_no_repeated_rows():
    """The first run is killed in epoch 4, the second repeats it, the third only validates."""
    first = train_rows(4)[:-1]
    second = train_rows(2, start=4)
    third = [dict(second[-1], **{'error/top1': 7.0})]
    train, val = merge_runs([first, second, third])
    assert [row['iter'] for row in train] == list(range(2, 21, 2))
    assert [row['step'] for row in val] == [1, 2, 3, 4, 5]
    assert val[-1]['error/top1'] == 7.0
    # Without a checkpoint, the second run starts from the beginning.
    train, val = merge_runs([first[:2], train_rows(1)])
    assert [row['iter'] for row in train] == [2, 4] and len(val) == 1
    assert merge_runs([]) == ([], [])


def test_runs_resumed_within_an_epoch():
    first, second = train_rows(3), train_rows(3)
    train, val = merge_runs([first[:7], second[7:]])
    assert [row['iter'] for row in train] == [2, 4, 6, 8, 10, 12]
    assert [row['step'] for row in val] == [1, 2, 3]


def write_log(work_dir, name, rows):
    folder = work_dir / name / 'vis_data'
    folder.mkdir(parents=True)
    (folder / 'scalars.json').write_text(''.join(f'{json.dumps(row)}\n' for row in rows))


def test_curves_of_a_work_directory(tmp_path):
    write_log(tmp_path, '20250101_000000', train_rows(4)[:-1])
    write_log(tmp_path, '20250102_000000', train_rows(2, start=4, rate=0.001))
    with open(tmp_path / '20250102_000000/vis_data/scalars.json', 'a') as file:
        file.write('{"lr": 0.1, "lo')  # power failure
    curves = read_curves(str(tmp_path))
    assert curves.loss[:, 0].tolist() == [i / 2 for i in range(1, 11)]
    assert curves.drops == [3.5]
    assert curves.errors[1].tolist() == [[epoch, 50 / epoch] for epoch in range(1, 6)]
    assert curves.errors[5][:, 1].tolist() == [10] * 5
    assert draw_curves(str(tmp_path)) == str(tmp_path / 'curves.png')
    assert (tmp_path / 'curves.png').read_bytes().startswith(b'\x89PNG')


def test_curves_by_iterations(tmp_path):
    rows = [dict(lr=0.1, loss=1.0, iter=i, step=i) for i in (10, 20)]
    write_log(tmp_path, 'run', [*rows, {'error/top1': 3.0, 'step': 20}])
    curves = read_curves(str(tmp_path))
    assert curves.unit == 'iteration' and curves.loss[:, 0].tolist() == [10, 20]
    assert curves.errors[1].tolist() == [[20, 3]]


def test_smoothing_is_a_mean_of_neighbours():
    values = np.array([0.0, 3, 0, 3, 9])
    assert smooth(values, 1).tolist() == [1.5, 1, 2, 4, 6]
    assert smooth(values, 9).tolist() == [3] * 5
    assert smooth(values, 0).tolist() == values.tolist()


def test_a_folder_without_a_log(tmp_path):
    with pytest.raises(ValueError, match='has no log of a training'):
        draw_curves(str(tmp_path))
    with pytest.raises(FileNotFoundError, match='no such folder'):
        draw_curves(str(tmp_path / 'missing'))
