"""Study files: the repository's file, and errors in others."""

import re
from functools import reduce

import pytest
from study.load import load_study
from study.plan import select, tasks
from study.report.paper import paper_difference, paper_error
from study.results import settings_of
from study.study import PARTS, Candidate
from study.trainings import TrainingKey, trainings
from study.words import sentence

from tests.conftest import run_tool
from tests.studies.cases import CLAIMS, real_study, tiny, write
from vgg_mm.architectures import ARCHITECTURES

TITLES = ('depth', 'lrn', 'kernels', 'five', 'jitter', 'scales', 'protocols', 'fusion', 'start')


@pytest.mark.parametrize('profile', [None, 'gpu', 'smoke'])
def test_the_study_of_the_claims(profile):
    study = real_study(profile)
    assert tuple(claim.name for claim in study.claims) == TITLES
    assert [claim.number for claim in study.claims] == list(range(1, 10))
    assert {run.arch for run in study.runs.values()} == set(ARCHITECTURES)
    if profile is None:
        assert study.profile == 'small'
    if profile == 'smoke':
        return
    assert set(study.data) == {'clothing', 'cifar10'} and len(study.seeds) >= 3
    clothing, cifar10 = study.data['clothing'], study.data['cifar10']
    assert (clothing.crop, clothing.scales['jitter']) == (224, [256, 384])
    assert (cifar10.crop, cifar10.scales['jitter']) == (32, [36, 48])
    assert cifar10.width == (16 if profile is None else 64)
    for data in study.data.values():
        assert data.learnt.run == 'D' and data.learnt.error <= 20
        # The rule for having learnt needs two drops and a validation after each epoch.
        assert len(data.options['param_scheduler.milestones']) >= 2
        assert data.options['train_cfg.val_interval'] == 1


def test_claims_for_fine_tuned_nets():
    study = real_study()
    asked = {
        name: [claim.number for claim in study.claims if study.comparisons(claim, name)]
        for name in study.data
    }
    assert asked == {'cifar10': [1, 2, 3, 4, 5, 6, 8, 9], 'clothing': [5, 6, 7, 8]}
    assert study.runs_on('clothing') == ['D', 'D-low', 'D-high']
    assert study.runs_on('cifar10') == list(study.runs)
    fused = {name: [str(side) for side in study.sides(data, study.claims[7])]
             for name, data in study.data.items()}  # fmt: skip
    assert 'D+E usual several' in fused['cifar10'] and 'E usual several' not in fused['clothing']
    assert 'D+D-low usual several' in set(fused['clothing']) - set(fused['cifar10'])


def test_brief_runs_are_trained_for_fewer_epochs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = real_study()
    epochs = {
        key.run: training.job.cfg.train_cfg.max_epochs
        for key, training in trainings(study).items()
        if key.data == 'cifar10'
    }
    data = study.data['cifar10']
    whole, brief = (o['train_cfg.max_epochs'] for o in (data.options, data.brief))
    assert brief < whole
    assert epochs == {name: brief if run.brief else whole for name, run in study.runs.items()}
    assert {name for name, run in study.runs.items() if run.brief} >= {'D-var', 'A-var'}


