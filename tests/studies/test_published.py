"""The published report agrees with the study's results."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from study.load import load_study
from study.report import write_report
from study.results import read_results

from tests.conftest import ROOT
from tests.studies.test_report import Page


@pytest.fixture(scope='module')
def texts(tmp_path_factory):
    """Markdown and HTML of the published report, and of a new report from the stored results."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        study = load_study('studies/claims.yaml')
        found = {name: read_results(study, name) for name in study.data}
        paths = [f'{study.report}.md', f'{study.report}.html']
        made = replace(study, report=str(tmp_path_factory.mktemp('report') / 'study'))
        paths += write_report(made, found)
        return [Path(path).read_text(encoding='utf-8') for path in paths]


def test_the_report_is_of_the_stored_results(texts):
    markdown, page, made_markdown, made_page = texts
    again = 'write it again: python studies/run.py studies/claims.yaml --report-only'
    assert markdown == made_markdown, again
    assert Page(page).tables == Page(made_page).tables, again


def test_withdrawn_results_are_not_used(texts):
    """They are kept with the reason, and no profile uses their folder."""
    folder = ROOT / 'studies/results/2026_starved'
    assert {path.name for path in folder.iterdir()} == {
        'README.md',
        'clothing.json',
        'cifar10.json',
    }
    assert 'had not learnt' in (folder / 'README.md').read_text()
    profiles = yaml.safe_load((ROOT / 'studies/claims.yaml').read_text())['profiles']
    assert folder.name not in {Path(one['results']).name for one in profiles.values()}


def test_the_readme_says_whether_it_has_been_run(texts):
    """No picture of an earlier report is left, either."""
    planned = 'has not been run yet' in texts[0]
    assert planned == ('It has not been run yet.' in (ROOT / 'studies/README.md').read_text())
    pictures = {path.name for path in (ROOT / 'docs/images').glob('study_*.png')}
    assert pictures == set(re.findall(r'images/(study_\w+\.png)', texts[0]))
