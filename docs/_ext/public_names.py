"""``.. public_names:: MODULE``: a table of a module's ``__all__``, or of the names in ``:only:``.

Each name leads to its entry, which ``automodule`` writes on the same page; beside it stands the
first sentence of its docstring.
"""

import importlib
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.ext.autosummary import Autosummary
from sphinx.util.typing import ExtensionMetadata


class PublicNames(Autosummary):
    required_arguments = 1
    has_content = False
    option_spec = {'only': str}

    def run(self) -> list[nodes.Node]:
        (module,) = self.arguments
        only = self.options.pop('only', '').replace(',', ' ').split()
        found: Any = importlib.import_module(module)
        # Values have no entries.
        names = [n for n in only or sorted(found.__all__) if callable(getattr(found, n))]
        self.content = [f'~{module}.{name}' for name in names]
        self.options['nosignatures'] = None
        return super().run()


def setup(app: Sphinx) -> ExtensionMetadata:
    app.setup_extension('sphinx.ext.autosummary')
    app.add_directive('public_names', PublicNames)
    return {'version': '1', 'parallel_read_safe': True, 'parallel_write_safe': True}