def test_nets_are_tested_densely_where_there_is_more_than_one_window():
    study = real_study()
    for data in study.data.values():
        parts = {part for side in study.sides(data) for part in PARTS[data.protocol(side)]}
        windows = [q // 32 - data.crop // 32 + 1 for q in data.curve]
        assert ('dense' in parts) == (max(windows) > 1)
        assert 'multi_crop' in parts


def test_every_run_is_a_config_that_can_be_trained(tmp_path, monkeypatch):
    """Each run's options fit its config and set the net, S, Q and crop of the study file."""
    study = real_study()
    monkeypatch.chdir(tmp_path)
    for where, training in trainings(study).items():
        if where.seed:
            continue
        cfg, run, data = training.job.cfg, study.runs[where.run], study.data[where.data]
        assert cfg.model.backbone.arch == run.arch
        assert cfg.model.backbone.init_cfg == cfg.model.head.init_cfg == (run.init or study.init)
        assert cfg.model.head.in_channels == 8 * cfg.model.backbone.base_channels == 8 * data.width
        jitter = cfg.train_dataloader.dataset.pipeline[1]
        assert (jitter.scale, jitter.crop_size) == (data.scales[run.scale], data.crop)
        assert 32 * cfg.model.head.kernel_size == data.crop
        assert cfg.randomness.seed == 0
        assert cfg.val_dataloader.dataset.pipeline[1].scale == data.tests[run.scale]['one'][0]
        assert training.job.stage.source == (None if data.fine_tuned else run.source)
        authors = cfg.default_hooks.get('classifier_init', {}).get('checkpoint', '')
        assert bool(authors) == data.fine_tuned == ('notop' in authors)


def test_the_papers_figures_are_found():
    study = real_study()
    errors = {
        ('D usual one', None): 25.6,
        ('D usual one', 'low'): 27.0,
        ('A-on usual one', 'low'): 29.6,
        ('A-LRN usual one', 'low'): 29.7,
        ('D usual several', None): 24.8,
        ('D dense several', None): 24.8,
        ('D-low usual several', None): 26.6,
        ('D multi_crop several', None): 24.6,
        ('D dense+multi_crop several', None): 24.4,
        ('D+E usual several', None): 24.0,
        ('D-low usual wide', None): None,
        ('D-glorot centre one', None): None,
        ('B-random centre one', None): None,
    }
    for (text, scale), expected in errors.items():
        names, protocol, q = text.split()
        assert (
            paper_error(study, Candidate(tuple(names.split('+')), protocol, q), scale) == expected
        )


def test_the_papers_differences_agree_with_its_tables():
    study = real_study()
    found = {
        str(one.better) + ', ' + str(one.than): paper_difference(study, claim, one)
        for claim in study.claims
        for one in claim.comparisons
    }
    assert found['D usual one, A-on usual one'] == -2.6  # 27.0 against 29.6
    assert found['A-LRN usual one, A usual one'] == 0.1
    assert found['D usual one, D-low usual one'] == -1.4
    assert found['D+E usual several, D usual several'] == -0.8
    assert found['B-random centre one, B-5x5 centre one'] == -7  # Section 4.1
    assert found['D-glorot centre one, None'] is None


def test_only_selects_what_a_run_or_claim_needs():
    study = real_study()

    def runs(*only):
        return {data: one.runs for data, one in select(study, only).items() if one.runs}

    assert runs('D-low') == {'cifar10': ['A', 'D-low'], 'clothing': ['D-low']}
    assert {'D-low'} == select(study, ['D-low'])['cifar10'].tested
    assert runs('lrn') == runs('2') == {'cifar10': ['A', 'A-LRN']}
    assert runs('4', 'C') == {'cifar10': ['A', 'C', 'B-random', 'B-5x5']}
    assert 'clothing' not in runs('depth'), 'where it is not asked, D is not trained'
    assert runs() == {data: study.runs_on(data) for data in study.data}


def test_only_selects_data_sets():
    study = real_study()
    assert select(study, ['clothing']) == {'clothing': select(study)['clothing']}
    assert select(study, ['D', 'cifar10']) == {'cifar10': select(study, ['D'])['cifar10']}
    assert select(study, ['clothing', 'protocols', 'cifar10']) == select(study, ['protocols'])
    assert not select(study, ['clothing', 'lrn'])['clothing'].runs
    with pytest.raises(ValueError, match="unknown claim, run or data set 'cifar11'"):
        select(study, ['cifar11'])


def test_runs_are_trained_and_tested_only_on_their_data_sets(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    study = real_study()
    found = trainings(study)
    assert {key.run for key in found if key.data == 'clothing'} == {'D', 'D-low', 'D-high'}
    todo = list(tasks(select(study), found, [0]))
    for task in todo:
        assert task.key.run in study.runs_on(task.key.data)
    assert [t.key.run for t in tasks(select(study, ['lrn']), found, [0])
            if t.key.data == 'clothing'] == []  # fmt: skip
    # Cached feature maps are of crops that depend on the seed.
    assert 'train_cfg.seed=1' in found[TrainingKey('clothing', 1, 'D')].common
    assert not [o for o in found[TrainingKey('cifar10', 1, 'A')].common if 'train_cfg' in o]


def test_results_depend_on_training_settings_and_not_on_texts(tmp_path):
    """Results stay valid if a label, a condition or a claim changes."""
    before = load_study(write(tmp_path, tiny()))
    content = tiny()
    content['runs']['D']['label'] = 'D, deep'
    content['runs']['D']['on'] = ['digits']
    content['profiles']['tiny']['data']['digits'].update(
        label='digits', learnt=dict(run='D', error=20)
    )
    content['claims'][0].update(on=['digits'], says='It is so.')
    after = load_study(write(tmp_path, content))
    assert settings_of(before, before.data['digits']) == settings_of(after, after.data['digits'])
    content['runs']['D']['init'] = 'kaiming'
    other = load_study(write(tmp_path, content))
    assert settings_of(before, before.data['digits']) != settings_of(other, other.data['digits'])


def test_comparisons_in_words():
    study = real_study()
    words = {
        name: [sentence(study, data, one)
               for claim in study.claims for one in study.comparisons(claim, name)]
        for name, data in study.data.items()
    }  # fmt: skip
    assert 'D beats A from A (multi-crop, one Q)' in words['cifar10']
    assert 'D beats D at S = 36 (multi-crop, one Q)' in words['cifar10']
    assert 'D beats D at S = 256 (dense, one Q)' in words['clothing']
    assert 'D (dense, several Q) beats D (dense, one Q)' in words['clothing']
    assert 'D and E averaged beats E (multi-crop, several Q)' in words['cifar10']
    assert 'A-LRN is less than 1 point better than A (multi-crop, one Q)' in words['cifar10']
    assert words['cifar10'][-9:-5] == [
        'A from variance 1e-2 learns',
        'D from variance 1e-2 does not learn',
        'D from A learns',
        "D from Glorot's start learns",
    ]
    for one in sum(words.values(), []):
        assert '{' not in one and not re.search(r'A-on|D-(low|high|var|std)|_', one)


def change(path, value):
    """The tiny study with another value at this path; None removes the value."""
    content = tiny()
    *parents, last = path
    node = reduce(lambda one, key: one[key], parents, content)
    if value is None:
        del node[last]
    else:
        node[last] = value
    return content


DATA = ('profiles', 'tiny', 'data', 'digits')
PAIR = ('claims', 0, 'comparisons', 0)

BAD = [
    (('title',), None, 'title is missing'),
    (('title',), 3, 'title must be a text, got 3'),
    (('titel',), 'x', "unknown key 'titel'; did you mean 'title'?"),
    (('runs',), {}, 'runs is empty'),
    (('runs', 'a b'), dict(arch='A'), 'a run is named by a word without blanks'),
    (('runs', 'A', 'on'), ['digit'], "runs.A.on: unknown data set 'digit'; did you mean 'digits'?"),
    (('runs', 'A', 'on'), [], 'runs.A: on is empty'),
    (('runs', 'A', 'on'), 'digits', "on must be a list, got 'digits'"),
    (('runs', 'A', 'label'), 5, 'label must be a text, got 5'),
    (('tests',), {'dense': 'dense'}, "'PROTOCOL Q': TEXT is expected, got 'dense'"),
    (('tests',), {'dence one': 'dense'}, "unknown protocol 'dence'"),
    (('claims', 0, 'on'), ['nowhere'], "claim 1.on: unknown data set 'nowhere'"),
    ((*PAIR, 'on'), ['nowhere'], "claim 1, comparison 1.on: unknown data set 'nowhere'"),
    (PAIR, dict(net='D dense one', learns='no'), "learns must be true or false, got 'no'"),
    (PAIR, dict(net='D dense one', learns=True, than='A dense one'), "unknown key 'than'"),
    ((*PAIR, 'than'), 'guessing', "'RUN[+RUN] PROTOCOL Q', e.g. 'D dense several', got 'guessing'"),
    ((*DATA, 'learnt'), dict(run='E', error=20), "learnt: unknown run 'E'"),
    ((*DATA, 'learnt'), dict(run='D', error=200), 'error must be between 0 and 100'),
    ((*DATA, 'learnt'), dict(run='D'), 'learnt: error is missing'),
    ((*DATA, 'fine_tuned'), 'yes', "fine_tuned must be true or false, got 'yes'"),
    (('runs', 'A'), dict(arch='F'), "runs.A: unknown arch 'F'; available: A, A-LRN"),
    (('runs', 'A'), 'A', "runs.A: expected a mapping with arch, scale"),
    (('runs', 'A'), dict(arch='A', scale='huge'), "runs.A: unknown scale 'huge'"),
    (('runs', 'A'), dict(arch='A', init='glorrot'), "did you mean 'glorot'?"),
    (('runs', 'D'), dict(arch='D', staged_from='E'), "runs.D: unknown staged_from 'E'"),
    (('runs', 'D'), dict(arch='D', staged_from='D'), "runs.D: unknown staged_from 'D'"),
    (('runs', 'D'), dict(arch='D', staged_from='A', start_from='A'), 'give one'),
    (('runs', 'A'), dict(arch='A', brief=True), 'A is brief: nothing may be asked of it but'),
    (('runs', 'A'), dict(arch='A', brief='yes'), "brief must be true or false, got 'yes'"),
    ((*DATA, 'brief'), {'resume': True}, 'resume is set by the study'),
    (('runs', 'A'), dict(arch='A', options={'resume': True}), 'resume is set by the study'),
    (('runs', 'A'), dict(arch='A', scale='low'), 'scales: low is missing, which run A needs'),
    (('claims', 0, 'name'), 'A', 'claims, runs and data sets must have different names'),
    (('claims', 0, 'says'), None, 'claim 1: says is missing'),
    (('claims', 0, 'comparisons'), [], 'claim 1: none of its comparisons decides it'),
    (('claims', 0, 'paper_scale'), 'middle', "claim 1: unknown paper_scale 'middle'"),
    ((*PAIR, 'decides'), 'no', "decides must be true or false, got 'no'"),
    ((*PAIR, 'better'), 'D dense', "'RUN[+RUN] PROTOCOL Q', e.g. 'D dense several', got 'D dense'"),
    ((*PAIR, 'better'), 'F dense one', "comparison 1: unknown run 'F'"),
    ((*PAIR, 'better'), 'D+D dense one', 'names a run twice'),
    ((*PAIR, 'better'), 'D dence one', "unknown protocol 'dence'; did you mean 'dense'?"),
    ((*PAIR, 'better'), 'D dense two', "unknown Q 'two'"),
    ((*PAIR, 'better'), 'D dense wide', 'tests.jitter: wide is missing'),
    ((*PAIR, 'better'), 'D centre several', "the centre crop is taken at Q 'one' only"),
    ((*PAIR, 'better'), 'A dense one', 'is compared with itself'),
    ((*PAIR, 'margin'), 1, 'kind no_better and a margin above 0'),
    ((*PAIR, 'kind'), 'no_better', 'kind no_better and a margin above 0'),
    (('plots', 'curve'), ['X'], "plots.curve: unknown run 'X'"),
    (('profiles',), {}, 'profiles is empty'),
    (('profiles', 'tiny', 'seeds'), [], 'seeds must be different whole numbers of at least 0'),
    (('profiles', 'tiny', 'seeds'), [0, 0], 'seeds must be different whole numbers'),
    (('profiles', 'tiny', 'seeds'), [True], 'seeds must be different whole numbers'),
    (('profiles', 'tiny', 'seeds'), [-1], 'seeds must be different whole numbers'),
    (('profiles', 'tiny', 'data'), {}, 'data is empty'),
    ((*DATA, 'crop'), 48, 'crop must be a multiple of 32, got 48'),
    ((*DATA, 'crop'), 0, 'crop must be at least 32, got 0'),
    ((*DATA, 'width'), 2.5, 'width must be a whole number, got 2.5'),
    ((*DATA, 'config'), 'nowhere.py', 'config not found'),
    ((*DATA, 'scales', 'jitter'), [56, 36], 'jitter must be [S_MIN, S_MAX], got [56, 36]'),
    ((*DATA, 'scales', 'jitter'), 46, 'jitter must be [S_MIN, S_MAX], got [46]'),
    ((*DATA, 'tests', 'jitter', 'one'), [36, 46], 'one must be one Q, got [36, 46]'),
    ((*DATA, 'tests', 'jitter', 'one'), 16, 'different whole numbers of at least 32, got 16'),
    ((*DATA, 'curve'), None, 'curve is missing, which plots.curve needs'),
    ((*DATA, 'options', 'load_from'), 'x.pth', 'load_from is set by the study'),
    ((*DATA, 'options', 'a.b'), '"two", \'words\'', 'cannot be passed by cfg_options'),
]  # fmt: skip


@pytest.mark.parametrize('path, value, message', BAD, ids=[message[:40] for *_, message in BAD])
def test_bad_files_are_one_clear_line(path, value, message, tmp_path):
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        load_study(write(tmp_path, change(path, value)))
    assert message in str(error.value) and '\n' not in str(error.value)
    assert str(tmp_path / 'study.yaml') in str(error.value)


def two_data_sets():
    """The tiny study on two data sets, digits and others."""
    content = tiny()
    data = content['profiles']['tiny']['data']
    data['others'] = dict(data['digits'])
    return content


def test_a_run_needs_its_source_on_the_same_data_set(tmp_path):
    content = two_data_sets()
    content['runs']['A']['on'] = ['digits']
    with pytest.raises(ValueError, match='data.others: run D starts from A, which is not on othe'):
        load_study(write(tmp_path, content))
    content['profiles']['tiny']['data']['others']['fine_tuned'] = True
    found = trainings(load_study(write(tmp_path, content)))
    assert found[TrainingKey('others', 0, 'D')].source is None
    assert found[TrainingKey('digits', 0, 'D')].source is found[TrainingKey('digits', 0, 'A')]
    assert TrainingKey('others', 0, 'A') not in found


def test_a_claim_is_only_on_data_sets_that_can_decide_it(tmp_path):
    content = two_data_sets()
    content['runs']['D']['on'] = ['digits']
    content['plots'] = {}
    study = load_study(write(tmp_path, content))
    assert not study.comparisons(study.claims[0], 'others')
    content['claims'][0]['on'] = ['others']
    with pytest.raises(ValueError, match='claim 1: it is on others, and none of the comparisons'):
        load_study(write(tmp_path, content))


def test_on_is_a_text_in_yaml(tmp_path):
    """In YAML 1.1, ``on`` would be a boolean."""
    content = tiny()
    text = open(write(tmp_path, content)).read()  # noqa: SIM115
    text = text.replace('  - name: depth\n', '  - name: depth\n    on: [digits]\n')
    text = text.replace('- name: depth\n', '- on: [digits]\n  name: depth\n', 1)
    (tmp_path / 'study.yaml').write_text(text)
    study = load_study(str(tmp_path / 'study.yaml'))
    assert study.claims[0].on == ('digits',)


def test_yaml_errors_are_one_clear_line(tmp_path):
    path = tmp_path / 'study.yaml'
    path.write_text('runs: [A\nclaims: }')
    with pytest.raises(ValueError, match='is no YAML') as error:
        load_study(str(path))
    assert '\n' not in str(error.value)


COMMANDS = [
    (['nowhere.yaml'], 'error: study not found: nowhere.yaml'),
    ([CLAIMS, '--profile', 'smal'], "unknown profile 'smal'; did you mean 'small'?"),
    ([CLAIMS, '--data', 'clothing'], "--data takes NAME=FOLDER, got 'clothing'"),
    ([CLAIMS, '--data', 'cloth=x'], "unknown data set 'cloth'; did you mean 'clothing'?"),
    (
        [CLAIMS, '--only', 'depht'],
        "--only: unknown claim, run or data set 'depht'; did you mean 'depth'?",
    ),
    ([CLAIMS, '--out', CLAIMS], f'--out {CLAIMS} is a file; give a folder'),
    ([CLAIMS, '--only', 'depth'], "no data folder 'data/cifar10': give yours with --data"),
]


@pytest.mark.parametrize('arguments, message', COMMANDS, ids=[c[1][:30] for c in COMMANDS])
def test_bad_commands_are_one_clear_line(arguments, message, tmp_path):
    done = run_tool('studies/run.py', *arguments, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert message in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert not done.stdout


def test_other_seeds_are_added_to_the_profiles(tmp_path):
    path = write(tmp_path, tiny())
    assert load_study(path, seeds=[4]).seeds == (0, 4)
    found = trainings(load_study(path, seeds=[4]))
    assert TrainingKey('digits', 4, 'D') in found
