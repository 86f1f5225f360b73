"""Files of the notebooks; test_blocks.py and tests/downstream run their cells."""

import json
import re

import pytest

from tests.conftest import ROOT
from tests.docs.blocks import BASH, NOTEBOOKS, PYTHON, blocks_of


def read(name):
    return json.loads((ROOT / name).read_text())


def test_the_notebooks_are_found():
    assert len(NOTEBOOKS) >= 3
    for name in NOTEBOOKS:
        assert {BASH, PYTHON} & {block.language for block in blocks_of(name)}, name


@pytest.mark.parametrize('name', NOTEBOOKS)
def test_format(name):
    """nbformat 4.5, as far as programs that open notebooks require it."""
    content = read(name)
    assert content.keys() == {'cells', 'metadata', 'nbformat', 'nbformat_minor'}
    assert (content['nbformat'], content['nbformat_minor']) == (4, 5)
    assert content['metadata']['kernelspec']['name'] == 'python3'
    cells = content['cells']
    assert len({cell['id'] for cell in cells}) == len(cells)
    for cell in cells:
        keys = {'id', 'cell_type', 'metadata', 'source'}
        if cell['cell_type'] == 'code':
            keys |= {'execution_count', 'outputs'}
        assert cell.keys() == keys
        assert cell['cell_type'] in ('markdown', 'code') and ''.join(cell['source']).strip()
        for output in cell.get('outputs', ()):
            assert output['output_type'] in ('stream', 'display_data', 'execute_result')


@pytest.mark.parametrize('name', NOTEBOOKS)
def test_stored_output(name):
    """All cells except the installation were run in order; files are small."""
    code = [cell for cell in read(name)['cells'] if cell['cell_type'] == 'code']
    installs = [''.join(cell['source']).startswith('%pip ') for cell in code]
    assert installs[0] and not any(installs[1:])
    assert code[0]['metadata']['tags'] == ['skip-execution'] and not code[0]['outputs']
    counts = [cell['execution_count'] for cell in code[1:]]
    assert counts == list(range(1, len(code))), 'run docs/notebooks/run.py'
    assert len(code) <= 13
    assert not any('image/png' in o.get('data', ()) for cell in code for o in cell['outputs'])
    assert (ROOT / name).stat().st_size < 1_000_000


@pytest.mark.parametrize('name', NOTEBOOKS)
def test_no_absolute_paths(name):
    content = read(name)
    for cell in content['cells']:
        for output in cell.get('outputs', ()):
            output.get('data', {}).pop('image/jpeg', None)
    assert not re.findall(r'(?<![\w.])/(?:tmp|work|root|home)\b[^"\s]*', json.dumps(content))
