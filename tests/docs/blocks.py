"""Code blocks of the Markdown pages and the notebooks."""

import json
import re
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt

from tests.conftest import ROOT

PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ('*.md', 'docs/*.md', 'docs/api/*.md', 'benchmarks/*.md')
    for path in ROOT.glob(pattern)
)

NOTEBOOKS = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob('docs/**/*.ipynb'))

#: Commands; commands with their output; Python; text that is not code. Sphinx's directives are
#: tested by the build of the site.
LANGUAGES = BASH, CONSOLE, PYTHON, TEXT = 'bash', 'console', 'python', 'text'
DIRECTIVES = ('{toctree}', '{eval-rst}')


class Block(NamedTuple):
    """A code block; ``line`` is its first line of code, ``heading`` the anchor of its heading."""

    page: str
    line: int
    language: str
    heading: str
    text: str

    @property
    def place(self):
        return f'{self.page}:{self.line}'

    @property
    def section(self):
        return f'{self.page}#{self.heading}'

    @property
    def is_script(self):
        """Python that imports something; a config does not."""
        return bool(re.search(r'^(import|from) ', self.text, re.MULTILINE))


def anchor(title):
    """GitHub's anchor of a heading, without its Markdown syntax."""
    title = re.sub(r'\[([^\]]*)\]\([^)]*\)', r'\1', title).lower()
    return re.sub(r'[^\w\- ]', '', title).replace(' ', '-')


def text_of(page):
    """The Markdown of a page; for a notebook, its cells, with code cells as blocks.

    Consecutive Python cells are one block, because they share their names. Cells that install
    packages are left out.
    """
    if page not in NOTEBOOKS:
        return (ROOT / page).read_text()
    parts, code = [], []
    for cell in [*json.loads((ROOT / page).read_text())['cells'], None]:
        source = ''.join(cell['source']) if cell else ''
        if cell and cell['cell_type'] == 'code' and not source.startswith(('%%bash', '%pip')):
            code.append(source)
            continue
        if code and (cell is None or cell['cell_type'] == 'code'):
            parts.append(f'```{PYTHON}\n' + '\n\n'.join(code) + '\n```')
            code = []
        if source.startswith('%%bash\n'):
            parts.append(f'```{BASH}\n' + source.removeprefix('%%bash\n') + '\n```')
        elif cell and cell['cell_type'] == 'markdown':
            parts.append(source)
    return '\n\n'.join(parts)


def blocks_of(page, text=None):
    """All fenced and indented blocks of a page."""
    text = text_of(page) if text is None else text
    found, heading = [], ''
    tokens = MarkdownIt().parse(text)
    for number, token in enumerate(tokens):
        if token.type == 'heading_open':
            heading = anchor(tokens[number + 1].content)
        if token.type in ('fence', 'code_block'):
            language = token.info.strip()
            found.append(Block(page, token.map[0] + 2, language, heading, token.content))
    return found


def all_blocks():
    return [block for page in (*PAGES, *NOTEBOOKS) for block in blocks_of(page)]


def is_downstream(block):
    """Whether it needs MMDetection or MMSegmentation; tests/downstream runs such blocks."""
    pages = ('docs/downstream.md', 'docs/segmentation.md', 'docs/notebooks/detector.ipynb')
    return block.page in pages or 'configs/downstream/' in block.text


def pages_with(condition):
    """{page: its blocks that satisfy a condition}, without pages that have none."""
    found = {}
    for block in all_blocks():
        if condition(block):
            found.setdefault(Path(block.page).as_posix(), []).append(block)
    return found
