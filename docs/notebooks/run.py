"""Run notebooks and keep what they show: ``python run.py NOTEBOOK.ipynb ...``.

They run in the current folder, where their data lie. Cells tagged ``skip-execution``, which
install, are left out. Pictures are kept as JPEG, so that the files stay small; warnings of
libraries and colours of the terminal are not kept.
"""

import base64
import io
import os
import re
import sys

import nbformat
from nbclient import NotebookClient
from PIL import Image

#: Lines of libraries that say nothing about the notebook.
NOISE = re.compile(
    r'^(Could not import OneDL\.|.*Failed to search registry with scope|loading annotations into'
    r'|Done \(t=|creating index|index created).*\n',
    re.MULTILINE,
)

METADATA = dict(
    kernelspec=dict(display_name='Python 3', language='python', name='python3'),
    # As Jupyter writes it: the lexer knows %pip and %%bash.
    language_info=dict(name='python', pygments_lexer='ipython3'),
)


def with_small_pictures(data: dict) -> dict:
    """The forms of an output, of which a picture has one, JPEG."""
    if 'image/png' not in data:
        return data
    picture = Image.open(io.BytesIO(base64.b64decode(data['image/png']))).convert('RGB')
    content = io.BytesIO()
    picture.save(content, 'jpeg', quality=85, optimize=True)
    jpeg = base64.b64encode(content.getvalue()).decode()
    return {'image/jpeg': jpeg, 'text/plain': data['text/plain']}


def joined(outputs: list) -> list:
    """What is printed as one output in place of pieces as they came."""
    found: list = []
    for output in outputs:
        last = found[-1] if found else {}
        if output.output_type == 'stream' and output.name == last.get('name'):
            last.text += output.text
        else:
            found.append(output)
    for output in found:
        if output.output_type == 'stream':
            output.text = NOISE.sub('', re.sub(r'\x1b\[[\d;]*m', '', output.text))
    return [output for output in found if output.get('text') != '']


def run(path: str) -> None:
    notebook = nbformat.read(path, 4)
    NotebookClient(notebook, timeout=None, record_timing=False).execute()
    notebook.metadata = METADATA
    for cell in notebook.cells:
        if 'outputs' in cell:
            cell.outputs = joined(cell.outputs)
        for output in cell.get('outputs', ()):
            if 'data' in output:
                output['data'] = with_small_pictures(output['data'])
    nbformat.write(notebook, path)


if __name__ == '__main__':
    os.environ.setdefault('PYTHONWARNINGS', 'ignore')
    for path in sys.argv[1:]:
        run(path)
