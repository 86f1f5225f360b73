"""A link to download it above each notebook's page."""

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util.typing import ExtensionMetadata


class NotebookDownload(SphinxTransform):
    default_priority = 500

    def apply(self, **kwargs) -> None:
        path = self.env.doc2path(self.env.docname, base=False)
        if not str(path).endswith('.ipynb'):
            return
        link = addnodes.download_reference(
            '', 'Download this notebook', reftarget=f'/{path}', refdoc=self.env.docname
        )
        title = next(self.document.findall(nodes.title))
        title.parent.insert(title.parent.index(title) + 1, nodes.paragraph('', '', link))


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_transform(NotebookDownload)
    return {'version': '1', 'parallel_read_safe': True, 'parallel_write_safe': True}
