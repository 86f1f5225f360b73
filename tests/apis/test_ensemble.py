"""Ensembles compared with averages by numpy, and errors in their files."""

import re
import shlex
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config

from tests.conftest import ROOT, run_tool
from vgg_mm.apis.ensemble import load_recipe, report
from vgg_mm.evaluation import Posteriors, load_posteriors, read_records, wrong_images
from vgg_mm.evaluation.ensemble import Member, ensembles
from vgg_mm.evaluation.paper_results import TABLE_6

D_AND_E, SUBMISSION = sorted((ROOT / 'configs/ensembles').glob('table6_*.py'))
#: Part of a config's name -> net.
NETS = {'vgg16': 'D', 'vgg16c': 'C', 'vgg19': 'E'}
SCALES = {
    's256': ([256, 256], [224, 256, 288]),
    's384': ([384, 384], [352, 384, 416]),
    'jitter': ([256, 512], [256, 384, 512]),
}


def info(net='D', scale='jitter', **fields):
    known = dict(width=64, data='data/val', imagenet=True, config='', checkpoint='')
    return dict(net=net, scale=SCALES[scale][0], test_scales=SCALES[scale][1], **known, **fields)


def random_net(rng, labels, classes=6, protocols=('dense',), **parts):
    """Posteriors that favour the right class a little."""
    n = len(labels)
    scores = {}
    for protocol in protocols:
        logits = rng.normal(size=(n, classes)) + 1.5 * np.eye(classes)[labels]
        scores[protocol] = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    defaults = dict(
        names=[f'{label}/{i}.png' for i, label in enumerate(labels)],
        classes=[f'class {i}' for i in range(classes)],
        info=info(),
    )
    return Posteriors(**{**defaults, 'scores': scores, 'labels': np.asarray(labels), **parts})


def shuffled(rng, net):
    order = rng.permutation(len(net.names))
    return net._replace(
        scores={protocol: scores[order] for protocol, scores in net.scores.items()},
        labels=net.labels[order],
        names=[net.names[i] for i in order],
    )


