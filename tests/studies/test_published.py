"""What is published of the study is what its results say."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from study.load import load_study
from study.report import write_report
from study.results import read_results

from tests.conftest import ROOT
from tests.studies.test_report import Page, markdown_tables


@pytest.fixture(scope='module')
def texts(tmp_path_factory):
    """Markdown and HTML of the published report, and of one made now from the kept results."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        study = load_study('studies/claims.yaml')
        found = {name: read_results(study, name) for name in study.data}
        paths = [f'{study.report}.md', f'{study.report}.html']
        made = replace(study, report=str(tmp_path_factory.mktemp('report') / 'study'))
        paths += write_report(made, found)
        return [Path(path).read_text(encoding='utf-8') for path in paths]


def test_the_report_is_of_the_kept_results(texts):
    markdown, page, made_markdown, made_page = texts
    again = 'write it again: python studies/run.py studies/claims.yaml --report-only'
    assert markdown == made_markdown, again
    assert Page(page).tables == Page(made_page).tables, again


def test_the_readme_tells_the_same_verdicts(texts):
    verdicts = {}
    for number, _, _, verdict, *_ in markdown_tables(texts[0])[0][1:]:
        verdicts.setdefault(verdict, []).append(number)
    readme = ' '.join((ROOT / 'studies/README.md').read_text().split())
    (told,) = re.findall(r'What came out, .*?: (.*?) not seen\.', readme)
    contradicted, unseen = told.split(' contradicted, ')
    assert re.findall(r'\d', contradicted) == verdicts.pop('contradicted')
    assert re.findall(r'\d', unseen) == verdicts.pop('not seen here')
    assert not verdicts
