"""The report of the real study, from generated results."""

import json
import os.path as osp
import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from study.collect import _note_curve
from study.load import load_study
from study.report import figures, write_report
from study.report.sections import judgements
from study.results import (
    Errors,
    Results,
    pack,
    read_results,
    results_path,
    settings_of,
    unpack,
)
from study.statistics import compare
from study.study import Candidate
from study.trainings import Training, TrainingKey, trainings
from study.verdicts import CONFIRMED, CONTRADICTED, NOT_SEEN, RULE, UNDECIDED

from tests.conftest import ROOT
from tests.studies.cases import course, made_up, real_study, tiny, write
from vgg_mm.visualization.style import plot_style


class Page(HTMLParser):
    """The rows of each table as lists of texts, the number of plots, and all loaded addresses."""

    VOID = ('meta', 'link', 'img', 'br', 'use', 'path', 'rect', 'circle')

    def __init__(self, text):
        super().__init__()
        self.tables, self.plots, self.loaded, self.open = [], 0, [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        addresses = [v for k, v in attrs if k in ('src', 'href', 'xlink:href')]
        self.loaded += [v for v in addresses if not v.startswith('#')]  # parts of the page
        self.plots += tag == 'svg'
        if tag == 'table':
            self.tables.append([])
        if tag == 'tr':
            self.tables[-1].append([])
        if tag in ('td', 'th'):
            self.tables[-1][-1].append('')
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data):
        if 'td' in self.open or 'th' in self.open:
            self.tables[-1][-1][-1] += data


def markdown_tables(text):
    """The rows of each table, parsed by GitHub's rules."""
    tables = []
    for token in MarkdownIt('gfm-like', {'linkify': False}).parse(text):
        if token.type == 'table_open':
            tables.append([])
        elif token.type == 'tr_open':
            tables[-1].append([])
        elif token.type == 'inline' and tables and token.level > 3:
            tables[-1][-1].append(''.join(child.content for child in token.children))
    return tables


@pytest.fixture(scope='module')
def written(tmp_path_factory):
    """Study, results, both texts and their folder. E has no results on CIFAR-10, D-var could not be
    trained, one fine-tuned net has not learnt, and on clothes all nets give the same answers."""
    folder = tmp_path_factory.mktemp('report')
    study = replace(real_study(), report=str(folder / 'docs/study'))
    found = made_up(study)
    cifar10, clothing = found['cifar10'], found['clothing']
    cifar10.answers = {
        key: one for key, one in cifar10.answers.items() if not re.match(r'(D\+)?E ', key)
    }
    labels = np.array(cifar10.labels)
    for seed in study.seeds:
        guess = pack(labels != np.bincount(labels).argmax())
        cifar10.answers[f'D-var centre one/{seed}'] = Errors(guess, failed=True)
        cifar10.courses[f'D-var/{seed}'].failed = 'the loss is nan at iteration 3'
    clothing.answers = dict.fromkeys(clothing.answers, next(iter(clothing.answers.values())))
    clothing.courses['D-high/1'] = course('D-high', fall=4.0)
    clothing.courses['D/0'].command += ' --amp'
    paths = write_report(study, found)
    texts = [open(path, encoding='utf-8').read() for path in paths]  # noqa: SIM115
    return study, found, texts, folder


def summary(tables):
    """The table of verdicts."""
    return next(table for table in tables if table[0][:2] == ['no.', 'claim'])


def test_all_claims_have_a_verdict_or_a_reason(written):
    study, _, (text, html), _ = written
    for tables in (markdown_tables(text), Page(html).tables):
        header, *rows = summary(tables)
        assert header[3:6] == ['verdict', 'on CIFAR-10', 'on photos of clothes']
        assert [row[1] for row in rows] == [claim.title for claim in study.claims]
        for claim, row in zip(study.claims, rows):
            uses_e = any('E' in s.runs for s in study.sides(study.data['cifar10'], claim))
            assert (row[3] == UNDECIDED) == (row[4] == UNDECIDED) == uses_e
            assert (row[5] == '–') == (claim.number not in (5, 6, 7, 8))
            starved = claim.number in (5, 6)
            assert (row[5] == 'not judged: D at S = 384 (seed 1) still got better by 4.0 points '
                    'over the last fifth of its epochs') == starved  # fmt: skip
            verdicts = (CONFIRMED, CONTRADICTED, NOT_SEEN, UNDECIDED)
            assert row[3] in verdicts


def test_the_order_of_the_sections(written):
    """Trainings and how well nets learnt, verdicts, claims, limits, cost."""
    _, _, (text, _), _ = written
    headings = re.findall(r'^## (.*)$', text, re.M)
    assert headings == [
        'What was trained, and how well it learnt', 'Verdicts', 'The rule', 'Claim by claim',
        'Error over Q', 'Limits', 'Cost', 'Commands',
    ]  # fmt: skip