def average(*nets, **options):
    """The ensemble of nets with a single protocol."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder) / f'{i}.npz') for i in range(len(nets))]
        for net, path in zip(nets, paths):
            net.save(path)
        (found,) = ensembles([Member(path) for path in paths], **options)
    return found._replace(record=replace(found.record, checkpoint=''))


sizes = dict(n=st.integers(1, 20), classes=st.integers(2, 8), seed=st.integers(0, 2**16))


@settings(max_examples=25, deadline=None)
@given(**sizes, weights=st.lists(st.floats(0.1, 10), min_size=2, max_size=4))
def test_equals_numpys_weighted_average(n, classes, seed, weights):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    nets = [random_net(rng, labels, classes) for _ in weights]
    nets[1].scores['dense'][rng.random(n) < 0.1] = np.nan
    found = average(*nets, weights=weights)
    expected = np.average([net.scores['dense'] for net in nets], axis=0, weights=weights)
    np.testing.assert_allclose(found.posteriors.scores['dense'], expected, rtol=1e-6)
    top_k = [k for k in (1, 5) if k <= classes]
    assert list(found.record.wrong) == top_k and found.record.images == n
    for record, scores in zip([found.record, *found.members], [expected, *nets]):
        scores = scores.scores['dense'] if isinstance(scores, Posteriors) else scores
        assert record.wrong == {k: wrong_images(scores, labels, k).sum() for k in top_k}
    if np.isnan(nets[1].scores['dense']).all():
        assert found.record.error(1) == 100


@settings(max_examples=25, deadline=None)
@given(**sizes)
def test_the_order_of_images_does_not_matter(n, classes, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    nets = [random_net(rng, labels, classes) for _ in range(3)]
    found, again = average(*nets), average(*(shuffled(rng, net) for net in nets))
    assert (again.record, again.members) == (found.record, found.members)
    position = {name: i for i, name in enumerate(again.posteriors.names)}
    order = [position[name] for name in found.posteriors.names]
    np.testing.assert_array_equal(
        again.posteriors.scores['dense'][order], found.posteriors.scores['dense']
    )


@settings(max_examples=10, deadline=None)
@given(**sizes, weight=st.floats(0.1, 10))
def test_equal_weights_equal_no_weights(n, classes, seed, weight):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    nets = [random_net(rng, labels, classes) for _ in range(2)]
    found, weighted = average(*nets), average(*nets, weights=[weight, weight])
    assert weighted.record == found.record
    np.testing.assert_array_equal(
        weighted.posteriors.scores['dense'], found.posteriors.scores['dense']
    )


@settings(max_examples=10, deadline=None)
@given(**sizes)
def test_ensembles_nest(n, classes, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    nets = [random_net(rng, labels, classes, info=info(net)) for net in 'DEC']
    pair = average(*nets[:2], weights=[1, 2]).posteriors
    nested = average(pair, nets[2], weights=[3, 4])
    flat = average(*nets, weights=[1, 2, 4])
    np.testing.assert_allclose(
        nested.posteriors.scores['dense'], flat.posteriors.scores['dense'], rtol=1e-6
    )
    assert nested.record.net == flat.record.net == 'D + E + C'
    d, e, c = (f'{net} [256;512] 256,384,512' for net in 'DEC')
    assert flat.record.members == [f'1 x {d}', f'2 x {e}', f'4 x {c}']
    assert nested.record.members == [f'3 x (1 x {d} + 2 x {e})', f'4 x {c}']


@pytest.fixture
def folder(tmp_path):
    """D and E with three protocols in common, and E's images in another order."""
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 6
    for net, protocols in (('D', ('dense', 'multi_crop', 'centre crop')), ('E', None)):
        protocols = protocols or ('centre crop', 'multi_crop', 'dense', 'other')
        random = random_net(rng, labels, protocols=protocols, info=info(net))
        shuffled(rng, random).save(tmp_path / f'{net}.npz')
    return tmp_path


def lines(capsys):
    return [re.split(r' {2,}', line.strip()) for line in capsys.readouterr().out.splitlines()]


def test_every_protocol_in_common(folder, capsys):
    d, e = folder / 'D.npz', folder / 'E.npz'
    report([str(d), str(e)])
    header, _, *rows = lines(capsys)
    assert header == ['net', 'S', 'Q', 'protocol', 'top-1 error, %', 'top-5 error, %']
    assert [(row[0], row[3]) for row in rows] == [
        (net, protocol) for protocol in load_posteriors(d).scores for net in ('D', 'E', 'D + E')
    ]
    assert {tuple(row[1:3]) for row in rows} == {('[256;512]', '256,384,512')}
    assert all(re.fullmatch(r'\d+\.\d \[\d+\.\d, \d+\.\d\]', cell) for r in rows for cell in r[4:])
    report([str(d), str(e)], protocol='multi_crop')
    assert lines(capsys)[2:] == rows[3:6]


def test_protocols_can_be_mixed(folder, capsys):
    d, e = load_posteriors(folder / 'D.npz'), str(folder / 'E.npz')
    files = [f'{folder}/D.npz:centre crop', f'{folder}/D.npz:dense']
    report(files, out=folder / 'out.npz', work_dir=folder)
    assert [row[3] for row in lines(capsys)[2:]] == ['centre crop', 'dense', 'mixed']
    mixed = load_posteriors(folder / 'out.npz').scores
    expected = (d.scores['centre crop'] + d.scores['dense']) / 2
    np.testing.assert_allclose(mixed['mixed'], expected, rtol=1e-6)
    (record,) = read_records(folder / 'test_results.jsonl')
    assert (record.net, record.protocol) == ('D + D', 'mixed')
    one = 'D [256;512] 256,384,512'
    assert record.members == [f'{one} centre crop', f'{one} dense']
    # A file given with its protocol has no other; --protocol applies to the rest.
    report([files[1], e])
    assert [row[3] for row in lines(capsys)[2:]] == ['dense'] * 3
    report([files[1], e], protocol='other')
    assert [row[3] for row in lines(capsys)[2:]] == ['dense', 'other', 'mixed']


