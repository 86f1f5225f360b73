"""Links between pages, to files and to headings have targets; pictures are shown by pages."""

import re

import pytest
from markdown_it import MarkdownIt

from tests.conftest import ROOT
from tests.docs.blocks import NOTEBOOKS, PAGES, anchor, text_of


def links_of(page):
    """Targets of the links and pictures of a page, as written."""
    found = []
    for token in MarkdownIt().enable('table').parse(text_of(page)):
        for child in token.children or ():
            target = child.attrs.get('href') or child.attrs.get('src')
            if target:
                found.append(target)
    return found


def anchors_of(path):
    """Anchors of the headings of a page; GitHub numbers repeated ones."""
    tokens = MarkdownIt().parse(path.read_text())
    titles = [
        tokens[i + 1].content for i, token in enumerate(tokens) if token.type == 'heading_open'
    ]
    seen, found = {}, set()
    for name in map(anchor, titles):
        found.add(f'{name}-{seen[name]}' if name in seen else name)
        seen[name] = seen.get(name, 0) + 1
    return found


@pytest.mark.parametrize('page', [*PAGES, *NOTEBOOKS])
def test_links_have_targets(page):
    for link in links_of(page):
        if re.match(r'(https?|mailto):', link):
            continue
        path, _, name = link.partition('#')
        target = ((ROOT / page).parent / path if path else ROOT / page).resolve()
        assert target.exists(), f'{page}: {link} leads to nothing'
        assert target.is_relative_to(ROOT), f'{page}: {link} leads out of the repository'
        assert not name or name in anchors_of(target), f'{page}: {link}: no such heading'


def test_every_picture_is_shown():
    """Each is also small enough for a repository."""
    shown = {
        ((ROOT / page).parent / link.partition('#')[0]).resolve()
        for page in PAGES
        for link in links_of(page)
    }
    for picture in (ROOT / 'docs/images').iterdir():
        assert picture in shown, f'no page shows {picture.name}'
        assert picture.stat().st_size < 200_000, picture.name


def test_every_page_is_in_the_sites_navigation():
    """The page of the API reference lists its parts."""
    index = ''.join((ROOT / f'docs/{name}.md').read_text() for name in ('index', 'api'))
    listed = re.findall(r'^(?:\w+ <)?([\w./]+)>?$', index, flags=re.MULTILINE)
    for page in PAGES:
        name = page.removesuffix('.md')
        name = name.removeprefix('docs/') if name.startswith('docs/') else f'../{name}'
        assert name in listed or page == 'docs/index.md', f'no list of pages has {page}'
