"""studies/run.py from training to report, with interruptions."""

import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
import yaml
from sklearn.metrics import accuracy_score
from study import run_study
from study.estimate import FINISHED, Estimator
from study.evaluations import average, evaluations
from study.load import load_study
from study.results import read_results, unpack
from study.study import Candidate
from study.trainings import TrainingKey, trainings

from tests.conftest import ROOT, heed_ctrl_c, run_tool
from tests.studies.cases import tiny, write
from vgg_mm.evaluation import load_posteriors

LR = 'optim_wrapper.optimizer.lr'


@pytest.fixture(scope='module')
def folder(few_digits, tmp_path_factory):
    """Folder of the tiny study, with a net that cannot be trained and a missing data set."""
    folder = tmp_path_factory.mktemp('study')
    content = tiny()
    content['runs']['A-wild'] = dict(arch='A', options={LR: 1e30})
    content['claims'].append(
        dict(
            name='rate',
            title='A trains at any rate',
            section='3.1',
            says='A trains.',
            comparisons=[dict(net='A-wild dense one', learns=True)],
        )  # fmt: skip
    )
    content['plots']['cost'] = ['D dense one', 'D dense several']
    data = content['profiles']['tiny']['data']
    data['digits']['root'] = str(few_digits)
    data['digits']['options'][LR] = 0.02
    data['absent'] = {**data['digits'], 'root': 'nowhere'}
    write(folder, content)
    return folder


def ended(folder, arguments, is_time):
    """Output, error output and exit status of a call that gets SIGTERM when ``is_time``."""
    process = subprocess.Popen(
        [sys.executable, str(ROOT / 'studies/run.py'), *arguments],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=heed_ctrl_c,
    )  # fmt: skip
    lines = []
    for line in process.stdout:
        lines.append(line)
        if is_time(lines):
            process.send_signal(signal.SIGTERM)
    return lines, process.communicate()[1], process.returncode


@pytest.fixture(scope='module')
def interrupted(folder):
    """Output and exit status of the first call, which gets SIGTERM while D is trained."""
    return ended(folder, ['study.yaml'], lambda lines: 'seed 0, D: training' in lines[-1])


@pytest.fixture(scope='module')
def finished(folder, interrupted):
    """The result of the same command, run to its end; A's checkpoint is not written again."""
    checkpoint = folder / 'runs/digits/seed0/A/epoch_2.pth'
    before = checkpoint.stat().st_mtime_ns
    done = run_tool('studies/run.py', 'study.yaml', cwd=folder, check=False)
    assert checkpoint.stat().st_mtime_ns == before, 'a finished training is used as it is'
    return done


def test_an_interruption_is_one_clear_line(interrupted, folder):
    lines, stderr, status = interrupted
    assert status == 130
    assert stderr.strip().splitlines()[-1].startswith('stopped; run the same command again')
    assert 'Traceback' not in stderr + ''.join(lines)
    assert (folder / 'runs/digits/seed0/A/tests/dense_46/posteriors.npz').exists()
    assert not (folder / 'runs/digits/seed0/D/epoch_2.pth').exists()


def test_the_same_command_continues(finished):
    started = [line for line in finished.stdout.splitlines() if line.startswith('[')]
    assert not [line for line in started if ', A:' in line]
    assert [line.split('] ')[1] for line in started] == [
        'digits, seed 0, D: training',
        'digits, seed 0, D: dense at Q = 46',
        'digits, seed 0, D: dense at Q = 36',
        'digits, seed 0, A-wild: training',
    ]


def test_failures_are_one_line_each_and_other_runs_continue(finished):
    assert finished.returncode == 1
    failed = [line for line in finished.stdout.splitlines() if line.startswith('failed: ')]
    assert failed == [
        "failed: absent: no data folder 'nowhere': give yours with --data absent=FOLDER"
    ]
    assert re.fullmatch(r'error: 1 of \d+ runs failed .*', finished.stderr.strip())


