"""Every block of code in the pages is run; detectors and segmentors in tests/downstream."""

import pytest

from tests import preloaded
from tests.docs import shortened
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
)  # fmt: skip
from tests.docs.configs import CONFIGS
from tests.docs.shell import agrees, commands_and_output, prepare, python_script, run_block
from tests.docs.world import enter, in_places, make_world

#: Console blocks whose figures depend on weights and data: of their output the first words of the
#: lines are compared.
OUTLINES = ('docs/finetune.md', 'docs/weights.md')


@pytest.fixture(scope='session')
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp('world')
    make_world(folder)
    return folder


def run_page(blocks, world, tmp_path):
    """The blocks of a page, one after the other in one folder, as a reader would."""
    folder = enter(world, tmp_path / 'folder')
    bridge = tmp_path / 'bridge'
    prepare(folder, bridge)
    for block in blocks:
        if block.language in (BASH, CONSOLE):
            run_commands(block, folder, bridge)
        elif block.language == PYTHON and block.is_script:
            script = python_script(PRELUDE + in_places(block.text), folder / 'script.py')
            done = preloaded.run(script[1:], folder)
            assert done.returncode == 0, f'{block.place}: {done.stderr[-2000:]}'
        elif block.language == PYTHON:
            CONFIGS[block.section](block.text, folder)


#: What notebooks have at hand where a page says ``array``.
PRELUDE = 'import numpy\narray = numpy.zeros((240, 300, 3), numpy.uint8)\n'


def run_commands(block, folder, bridge):
    text, shown = block.text, ''
    if block.language == CONSOLE:
        text, shown = commands_and_output(text)
    done = run_block(text, folder, bridge, shortened.answer_in(folder))
    hint = f'; {shortened.HOW}' if 'command not found' in done.stderr else ''
    assert done.returncode == 0, f'{block.place}: {done.stdout[-1500:]}{done.stderr[-1500:]}{hint}'
    if block.page in OUTLINES:
        found = done.stdout.split()
        missing = [word for word in outline(shown) if word not in found]
        assert not missing, f'{block.place}: the output has no {missing}: {done.stdout}'
    elif shown:
        assert agrees(shown, done.stdout), f'{block.place}: the output is {done.stdout}'


def outline(shown):
    """The first words of an output's lines, up to one that stands for more."""
    lines = shown.split('\n...')[0].splitlines()
    return [line.split()[0] for line in lines if line.strip() and not line.startswith('-')]


RUNNABLE = pages_with(lambda b: b.language in (BASH, CONSOLE, PYTHON) and not is_downstream(b))


@pytest.mark.parametrize('page', RUNNABLE)
def test_every_block_runs(page, world, tmp_path):
    run_page(RUNNABLE[page], world, tmp_path)


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


def test_text_holds_no_commands():
    """What is marked as no code is none."""
    for block in all_blocks():
        if block.language == TEXT:
            starts = ('$ ', 'python ', 'pip ', 'make ', 'import ')
            wrong = [line for line in block.text.splitlines() if line.startswith(starts)]
            assert not wrong, f'{block.place}: mark it as {BASH}, {CONSOLE} or {PYTHON}: {wrong[0]}'


@pytest.mark.parametrize(
    'text, message',
    [
        ('```bash\npython tools/new_tool.py\n```', 'unknown new_tool.py: give it a short form'),
        ('```bash\ndocker build .\n```', 'command not found; give it a short form'),
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
        run_page(blocks_of('docs/new.md', text), world, tmp_path)


def test_outputs_with_gaps():
    assert agrees('a\n...\nb', 'a\n1\n2\nb\n') and agrees('a b', 'a b\n')
    assert not agrees('a\n...\nb', 'a\n1\nc') and not agrees('a', 'a\nb')