def test_ensembles_of_other_files_are_other_rows(folder, tmp_path):
    """Also where their nets have the same names: trained with another seed, say."""
    shutil.copy(folder / 'E.npz', folder / 'E2.npz')
    for second in ('E', 'E2', 'E'):
        report([str(folder / 'D.npz'), str(folder / f'{second}.npz')], work_dir=str(tmp_path / 'w'))
    rows = read_records(tmp_path / 'w/test_results.jsonl')
    assert len(rows) == 2 * 3  # protocols in common
    assert {row.checkpoint for row in rows} == {
        f'{folder}/D.npz + {folder}/{second}.npz' for second in ('E', 'E2')
    }


def test_unknown_values_are_question_marks(tmp_path, capsys):
    rng = np.random.default_rng(0)
    paths = [str(tmp_path / 'ours.npz'), str(tmp_path / 'theirs: 4 classes.npz')]
    labels = np.arange(8) % 4
    random_net(rng, labels, 4, info=info('D', 's256')).save(paths[0])
    random_net(rng, labels, 4, info={}).save(paths[1])
    report(paths, work_dir=tmp_path / 'new')
    header, _, ours, theirs, both = lines(capsys)
    assert header[-1] == 'top-1 error, %'
    assert ours[:3] == ['D', '256', '224,256,288'] and theirs[:3] == ['?', '?', '?']
    assert both[:2] == ['D + ?', 'dense']
    (record,) = read_records(tmp_path / 'new/test_results.jsonl')
    assert record.members == ['D 256 224,256,288', f'{paths[1]} ? ?']
    assert not record.imagenet and list(record.wrong) == [1]


@pytest.mark.parametrize(
    'change, message',
    [
        (
            lambda net: net._replace(names=['new.png', *net.names[1:]]),
            "one.npz and .*two.npz have different images, 12 and 12: only in the first: '0/0.png'$",
        ),
        (
            lambda net: random_net(np.random.default_rng(0), np.arange(14) % 6),
            "different images, 12 and 14: only in the second: '0/12.png', '1/13.png'$",
        ),
        (
            lambda net: random_net(np.random.default_rng(0), net.labels, 7),
            "different classes, 6 and 7: only in the second: 'class 6'$",
        ),
        (
            lambda net: net._replace(classes=['class 1', 'class 0', *net.classes[2:]]),
            "classes in different orders: class 0 is 'class 0' and 'class 1'",
        ),
        (
            lambda net: net._replace(labels=(net.labels + np.eye(12, dtype=int)[3])),
            "one.npz and .*two.npz disagree on the label of '3/3.png': 'class 3' and 'class 4'",
        ),
        (
            lambda net: net._replace(scores={'centre crop': net.scores['dense']}),
            r'no protocol in common \(.*one.npz: dense; .*two.npz: centre crop\)',
        ),
    ],
)
def test_files_that_do_not_match_are_one_clear_line(change, message, tmp_path):
    net = random_net(np.random.default_rng(0), np.arange(12) % 6)
    net.save(tmp_path / 'one.npz')
    change(net).save(tmp_path / 'two.npz')
    with pytest.raises(ValueError, match=message):
        report([f'{tmp_path}/one.npz', f'{tmp_path}/two.npz'])