def test_a_loss_that_is_not_finite_is_a_result(finished, folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert re.search(r'the loss is (nan|inf) at iteration \d+: kept as a result', finished.stdout)
    results = read_results(load_study('study.yaml'), 'digits')
    assert results.courses['A/0'].failed is None
    course = results.courses['A-wild/0']
    assert course.failed.startswith('the loss is ')
    answer = results.answers['A-wild dense one/0']
    labels = np.array(results.labels)
    most = np.bincount(labels).argmax()
    assert answer.failed
    np.testing.assert_array_equal(unpack(answer.wrong, len(labels)), labels != most)


def test_a_third_call_has_nothing_to_do(finished, folder, monkeypatch, capsys):
    results = (folder / 'results/digits.json').read_bytes()
    report = (folder / 'report/tiny.html').read_bytes()
    monkeypatch.chdir(folder)
    with pytest.raises(FileNotFoundError, match=r"^absent: no data folder 'nowhere': give yours"):
        run_study('study.yaml')
    assert '[' not in capsys.readouterr().out
    assert (folder / 'results/digits.json').read_bytes() == results
    assert (folder / 'report/tiny.html').read_bytes() == report


def test_the_plan_shows_what_is_left(finished, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    run_study('study.yaml', seeds=[1], dry_run=True, measure=False)
    out = capsys.readouterr().out
    row = next(line for line in out.splitlines() if line.startswith('digits  D '))
    assert row.split()[2:4] == ['1', '2'] and row.endswith('finished runs')
    assert not (folder / 'runs/digits/seed1').exists()


def test_a_shorter_training_takes_fewer_hours(finished, folder, monkeypatch):
    """Hours of a training are estimated from a finished one of the same net, by the epochs."""
    monkeypatch.chdir(folder)
    study = load_study('study.yaml')
    done = trainings(study)[TrainingKey('digits', 0, 'A')]
    (folder / 'longer').mkdir()
    content = yaml.safe_load((folder / 'study.yaml').read_text())
    content['profiles']['tiny']['data']['digits']['options']['train_cfg.max_epochs'] *= 4
    longer = trainings(load_study(write(folder / 'longer', content), out='longer/out'))
    hours, source = Estimator([done], measure=False).training(longer[done.key])
    assert source == FINISHED and hours == pytest.approx(4 * done.minutes / 60)


def test_hours_of_a_test_come_from_other_tests_of_the_net(finished, folder, monkeypatch):
    """They are proportional to the pixels: a dense test at twice the Q takes four times as long."""
    monkeypatch.chdir(folder)
    study = load_study('study.yaml')
    (done,) = evaluations(Candidate(('A',), 'dense', 'one'), 'digits', 0, trainings(study))
    estimator = Estimator([done], measure=False)
    hours, source = estimator.test(done._replace(q=2 * done.q))
    count = estimator.test_images(done.training).count
    assert source == FINISHED
    assert hours == pytest.approx(4 * count * done.seconds_per_image() / 3600)


def test_out_starts_in_a_new_folder(finished, folder, monkeypatch, capsys):
    """The profile's results and runs are neither used nor changed."""
    monkeypatch.chdir(folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob('*')}
    run_study('study.yaml', out='again', dry_run=True, measure=False)
    assert re.search(r'^0 of \d+ trainings and tests are done', capsys.readouterr().out, re.M)
    run_study('study.yaml', out='again', report_only=True)
    written = capsys.readouterr().out.splitlines()
    assert written == ['written: again/study.md', 'written: again/study.html']
    assert not read_results(load_study('study.yaml', out='again'), 'digits').answers
    assert (
        '\npython studies/run.py study.yaml --profile tiny --out again\n'
        in (folder / 'again/study.md').read_text()
    )
    new = folder / 'again'
    after = {
        path: path.stat().st_mtime_ns
        for path in folder.rglob('*')
        if path != new and new not in path.parents
    }
    assert after == before


def test_errors_agree_with_the_posteriors(finished, folder, monkeypatch):
    monkeypatch.chdir(folder)
    study = load_study('study.yaml')
    results = read_results(study, 'digits')
    for run in 'AD':
        content = load_posteriors(f'runs/digits/seed0/{run}/tests/dense_46/posteriors.npz')
        expected = 1 - accuracy_score(content.labels, content.scores['dense'].argmax(1))
        wrong = results.wrong(Candidate((run,), 'dense', 'one'), (0,))
        assert wrong.mean() == pytest.approx(expected)


def test_averaged_tests_equal_a_single_test(finished, folder, monkeypatch):
    """The average of tests at one Q each equals one run of tools/test.py at all Q."""
    monkeypatch.chdir(folder)
    study = load_study('study.yaml')
    found = trainings(study)
    side = Candidate(('D',), 'dense', 'several')
    tests = evaluations(side, 'digits', 0, found)
    config, checkpoint, *options = tests[0].arguments()
    place = options.index('--out')
    options[place + 1] = 'together.npz'
    options = [re.sub(r'(\.scales)=\d+', r'\1=(36,46)', option) for option in options]
    run_tool('test.py', config, checkpoint, *options, '--work-dir', 'together', cwd=folder)
    together = load_posteriors('together.npz')
    mean = average(tests)
    order = np.argsort(together.names)
    assert mean.names == [together.names[i] for i in order]
    np.testing.assert_allclose(mean.scores['mean'], together.scores['dense'][order], atol=1e-6)


def test_a_changed_setting_is_named(finished, folder, tmp_path, monkeypatch, capsys):
    """Runs with other settings are not used, and their results are not mixed."""
    text = (folder / 'study.yaml').read_text().replace(f'{LR}: 0.02', f'{LR}: 0.03')
    changed = folder / 'changed.yaml'
    text = text.replace('results: results', 'results: other')
    changed.write_text(text.replace('report: report/tiny', 'report: report/changed'))
    monkeypatch.chdir(folder)
    with pytest.raises(RuntimeError, match='runs failed'):
        run_study('changed.yaml', only=['A'])
    assert f'stage A was trained with {LR}=0.02, now 0.03' in capsys.readouterr().out
    run_study('changed.yaml', report_only=True)
    results = read_results(load_study('changed.yaml'), 'digits')
    assert not results.answers and 'A/0' not in results.courses


def test_the_report_needs_only_the_results(finished, folder, tmp_path, monkeypatch):
    """Another folder with the results but without the runs gives the same report."""
    for name in ('study.yaml', 'results'):
        os.symlink(folder / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    run_study('study.yaml', report_only=True)
    for ending in ('md', 'html'):
        name = f'report/tiny.{ending}'
        assert (tmp_path / name).read_text() == (folder / name).read_text()
    files = json.loads((folder / 'results/digits.json').read_text())
    assert set(files['answers']) >= {'A dense one/0', 'D dense one/0', 'D usual 36/0'}
    assert set(files['test_minutes']) == {'A/0', 'D/0'}
    assert min(files['test_minutes'].values()) > 0
    assert (folder / 'results/digits.json').stat().st_size < 30_000
    assert str(folder) not in (folder / 'report/tiny.html').read_text()
    assert TrainingKey('digits', 0, 'A') in trainings(load_study('study.yaml'))


@pytest.fixture(scope='module')
def side_by_side(folder):
    """Another seed with two jobs: a call gets SIGTERM while both train, then it is repeated."""
    content = yaml.safe_load((folder / 'study.yaml').read_text())
    profile = content['profiles']['tiny']
    del profile['data']['absent']
    profile.update(seeds=[1], work_dir='jobs/runs', results='jobs', report='jobs/report')
    (folder / 'jobs.yaml').write_text(yaml.safe_dump(content, sort_keys=False))
    command = ['jobs.yaml', '--jobs', '2']
    stopped = ended(folder, command, lambda lines: len(lines) == 2)
    done = run_tool('studies/run.py', *command, cwd=folder)
    return *stopped, done.stdout.splitlines()


def test_several_jobs_are_ended_together(side_by_side):
    lines, stderr, status, _ = side_by_side
    # D waits for A; the next run that needs no other run starts beside A.
    assert [line.split('] ')[1].strip() for line in lines] == [
        'digits, seed 1, A: training',
        'digits, seed 1, A-wild: training',
    ]
    assert status == 130
    assert stderr.strip().splitlines()[-1].startswith('stopped; run the same command again')
    assert 'Traceback' not in stderr


def test_several_jobs_do_everything_in_order(side_by_side, folder, monkeypatch):
    output = side_by_side[-1]
    place = {line.split('] ')[1]: i for i, line in enumerate(output) if line.startswith('[')}
    over = next(i for i, line in enumerate(output) if line.startswith('  digits, seed 1, A: '))
    assert place['digits, seed 1, A: training'] < over < place['digits, seed 1, D: training']
    monkeypatch.chdir(folder)
    study = load_study('jobs.yaml')
    results = read_results(study, 'digits')
    assert set(results.courses) == {'A/1', 'D/1', 'A-wild/1'}
    for side in study.sides(study.data['digits']):
        assert results.wrong(side, study.seeds) is not None


def test_the_log_distinguishes_jobs(side_by_side, folder):
    numbers: dict[str, set] = {}
    for line in (folder / 'jobs/runs/study.log').read_text().splitlines():
        number, dollar, command = line.partition(' $ python tools/')
        if dollar:
            numbers.setdefault(number, set()).add(command)
        assert re.match(r'\[\d+/7\] ', line)
    assert {len(commands) for commands in numbers.values()} == {1}


def test_there_is_at_least_one_job(folder, monkeypatch):
    monkeypatch.chdir(folder)
    with pytest.raises(ValueError, match='--jobs must be at least 1, got 0'):
        run_study('study.yaml', jobs=0)