def test_texts_do_not_use_the_files_names_for_nets(written):
    """These names appear only in commands and code."""
    _, _, (text, html), _ = written
    text = re.sub(r'```.*?```|`[^`]*`|\]\(images[^)]*\)', '', text, flags=re.DOTALL)
    texts = [text, *re.findall(r'<text[^>]*>([^<]*)</text>', html)]
    for one in texts:
        assert not re.search(r'A-on|D-(low|high|var|std|glorot)|B-random|usual one|multi_crop', one)


def test_the_rule_is_in_the_report_and_the_readme(written):
    _, _, (text, _), _ = written
    readme = (ROOT / 'studies/README.md').read_text()
    for part in RULE:
        assert f'- {part}\n' in text and f'- {part}\n' in readme


def test_html_and_markdown_have_the_same_tables(written):
    _, _, (text, html), _ = written
    page = Page(html)
    strip = str.maketrans('', '', '`')
    in_text = [[[c.translate(strip) for c in row] for row in t] for t in markdown_tables(text)]
    assert in_text == page.tables
    assert page.loaded == []  # self-contained
    assert page.open == []


def test_errors_and_differences_agree_with_the_results(written):
    study, found, (_, html), _ = written
    rows = [row for table in Page(html).tables for row in table]
    a, b = Candidate(('C',), 'usual', 'one'), Candidate(('B',), 'usual', 'one')
    results = found['cifar10']
    (row,) = [r for r in rows if r[:2] == ['C beats B (multi-crop, one Q)', 'CIFAR-10']]
    wrong = [results.wrong(side, study.seeds) for side in (a, b)]
    first, second = (100 * one.mean() for one in wrong)
    assert row[2].startswith(f'{first:.1f} [') and row[3].startswith(f'{second:.1f} [')
    assert row[4].startswith(f'{first - second:+.1f} [')
    _, low, high = compare(*wrong).difference
    assert row[5] == f'{(high - low) / 2:.1f}', 'the smallest visible difference'
    assert row[6] == '-0.6'  # Table 3: 28.1 against 28.7


def test_missing_and_failed_runs_are_reported(written):
    _, _, (_, html), _ = written
    rows = [row for table in Page(html).tables for row in table]
    (row,) = [r for r in rows if r[:2] == ['E beats A from A (multi-crop, one Q)', 'CIFAR-10']]
    assert row[2] == row[4] == '' and row[-1] == UNDECIDED
    assert (
        'CIFAR-10: D from variance 1e-2 (centre crop) could not be trained with seeds 0, 1 and 2'
        in html
    )
    (run,) = [r for r in rows if r[0] == 'D from variance 1e-2' and len(r) == 9]
    assert run[5] == 'nan at iteration 3' and run[-1] == 'no'


def test_results_of_some_seeds_are_shown_and_decide_nothing(tmp_path):
    study = replace(real_study(), report=str(tmp_path / 'study'))
    found = made_up(study)
    results = found['cifar10']
    for part in (results.answers, results.courses):
        for key in [key for key in part if not key.endswith('/0')]:
            del part[key]
    del results.courses['D-high/0']
    text, html = (open(path, encoding='utf-8').read() for path in write_report(study, found))  # noqa: SIM115
    page = Page(html)
    assert {row[4] for row in summary(page.tables)[1:]} == {UNDECIDED, '–'}
    (row,) = [
        r for t in page.tables for r in t if r[:2] == ['C beats B (multi-crop, one Q)', 'CIFAR-10']
    ]
    wrong = [results.wrong(Candidate((run,), 'usual', 'one'), [0]) for run in 'CB']
    so_far = 'with seed 0 {:.1f} % and {:.1f} %'.format(*(100 * one.mean() for one in wrong))
    assert row[-1] == f'{UNDECIDED}: {so_far}'
    assert f'C beats B (multi-crop, one Q) ({so_far})' in text
    error = 100 * results.wrong(Candidate(('D',), 'usual', 'one'), [0]).mean()
    assert f'it errs on {error:.1f} % with seed 0, and the others are not finished.' in text
    learnt = next(t for t in page.tables if t[0][-1] == 'has learnt')
    nets = {row[0]: row[5:] for row in learnt}
    assert nets['A-LRN'] == ['12.0, –, –', '2, –, –', '0.2, –, –', 'yes, –, –']
    assert 'Not trained yet: D at S = 48.' in text and 'D at S = 48' not in nets


