"""Blocks of code in the Markdown pages."""

import re
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt

from tests.conftest import ROOT

PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ('*.md', 'docs/*.md', 'benchmarks/*.md')
    for path in ROOT.glob(pattern)
)

#: Commands; commands with their output; Python; what is no code. Sphinx's directives are what the
#: site's own build tries.
LANGUAGES = BASH, CONSOLE, PYTHON, TEXT = 'bash', 'console', 'python', 'text'
DIRECTIVES = ('{toctree}', '{eval-rst}')


class Block(NamedTuple):
    """A fenced block; ``line`` is its first line of code, ``heading`` the anchor above it."""

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
    """GitHub's anchor of a heading, the marks of its Markdown taken away."""
    title = re.sub(r'\[([^\]]*)\]\([^)]*\)', r'\1', title).lower()
    return re.sub(r'[^\w\- ]', '', title).replace(' ', '-')


def blocks_of(page, text=None):
    """All fenced and indented blocks of a page."""
    text = (ROOT / page).read_text() if text is None else text
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
    return [block for page in PAGES for block in blocks_of(page)]


def is_downstream(block):
    """Whether it needs MMDetection or MMSegmentation: then tests/downstream runs it."""
    pages = ('docs/downstream.md', 'docs/segmentation.md')
    return block.page in pages or 'configs/downstream/' in block.text


def pages_with(condition):
    """{page: its blocks that fulfil a condition}, without pages that have none."""
    found = {}
    for block in all_blocks():
        if condition(block):
            found.setdefault(Path(block.page).as_posix(), []).append(block)
    return found
