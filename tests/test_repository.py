"""Facts that several files of the repository must state in the same way."""

import re
from datetime import date

import yaml

from tests.conftest import ROOT
from vgg_mm import __version__


def test_one_version():
    """The package, the citation and the first entry of the changelog have the same version."""
    citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text())
    assert citation['version'] == citation['preferred-citation']['version'] == __version__
    heading = re.search(r'^## (\S+) \((.*)\)$', (ROOT / 'CHANGELOG.md').read_text(), re.MULTILINE)
    assert heading[1] == __version__
    assert heading[2] == 'unreleased' or date.fromisoformat(heading[2])


def test_the_citation_names_the_paper():
    citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text())
    assert {'cff-version', 'message', 'title', 'authors', 'license'} <= citation.keys()
    (paper,) = citation['references']
    assert paper['url'].endswith('/1409.1556') and paper['year'] == 2015


def test_one_version_of_ruff():
    """The pre-commit hook and `make lint` use the same version."""
    hooks = yaml.safe_load((ROOT / '.pre-commit-config.yaml').read_text())
    (ruff,) = (repo for repo in hooks['repos'] if repo['repo'].endswith('ruff-pre-commit'))
    pinned = re.search(r'^ruff==(.*)$', (ROOT / 'constraints/common.txt').read_text(), re.MULTILINE)
    assert ruff['rev'] == f'v{pinned[1]}'
    assert {hook['id'] for hook in ruff['hooks']} == {'ruff-check', 'ruff-format'}


def test_every_requirement_is_pinned():
    """Every required package is in the constraints that the Makefile installs with."""
    pins = ' '.join(path.read_text() for path in (ROOT / 'constraints').glob('*.txt'))
    pinned = {name.lower().replace('_', '-') for name in re.findall(r'^([\w.-]+)==', pins, re.M)}
    pinned |= {name.lower().replace('_', '-') for name in re.findall(r' ([\w.-]+)==', pins)}
    for path in [*(ROOT / 'requirements').glob('*.txt'), ROOT / 'studies' / 'requirements.txt']:
        for name in re.findall(r'^([A-Za-z][\w.-]*)', path.read_text(), re.MULTILINE):
            assert name.lower().replace('_', '-') in pinned, f'{path.name}: {name}'


def test_both_ci_files_run_the_same_targets():
    """All are targets of the Makefile, and all test targets are among them."""
    makefile = (ROOT / 'Makefile').read_text()
    targets = set(re.search(r'^\.PHONY: (.*)$', makefile, re.MULTILINE)[1].split())
    local = re.findall(r'^ *make (\S+)$', (ROOT / '.ci/run').read_text(), re.MULTILINE)
    hosted = yaml.safe_load((ROOT / '.github/workflows/ci.yml').read_text())['jobs']['make']
    assert hosted['steps'][-1] == {'run': 'make ${{ matrix.target }}'}
    assert hosted['strategy']['matrix']['target'] == local
    assert {target for target in targets if target.startswith('test')} < set(local) < targets