def test_how_well_each_net_learnt_is_shown(written):
    study, _, (_, html), _ = written
    tables = [t for t in Page(html).tables if t[0][-1] == 'has learnt']
    assert [len(table) - 1 for table in tables] == [19, 3]
    (row,) = [r for r in tables[1] if r[0] == 'D at S = 384']
    assert row[1:4] == ['384', 'kaiming', "the authors' convolutions"]
    assert row[4:] == ['20', '12.0', '2', '0.2, 4.0, 0.2', 'yes, no, yes']
    condition = (
        'On CIFAR-10, nets are compared if D (multi-crop, one Q) errs on at most 20 %: it errs on'
    )
    assert condition in html


def test_trainings_in_mixed_precision_are_counted(written):
    study, _, (_, html), _ = written
    rows = {tuple(row[:3]) for table in Page(html).tables for row in table}
    assert ('data', 'trainings', 'of them with --amp') in rows
    assert {('photos of clothes', '9 of 9', '1'), ('CIFAR-10', '57 of 57', '0')} <= rows


@pytest.mark.parametrize('mixed', [True, False])
def test_the_command_is_that_of_most_trainings(mixed, tmp_path):
    """Either all but two of a data set's trainings use --amp, or only these two."""
    study = replace(real_study('smoke'), report=str(tmp_path / 'study'))
    found = made_up(study)
    for results in found.values():
        for number, one in enumerate(results.courses.values()):
            if mixed == (number > 1):
                one.command += ' --amp'
    path, _ = write_report(study, found)
    with open(path, encoding='utf-8') as file:
        command = next(line for line in file if line.startswith('python studies/run.py'))
    assert command.rstrip().endswith(' --amp') == mixed


def test_plots_are_drawn(written):
    """One for each claim and for each data set's trainings, one over Q and one over time."""
    study, _, (text, html), folder = written
    names = re.findall(r'\((images/[^)]*)\)', text)
    assert len(names) == len(set(names)) == Page(html).plots == len(study.claims) + 2 + 2
    for name in names:
        assert 5_000 < (folder / 'docs' / name).stat().st_size < 150_000
    labels = [unescape(one) for one in re.findall(r'<text[^>]*>([^<]*)</text>', html)]
    for label in (
        "the paper's, on ImageNet",
        'trained with S = 36',
        'D, multi-crop, several Q',
        UNDECIDED,
        'not judged',
        'not learnt',
        'D beats A from A (multi-crop, one Q)',
    ):
        assert label in labels, label


def test_a_claims_plot_has_the_papers_effect_on_the_same_axis(written):
    study, found, _, _ = written
    (one,) = [one for one in judgements(study, found) if one.claim.name == 'kernels']
    (panel,) = figures.claim(study, one).axes
    papers = [line for line in panel.lines if line.get_marker() == 'D']
    assert [float(x) for line in papers for x in line.get_xdata()] == [-0.6, -1.1]  # Table 3
    ours = [line for line in panel.lines if line.get_marker() == 'o']
    expected = [finding.paired.difference.value for finding in one.findings]
    assert [float(x) for line in ours for x in line.get_xdata()] == pytest.approx(expected)
    low, high = panel.get_xlim()
    assert low < min(expected) and max(0, *expected) < high


def test_training_curves_are_drawn_over_all_epochs(written):
    study, found, _, _ = written
    with plot_style():
        panels = figures.learning(study, study.data['cifar10'], found['cifar10']).axes
    titles = [panel.get_title(loc='left').replace('\n', ' ') for panel in panels[:19]]
    assert titles[:3] == ['A', 'A from A', 'A-LRN'] and len(set(titles)) == 19
    seeds = [line for line in panels[0].lines if len(line.get_xdata()) == 24]
    assert len(seeds) == 3
    drops = {line.get_xdata()[0] for line in panels[0].lines if len(line.get_xdata()) == 2}
    assert drops == {12.0, 17.0}


def test_the_papers_figures_are_labelled_as_imagenets(written):
    _, _, (text, html), _ = written
    for one in (text, html):
        assert 'ILSVRC-2012' in one and 'are not measurements of this package' in one
    columns = [table[0] for table in Page(html).tables if table[0][0] == 'comparison']
    with_figures = [i for i, names in enumerate(columns, 1) if "paper's, points" in names]
    # The claim on whether nets learn has no figures.
    assert with_figures == [1, 2, 3, 4, 5, 6, 7, 8]