@pytest.mark.parametrize(
    'files, options, message',
    [
        ([], {}, 'needs two files at least, got 0'),
        (['D.npz'], {}, 'needs two files at least, got 1'),
        (['D.npz', 'D.npz'], {}, r'D.npz is given twice with the protocol'),
        (['D.npz:dense', './D.npz:dense'], {}, "is given twice with the protocol 'dense'"),
        (['D.npz', 'D.npz:dense'], {}, "is given twice with the protocol 'dense'"),
        (['D.npz', 'E.npz'], dict(weights=[1]), '1 weights for 2 files'),
        (['D.npz', 'E.npz'], dict(weights=[1, 0]), 'weights must be positive, got 1 0'),
        (['D.npz', 'E.npz'], dict(weights=[1, float('nan')]), 'weights must be positive'),
        (['D.npz', 'F.npz'], {}, 'posteriors not found: F.npz'),
        (['D.npz', 'F.npz:dense'], {}, 'posteriors not found: F.npz'),
        (['D.npz', 'E.npz:'], {}, 'posteriors not found: E.npz:'),
        (['D.npz:other', 'E.npz'], {}, "D.npz has no protocol 'other'; it has dense, multi_crop"),
        (['D.npz', 'E.npz'], dict(protocol='other'), "D.npz has no protocol 'other'"),
        (['D.npz:dense', 'E.npz:dense'], dict(protocol='dense'), "protocol='dense' has no effect"),
        (['D.npz', 'E.npz'], dict(recipe=str(SUBMISSION)), 'give files or recipe, not both'),
        (['D.npz', 'E.npz'], dict(out='./E.npz'), "out='./E.npz' is one of the files to average"),
        ([], dict(recipe='none.py'), 'recipe not found: none.py'),
    ],
)
def test_wrong_arguments_are_one_clear_line(folder, files, options, message, monkeypatch):
    monkeypatch.chdir(folder)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        report(files, **options)


def test_the_command(folder):
    done = run_tool(
        'ensemble.py', 'D.npz', '--protocol', 'dense', 'E.npz:dense', '--weights', 1, 3,
        '--out', 'out/both.npz', '--work-dir', 'out', cwd=folder,
    )  # fmt: skip
    (record,) = read_records(folder / 'out/test_results.jsonl')
    low, high = record.interval(1)
    cell = f'{record.error(1):.1f} [{low:.1f}, {high:.1f}]'
    assert done.stdout.splitlines()[-1].startswith('D + E') and cell in done.stdout
    both, d = load_posteriors(folder / 'out/both.npz'), load_posteriors(folder / 'D.npz')
    assert both.names == d.names and both.info['net'] == 'D + E'
    assert both.info['members'] == record.members
    assert both.info['members'][1] == '3 x E [256;512] 256,384,512'
    assert wrong_images(both.scores['dense'], both.labels, 1).sum() == record.wrong[1]


def test_errors_of_the_command_are_one_line(folder):
    (folder / 'F.npz').write_text('text')
    done = run_tool('ensemble.py', 'D.npz', 'F.npz', cwd=folder, check=False)
    assert done.returncode == 1 and not done.stdout
    assert re.fullmatch('error: F.npz contains no posteriors .*', done.stderr.strip())


def results_of(recipe, folder, protocols):
    """Files as tools/test.py writes them for the members of a recipe, of random nets."""
    rng = np.random.default_rng(0)
    labels = np.arange(24) % 6
    for member in load_recipe(str(recipe)).members:
        net, scale, _ = member['config'].split('_')
        random = random_net(rng, labels, protocols=protocols, info=info(NETS[net], scale))
        random.save(folder / member['config'] / 'posteriors.npz')


@pytest.mark.parametrize('recipe, rows', [(SUBMISSION, TABLE_6[:1]), (D_AND_E, TABLE_6[1:])])
def test_recipes_match_table_6_of_the_paper(recipe, rows, tmp_path):
    results_of(recipe, tmp_path, [row.protocol for row in TABLE_6[1:]])
    report(recipe=str(recipe), results=str(tmp_path), work_dir=tmp_path)
    records = read_records(tmp_path / 'test_results.jsonl')
    assert [record.protocol for record in records] == [row.protocol for row in rows]
    for record, row in zip(records, rows):
        assert sorted(record.members) == sorted(row.members)
        assert record.imagenet and record.width == 64
        assert f'{row.top1} ' in recipe.read_text() and f'{row.top5}' in recipe.read_text()


