"""The site: ``make docs``, or ``sphinx-build -W -c docs . build/site`` in the repository's root.

The source folder is the whole repository, of which only Markdown meant for readers is taken, so
that links between docs/ and the README, benchmarks and source files are the same here and on
GitHub.
"""

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [ROOT, os.path.join(ROOT, 'docs', '_ext')]

from mmcv.transforms.utils import cache_randomness  # noqa: E402

from vgg_mm.version import __version__  # noqa: E402

project = 'vgg_mm'
author = 'The vgg_mm authors'
copyright = 'the vgg_mm authors'
version = release = __version__

extensions = [
    'myst_nb',
    'sphinx.ext.autodoc',
    'sphinx.ext.napoleon',
    'sphinx.ext.viewcode',
    'sphinx_copybutton',
    'notebook_downloads',
    'public_names',
    'repository_links',
]
root_doc = 'docs/index'
include_patterns = [
    *('README.md', 'CHANGELOG.md', 'CONTRIBUTING.md'),
    *(f'{folder}/*.md' for folder in ('benchmarks', 'studies', 'docs', 'docs/api')),
    'docs/notebooks/*.ipynb',
]
# Notebooks are shown with the output that is stored in them.
nb_execution_mode = 'off'

# Anchors of headings as GitHub makes them; a link to one that is not there is a warning.
myst_heading_anchors = 3
# Small pictures in the README's table.
myst_enable_extensions = ['html_image']

autodoc_member_order = 'bysource'
autodoc_typehints = 'signature'
autodoc_typehints_format = 'short'
# Third parties' base classes are named, not documented here.
autodoc_default_options = {'show-inheritance': True}
python_maximum_signature_line_length = 90

# Copied without the prompt and what a command prints; text and cells' output are no code.
copybutton_prompt_text = '$ '
copybutton_selector = 'div:not(.highlight-text, .highlight-myst-ansi) > div.highlight pre'

html_theme = 'furo'
html_title = f'vgg_mm {release}'
html_theme_options = {'navigation_with_keys': True}
html_static_path = ['_static']
html_css_files = ['site.css']
# The site's front page lies in docs/; the root sends there.
html_additional_pages = {'index': 'to_docs.html'}
templates_path = ['_templates']

# Looked up on a class, as autodoc does, mmcv's decorated methods break: they want an object.
_get = cache_randomness.__get__
cache_randomness.__get__ = lambda self, obj, cls: self if obj is None else _get(self, obj, cls)