def test_the_page_describes_the_plan_before_the_study_is_run(tmp_path):
    study = replace(real_study(), report=str(tmp_path / 'study'))
    found = {name: Results(settings_of(study, data)) for name, data in study.data.items()}
    text, html = (open(path, encoding='utf-8').read() for path in write_report(study, found))  # noqa: SIM115
    page = Page(html)
    assert page.plots == 0 and len(text) < 6_000 and 'missing' not in text
    assert 'has not been run yet' in text and 'An earlier study was withdrawn' in text
    assert [row[3] for row in page.tables[0][1:]] == [
        *['CIFAR-10'] * 4,
        *['CIFAR-10, photos of clothes'] * 2,
        'photos of clothes',
        'CIFAR-10, photos of clothes',
        'CIFAR-10',
    ]
    assert re.search(r'^python studies/run.py .*claims.yaml --profile small --dry-run$', text, re.M)
    assert 'CIFAR-10: 19 nets with 3 seeds, 40 epochs each (9 for those of which' in text


def test_the_same_results_give_the_same_report(tmp_path):
    study = replace(real_study('smoke'), report=str(tmp_path / 'study'))
    found = []
    for _ in range(2):
        write_report(study, made_up(study))
        found.append({p.name: p.read_bytes() for p in tmp_path.rglob('*.*')})
    # A figure for each claim except the one on dense evaluation.
    assert found[0] == found[1] and len(found[0]) == 2 + 8 + 1 + 2


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_packing_is_lossless(wrong):
    wrong = np.array(wrong)
    np.testing.assert_array_equal(unpack(pack(wrong), len(wrong)), wrong)


def test_stored_results_are_used_only_with_the_same_settings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = load_study(write(tmp_path, tiny()))
    results = made_up(study)['digits']
    results.write(results_path(study, 'digits'))
    assert read_results(study, 'digits') == results
    content = tiny()
    content['profiles']['tiny']['data']['digits']['width'] = 8
    with pytest.raises(ValueError, match='digits.json has results with width=.*, the study has 8'):
        read_results(load_study(write(tmp_path, content)), 'digits')
    content = tiny()
    content['profiles']['tiny']['data']['digits']['root'] = 'elsewhere'
    assert read_results(load_study(write(tmp_path, content)), 'digits') == results
    # The study file may be given by another path.
    assert read_results(load_study('study.yaml'), 'digits') == results
    assert not osp.isabs(results.settings['config'])


def test_results_of_runs_that_did_not_change_are_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = load_study(write(tmp_path, tiny()))
    results = made_up(study)['digits']
    results.write(results_path(study, 'digits'))
    content = tiny()
    content['runs']['extra'] = dict(arch='A')
    more = read_results(load_study(write(tmp_path, content)), 'digits')
    assert (more.answers, more.courses) == (results.answers, results.courses)
    del content['runs']['extra']
    content['runs']['D']['options'] = {'optim_wrapper.optimizer.lr': 0.5}
    fewer = read_results(load_study(write(tmp_path, content)), 'digits')
    assert set(fewer.courses) == {'A/0'} < set(results.courses)
    of_a = {key for key in results.answers if key.startswith('A ')}
    assert set(fewer.answers) == of_a < set(results.answers)
    # D starts from A.
    content = tiny()
    content['runs']['A']['options'] = {'optim_wrapper.optimizer.lr': 0.5}
    assert not read_results(load_study(write(tmp_path, content)), 'digits').courses


@pytest.mark.parametrize('change', [
    lambda content: content.pop('labels'),
    lambda content: content['answers'].update({'D usual one/0': {'wrong': 'zz'}}),
    lambda content: content['courses'].update({'D/0': {}}),
    lambda content: content.update(more=1),
])  # fmt: skip
def test_a_broken_file_of_results_is_one_clear_line(change, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = load_study(write(tmp_path, tiny()))
    path = results_path(study, 'digits')
    made_up(study)['digits'].write(path)
    content = json.loads(open(path).read())  # noqa: SIM115
    change(content)
    (tmp_path / path).write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r'digits.json is broken \(.*\): restore or delete it'):
        read_results(study, 'digits')


def test_answers_of_two_nets_do_not_mix(tmp_path, monkeypatch):
    """If a run was trained again, the answers of the previous net are removed."""
    monkeypatch.chdir(tmp_path)
    study = real_study()
    results = made_up(study)['cifar10']
    before = set(results.answers)
    training = trainings(study)[TrainingKey('cifar10', 0, 'E')]
    monkeypatch.setattr(Training, 'finished', '2026-01-01T00:00')
    sides = study.sides(study.data['cifar10'])
    _note_curve(results, sides, training)
    gone = before - set(results.answers)
    assert {'E usual one/0', 'E usual several/0', 'D+E usual several/0'} == gone
    assert results.courses['E/0'].finished == '2026-01-01T00:00'
    results.answers['E usual one/0'] = results.answers['E usual one/1']
    _note_curve(results, sides, training)
    assert 'E usual one/0' in results.answers, 'the same net'
    assert 'E/0' not in results.test_minutes and 'E/1' in results.test_minutes