@pytest.mark.parametrize('recipe, tta', [(SUBMISSION, 'dense'), (D_AND_E, 'all')])
def test_missing_results_are_reported_with_their_commands(
    recipe, tta, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    configs = [member['config'] for member in load_recipe(str(recipe)).members]
    results_of(recipe, tmp_path / 'work_dirs', ['dense'])
    for config in configs[1:]:
        (tmp_path / 'work_dirs' / config / 'posteriors.npz').unlink()
    with pytest.raises(FileNotFoundError) as caught:
        report(recipe=str(recipe))
    commands = capsys.readouterr().out.splitlines()
    assert commands == [
        f'python tools/test.py {name} work_dirs/{name} '
        f'--tta --tta-cfg {tta} --out work_dirs/{name}/posteriors.npz'
        for name in configs[1:]
    ]
    assert f'work_dirs/{configs[1]}/posteriors.npz' in str(caught.value)
    assert (f'and {len(configs) - 2} more' in str(caught.value)) == (len(configs) > 2)
    assert str(caught.value).endswith(commands[0])
    for name in configs:
        assert Config.fromfile(ROOT / f'configs/vgg/{name}.py').train_cfg.max_epochs == 74
    assert (ROOT / f'configs/_base_/tta/{tta}.py').is_file()


def test_a_users_own_recipe(folder, capsys):
    """Weights, a name, and one net under two protocols."""
    for net in 'DE':
        (folder / net).mkdir()
        (folder / f'{net}.npz').rename(folder / net / 'posteriors.npz')
    recipe = folder / 'mine.py'
    recipe.write_text(
        "name = 'mine'\nweights = [1, 2, 3]\nmembers = [dict(config='D', protocol='dense'), "
        "dict(config='D', protocol='centre crop'), dict(config='E', protocol='dense')]\n"
    )
    report(recipe=str(recipe), results=str(folder), out=folder / 'out.npz')
    assert lines(capsys)[-1][0] == 'mine'
    assert [m.split()[0] for m in load_posteriors(folder / 'out.npz').info['members']] == [*'123']
    report(recipe=str(recipe), results=str(folder), weights=[4, 5, 6], out=folder / 'out.npz')
    assert [m.split()[0] for m in load_posteriors(folder / 'out.npz').info['members']] == [*'456']


def test_a_missing_members_command_fits_its_protocols(tmp_path, capsys):
    members = {'a': ('dense', 'multi_crop'), 'b': ('dense+multi_crop',), 'c': ('centre crop',)}
    listed = [
        dict(config=name, protocol=p) for name, protocols in members.items() for p in protocols
    ]
    (tmp_path / 'recipe.py').write_text(f'members = {listed}')
    with pytest.raises(FileNotFoundError, match='my results/a/posteriors.npz .and 2 more'):
        report(recipe=str(tmp_path / 'recipe.py'), results='my results')
    commands = [shlex.split(line)[3:-2] for line in capsys.readouterr().out.splitlines()]
    assert commands == [
        ['my results/a', '--tta', '--tta-cfg', 'all'],
        ['my results/b', '--tta', '--tta-cfg', 'dense_multi_crop'],
        ['my results/c'],
    ]
    assert (ROOT / 'configs/_base_/tta/dense_multi_crop.py').is_file()


@pytest.mark.parametrize(
    'text, message',
    [
        ('weights = [1, 2]', 'a recipe needs members'),
        ('members = []', 'a recipe needs members'),
        ("members = ['vgg16_s256_imagenet']", 'a member is dict.config=NAME'),
        ("members = [dict(protocol='dense')]", 'a member is dict.config=NAME'),
        ("members = [dict(config='a', protocl='b')]", "unknown 'protocl'; available: config, pro"),
        ("members = [dict(config='a')]\nweight = [1]", "unknown 'weight'; available: members"),
    ],
)
def test_a_broken_recipe_is_one_clear_line(text, message, tmp_path):
    (tmp_path / 'recipe.py').write_text(text)
    with pytest.raises(ValueError, match=message):
        report(recipe=str(tmp_path / 'recipe.py'))
