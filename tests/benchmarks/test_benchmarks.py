"""The benchmarks run in a short form, and their result files are rendered as a page."""

import json
import re
import sys

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope

from tests import preloaded
from tests.benchmarks.samples import SAMPLES
from tests.conftest import ROOT
from tests.docs.world import write_photos
from vgg_mm.apis.net_table import layers

FOLDER = ROOT / 'benchmarks'


@pytest.fixture
def benchmark(monkeypatch):
    """Function that imports a module of the benchmarks by its name."""
    monkeypatch.syspath_prepend(str(FOLDER))

    def load(name):
        return __import__(name)

    return load


def run(script, *args, cwd):
    """Run a script with ``--out``; returns its output and its results."""
    done = preloaded.run(
        [str(FOLDER / script), *map(str, args), '--out', str(cwd / 'result.json')], cwd
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout, json.loads((cwd / 'result.json').read_text())


def test_start_up(benchmark, monkeypatch, tmp_path, capsys):
    """With fast commands in place of the measured ones."""
    start_up = benchmark('start_up')
    python = [sys.executable, '-S', '-E', '-c']
    pair = {'MMPretrain': [*python, 'sum(range(4 * 10**7))'], 'vgg_mm': [*python, 'pass']}
    monkeypatch.setattr(start_up, 'commands', lambda kind: pair)
    monkeypatch.setattr(start_up, 'check', lambda kind: None)
    words = ['start_up.py', '--only', 'test.py', '--repetitions', '1']
    monkeypatch.setattr(sys, 'argv', [*words, '--out', str(tmp_path / 'result.json')])
    start_up.main()
    result = json.loads((tmp_path / 'result.json').read_text())
    times = result['seconds']['test.py --help']
    assert {len(one[clock]) for one in times.values() for clock in ('cpu', 'wall')} == {1}
    assert times['vgg_mm']['cpu'][0] < times['MMPretrain']['cpu'][0]
    assert 'goal at most 0.5: reached' in capsys.readouterr().out
    assert benchmark('page_sections').start_up(result).outcomes[0].verdict() == 'reached'


def test_commands_of_start_up(benchmark):
    """Each tool of MMPretrain is compared with the tool of the same name, which has its options."""
    start_up = benchmark('start_up')
    for kind in start_up.TOOLS:
        peer, ours = (command[-2] for command in start_up.commands(kind).values())
        assert '/mmpretrain/.mim/tools/' in peer and ours == str(ROOT / 'tools' / kind)
    start_up.check('test.py')


def test_start_up_names_the_command_that_failed(benchmark):
    with pytest.raises(SystemExit, match=r"-c 'import nothing' ended with status 1"):
        benchmark('start_up').run([sys.executable, '-c', 'import nothing'])


def test_growth(tmp_path, benchmark):
    short = ('--repetitions', 1, '--points', 2, '--base-channels', 4)
    text, result = run('growth.py', *short, '--only', 'dense', 'images', 'nets', cwd=tmp_path)
    exponents = {name: curve['work_exponent'] for name, curve in result['curves'].items()}
    assert exponents['dense'] > 2  # the windows of fc6 grow faster than the pixels
    assert exponents['images'] == pytest.approx(1) and exponents['nets'] == pytest.approx(1)
    assert all(len(curve['seconds']) == 2 for curve in result['curves'].values())
    assert text.count('goal at most 0.1') == 3
    assert len(benchmark('page_sections').growth(result).outcomes) == 3


def test_work_of_the_curves(tmp_path, benchmark):
    """The slower curves; only their work is counted."""
    curves = benchmark('growth_curves')
    work = {}
    with DefaultScope.overwrite_default_scope('mmpretrain'), torch.no_grad():
        for name in ('multi_crop', 'classes', 'workers'):
            curve = curves.CURVES[name](4, tmp_path, 2)
            work[name] = [point.work for point in curve.points]
        assert curve.points[1].run().shape == (curves.OF_WORKERS, 1000)
    assert len({*work['multi_crop']}) == len({*work['workers']}) == 1
    fewer, more = work['classes']
    assert more - fewer == 2 * curves.BATCH * 64 * 4 * (curves.CLASSES[1] - curves.CLASSES[0])


def test_counted_work_equals_the_table_of_nets(benchmark):
    """At 1/16 of the width; the inputs of conv1_1 and the outputs of fc8 are unchanged."""
    curves = benchmark('growth_curves')
    with DefaultScope.overwrite_default_scope('mmpretrain'), torch.no_grad():
        tester = curves.Tester(4, num_classes=7)
        photo = curves.made_up_photo(224, 224)
        counted = tester.multiply_adds(lambda: tester.photos([photo], 224))
    scaled = sum(
        row.multiply_adds / (16 if row.name in ('conv1_1', 'fc8') else 256)
        for row in layers('A', num_classes=7)
    )
    assert counted == 2 * scaled  # the photo and its flip


def test_exponents(benchmark):
    xs = np.array([2.0, 3, 5, 8])
    assert benchmark('growth').exponent(xs, 7 * xs**1.5) == pytest.approx(1.5)


def test_memory(tmp_path, benchmark):
    write_photos(tmp_path / 'photos')
    short = ('--crops', 40, '--only', 'lazy')
    text, result = run('memory.py', 'photos', *short, cwd=tmp_path)
    lazy = result['courses']['lazy']
    assert lazy['images'] == [*range(2, 41, 2)]
    assert all(2**27 < held <= lazy['peak'] for held in lazy['resident'])
    assert 'goal at most 1.05' in text
    assert len(benchmark('page_sections').memory(result).outcomes) == 1


def test_memory_of_testing(tmp_path):
    """The part that memory.py runs in a child process."""
    words = ('memory.py', '.', '--child', 'dense, strips', '--tests', '8')
    done = preloaded.run([str(FOLDER / words[0]), *words[1:]], tmp_path)
    assert done.returncode == 0, done.stderr
    course = json.loads(done.stdout.splitlines()[-1])
    assert course['images'] == [4, 8] and len(course['resident']) == 2


def test_loaders(tmp_path):
    write_photos(tmp_path / 'photos')
    text, result = run('loaders.py', 'photos', '--workers', 1, '--batches', 1, cwd=tmp_path)
    rates = result['images_a_second']
    assert rates.keys() == {'MMPretrain', 'vgg_mm'}
    assert all(rate['1'] > 0 for rate in rates.values())
    assert 'vgg_mm, 1 workers: ' in text


def test_lrn_speed(tmp_path):
    text, result = run('lrn_speed.py', '--batch', 1, '--repetitions', 1, cwd=tmp_path)
    assert [len(one) for one in result['seconds'].values()] == [2, 3]
    assert "times as fast as torch's" in text


def test_goals(benchmark):
    goals = benchmark('goals')
    assert [goals.Goal(2).verdict(x) for x in (1.9, 2, 2.1)] == ['missed', 'reached', 'reached']
    assert [goals.at_most(2).verdict(x) for x in (1.9, 2, 2.1)] == ['reached', 'reached', 'missed']
    assert str(goals.at_most(0.5)) == 'at most 0.5'


def test_turns(benchmark):
    """The first round is dropped, and the order alternates."""
    calls = []
    runs = {name: lambda name=name: calls.append(name) or len(calls) for name in 'ab'}
    assert benchmark('timing').in_turn(runs, 2) == {'a': [4, 5], 'b': [3, 6]}
    assert ''.join(calls) == 'abbaab'


def test_page_of_all_measurements(tmp_path):
    for name, content in SAMPLES.items():
        (tmp_path / f'{name}.json').write_text(json.dumps(content))
    text, page = make_page(tmp_path)
    assert text.strip() == str(tmp_path / 'out/index.html')
    assert '>missing<' not in page and 'http' not in page
    assert page.count('<svg') == page.count('<figure>') == len(SAMPLES)
    cells = [re.sub('<.*?>', '', cell) for cell in re.findall('<td.*?</td>', page)]
    assert cells.count('reached') == 23 and cells.count('missed') == 5
    row = cells.index('import: CPU time') - 1
    assert cells[row : row + 5] == [
        'Start-up', 'import: CPU time', 'at most 1.05', '1.25 (1.25 to 1.25)', 'missed',
    ]  # fmt: skip
    tables = (tmp_path / 'out/index.md').read_text()
    pictures = re.findall(r'!\[.*\]\((images/.*)\)', tables)
    assert len(pictures) == len(SAMPLES)
    assert all((tmp_path / 'out' / picture).stat().st_size > 2000 for picture in pictures)


def test_page_lists_missing_results(tmp_path):
    """Each with the command that writes it."""
    _, page = make_page(tmp_path)
    assert page.count('>missing<') == 2 * len(SAMPLES)
    assert 'python benchmarks/jitter.py FOLDER' in page and '<svg' not in page


@pytest.mark.parametrize('content', ['{"seconds"', '{"seconds": {}}', '[]'])
def test_page_names_a_broken_file(content, tmp_path):
    (tmp_path / 'guards.json').write_text(content)
    done = preloaded.run([str(FOLDER / 'page.py'), '--results', str(tmp_path)], tmp_path)
    assert done.returncode == 1
    assert re.fullmatch(r'.*guards\.json is not what guards\.py writes \(.*\)\n', done.stderr)


def make_page(folder):
    done = preloaded.run(
        [str(FOLDER / 'page.py'), '--results', str(folder), '--out', str(folder / 'out')], folder
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, (folder / 'out/index.html').read_text()


def test_heads_on_maps(benchmark, monkeypatch, tmp_path, capsys):
    """Heads trained on separable feature maps classify unseen photos."""
    heads = benchmark('heads_on_maps')
    monkeypatch.setattr(
        heads, 'SETTINGS', [dict(head='gap', lr=1e-2), dict(head=16, lr=1e-2, views=1)]
    )
    folder = tmp_path / 'maps' / 'train'
    folder.mkdir(parents=True)
    draw = np.random.default_rng(0)
    labels = np.arange(40) % 2
    for view in range(2):
        for first in (0, 32):
            part = labels[first : first + 32]
            maps = draw.random((len(part), 4, 2, 2))
            maps[range(len(part)), part] += 5
            np.save(folder / f'{view}-{first:09d}-x.npy', maps.astype(np.float16))
            samples = [dict(label=[int(label)]) for label in part]
            (folder / f'{view}-{first:09d}-x.json').write_text(json.dumps(samples))
    out = tmp_path / 'heads.json'
    words = ['heads_on_maps.py', str(tmp_path), '--seeds', '0', '1', '--out', str(out)]
    monkeypatch.setattr(sys, 'argv', words)
    heads.main()
    rows = json.loads(out.read_text())
    assert [row['head'] for row in rows] == ['gap', 'gap', 16, 16]
    assert {row['images'] for row in rows} == {8} and max(row['wrong'] for row in rows) <= 1
    assert rows[0]['interval'][0] <= rows[0]['error'] <= rows[0]['interval'][1]
