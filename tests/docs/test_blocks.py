"""Every code block of the pages is run; tests/downstream runs detectors and segmentors."""

import pytest

from tests.docs.blocks import (
    BASH,
    CONSOLE,
    DIRECTIVES,
    LANGUAGES,
    PYTHON,
    TEXT,
    all_blocks,
    blocks_of,
    is_downstream,
    pages_with,
)
from tests.docs.configs import CONFIGS
from tests.docs.pages import run_page
from tests.docs.shell import agrees
from tests.docs.world import make_world


@pytest.fixture(scope='session')
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp('world')
    make_world(folder)
    return folder


RUNNABLE = pages_with(lambda b: b.language in (BASH, CONSOLE, PYTHON) and not is_downstream(b))


#: Pages with many trainings, tests or measurements.
SLOW = (
    'benchmarks/scaling.md',
    'docs/features.md',
    'docs/localisation.md',
    'docs/quickstart.md',
    'docs/study.md',
)


@pytest.mark.parametrize(
    'page',
    [pytest.param(p, marks=pytest.mark.slow if p in SLOW else ()) for p in RUNNABLE],
)
def test_every_block_runs(page, world, tmp_path):
    run_page(RUNNABLE[page], world, tmp_path, CONFIGS)


def test_every_block_is_of_a_known_kind():
    for block in all_blocks():
        assert block.language in (*LANGUAGES, *DIRECTIVES), (
            f'{block.place}: a block of {block.language or "no language"!r}: name one of '
            f'{", ".join(LANGUAGES)}'
        )
        if block.language == PYTHON and not block.is_script and not is_downstream(block):
            assert block.section in CONFIGS, (
                f'{block.place}: a config that nothing builds: add {block.section!r} to CONFIGS of '
                'tests/docs/configs.py'
            )


def test_text_blocks_contain_no_commands():
    """Blocks marked as text are not code."""
    for block in all_blocks():
        if block.language == TEXT:
            starts = ('$ ', 'python ', 'vgg-mm ', 'pip ', 'make ', 'import ')
            wrong = [line for line in block.text.splitlines() if line.startswith(starts)]
            assert not wrong, f'{block.place}: mark it as {BASH}, {CONSOLE} or {PYTHON}: {wrong[0]}'


@pytest.mark.parametrize(
    'text, message',
    [
        ('```bash\npython tools/new_tool.py\n```', 'unknown new_tool.py: give it a short form'),
        ('```bash\ndocker build .\n```', 'docker: command not found\n; give it a short form'),
        ('```bash\npip install .[nothing]\n```', "no extra 'nothing'"),
        ('```bash\npython tools/train.py --no-such-option\n```', 'error: '),
        ('```bash\npython tools/net_table.py --net D --net-size 3\n```', 'unrecognized arguments'),
        ('```console\n$ python tools/net_table.py\nnothing\n```', 'the output is'),
        ('```python\nimport vgg_mm\nvgg_mm.no_such_name\n```', 'no_such_name'),
        ('```python\nfrom vgg_mm.apis import predict\n\npredict(1)\n```', 'TypeError'),
    ],
)
def test_wrong_blocks_are_found(text, message, world, tmp_path):
    with pytest.raises(AssertionError, match=message):
        run_page(blocks_of('docs/new.md', text), world, tmp_path, CONFIGS)


def test_comparison_of_outputs():
    assert agrees('a\n...\nb', 'a\n1\n2\nb\n') and agrees('a b', 'a b\n')
    assert not agrees('a\n...\nb', 'a\n1\nc') and not agrees('a', 'a\nb')
