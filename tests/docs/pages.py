"""Runs the blocks of a page one after the other in one folder, as a reader would."""

from tests import preloaded
from tests.docs import shortened
from tests.docs.blocks import BASH, CONSOLE, PYTHON
from tests.docs.shell import agrees, commands_and_output, prepare, python_script, run_block
from tests.docs.world import enter

#: Pages whose output depends on weights and data: only the first words of its lines are compared.
OUTLINES = ('docs/finetune.md', 'docs/weights.md')


def run_page(blocks, world, tmp_path, configs):
    """Run blocks; ``configs`` maps Page#heading to the test of its configs."""
    folder = enter(world, tmp_path / 'folder')
    bridge = tmp_path / 'bridge'
    prepare(folder, bridge)
    for block in blocks:
        if block.language in (BASH, CONSOLE):
            run_commands(block, folder, bridge)
        elif block.language == PYTHON and block.is_script:
            script = python_script(PRELUDE + shortened.script(block.text), folder / 'script.py')
            done = preloaded.run(script[1:], folder)
            assert done.returncode == 0, f'{block.place}: {done.stderr[-2000:]}'
        elif block.language == PYTHON:
            configs[block.section](block.text, folder)


#: Defines the ``array`` that pages use.
PRELUDE = 'import numpy\narray = numpy.zeros((240, 300, 3), numpy.uint8)\n'


def run_commands(block, folder, bridge):
    text, shown = block.text, ''
    if block.language == CONSOLE:
        text, shown = commands_and_output(text)
    done = run_block(text, folder, bridge, shortened.answer_in(folder, block.page))
    hint = f'; {shortened.HOW}' if 'command not found' in done.stderr else ''
    assert done.returncode == 0, f'{block.place}: {done.stdout[-1500:]}{done.stderr[-1500:]}{hint}'
    if block.page in OUTLINES:
        found = done.stdout.split()
        missing = [word for word in outline(shown) if word not in found]
        assert not missing, f'{block.place}: the output has no {missing}: {done.stdout}'
    elif shown:
        assert agrees(shown, done.stdout), f'{block.place}: the output is {done.stdout}'


def outline(shown):
    """The first words of the lines of an output, up to a line ``...``."""
    lines = shown.split('\n...')[0].splitlines()
    return [line.split()[0] for line in lines if line.strip() and not line.startswith('-')]
