"""The site, built like ``make docs`` if Sphinx is installed."""

import os
import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT

for module in ('sphinx', 'myst_nb', 'furo'):
    pytest.importorskip(module, reason='needs requirements/docs.txt')


def build(folder, source=ROOT, config=ROOT / 'docs', **settings):
    options = [f'-D{name}={value}' for name, value in settings.items()]
    return subprocess.run(
        [sys.executable, '-m', 'sphinx', '-W', '--keep-going', '-q', '-b', 'html', *options]
        + ['-d', folder / 'doctrees', '-c', config, source, folder / 'html'],
        capture_output=True, text=True, cwd=ROOT, env={**os.environ, 'OMP_NUM_THREADS': '1'},
    )  # fmt: skip


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp('site')
    done = build(folder)
    assert done.returncode == 0, done.stderr
    return folder / 'html'


@pytest.mark.slow
def test_the_site_has_pages_reference_and_no_dead_files(site):
    reference = ''.join(page.read_text() for page in site.glob('docs/api/*.html'))
    for name in ('apis.predict', 'models.VGG', 'models.PaperTTA', 'datasets.ScaleJitter'):
        assert f'id="vgg_mm.{name}"' in reference, name
    for page in site.rglob('*.html'):
        for target in re.findall(r'(?:href|src)="([^"#?]+)', page.read_text()):
            if not re.match(r'[a-z]+:', target):
                assert (page.parent / target).exists(), f'{page.name}: {target}'


@pytest.mark.slow
def test_notebooks_are_pages_and_downloads(site):
    for notebook in (ROOT / 'docs/notebooks').glob('*.ipynb'):
        page = (site / f'docs/notebooks/{notebook.stem}.html').read_text()
        assert '<img' in page and 'class="output ' in page
        (copy,) = re.findall(r'href="([^"]+)">Download this notebook', page)
        assert (site / 'docs/notebooks' / copy).read_bytes() == notebook.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    'text, message',
    [
        ('[a](nothing.md)', "'nothing.md'"),
        ('[a](#nothing)', "'nothing'"),
        ('[a](../vgg_mm/nothing.py)', 'nothing.py'),
    ],
)
def test_dead_links_are_errors(text, message, tmp_path):
    done = build_page(text, tmp_path)
    assert done.returncode != 0 and message in done.stderr


def build_page(text, folder, **settings):
    """Build a site of one page, beside a folder with a file."""
    (folder / 'source/docs').mkdir(parents=True)
    (folder / 'source/tools').mkdir()
    (folder / 'source/tools/tool.py').write_text('pass\n')
    (folder / 'source/docs/index.md').write_text(f'# Title\n\n{text}\n')
    return build(folder, folder / 'source', **settings)


@pytest.mark.slow
@pytest.mark.parametrize('address', ['', 'https://example.org/tree/v1'])
def test_links_to_the_repository(address, tmp_path):
    """With an address they point there; without it, files are downloads and folders are text."""
    text = '[a file](../tools/tool.py), [a folder](../tools)'
    done = build_page(text, tmp_path, repository_address=address)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / 'html/docs/index.html').read_text()
    if address:
        assert f'href="{address}/tools/tool.py"' in page and f'href="{address}/tools"' in page
    else:
        assert re.search(r'href="\.\./_downloads/\w+/tool.py"', page)
        assert 'a folder' in page and 'example.org' not in page
