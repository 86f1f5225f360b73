"""Links to the repository's files and folders, which are no pages of the site.

On GitHub they work as they are. In the site they lead to the address that the package's metadata
gives as ``Source`` (pyproject.toml, ``project.urls``: a branch or tag). As
long as it gives none, files are downloads, which MyST makes of them, and folders are plain text.
A link to what does not exist is left alone: MyST warns of it.
"""

import os
from importlib.metadata import PackageNotFoundError, metadata
from typing import Optional

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.typing import ExtensionMetadata


def repository_address(package: str = 'vgg_mm') -> Optional[str]:
    """The metadata's ``Source`` address, without a slash at its end; None if it has none."""
    try:
        entries = metadata(package).get_all('Project-URL') or []
    except PackageNotFoundError:
        return None
    addresses = dict(entry.split(', ', 1) for entry in entries)
    return addresses['Source'].rstrip('/') if 'Source' in addresses else None


class RepositoryLinks(SphinxPostTransform):
    # Before MyST looks for pages.
    default_priority = 5

    def run(self, **kwargs) -> None:
        address = self.config.repository_address
        for link in list(self.document.findall(addnodes.download_reference)):
            if address and not link['reftarget'].startswith(('http:', 'https:')):
                path = self._path(link['reftarget'])
                link.replace_self(self._reference(f'{address}/{path}', link))
        for link in list(self.document.findall(addnodes.pending_xref)):
            if link.get('reftype') != 'myst':
                continue
            path = self._path(link['reftarget'])
            if os.path.isdir(os.path.join(self.env.srcdir, path)):
                new = self._reference(f'{address}/{path}', link) if address else nodes.inline()
                if not address:
                    new += link.children
                link.replace_self(new)

    def _path(self, target: str) -> str:
        """A link's target, relative to the repository's root."""
        if target.startswith('/'):
            return os.path.normpath(target.lstrip('/'))
        return os.path.normpath(os.path.join(os.path.dirname(self.env.docname), target))

    @staticmethod
    def _reference(address: str, link: nodes.Element) -> nodes.reference:
        return nodes.reference('', '', *link.children, refuri=address, internal=False)


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_config_value('repository_address', repository_address(), 'env')
    app.add_post_transform(RepositoryLinks)
    return {'version': '1', 'parallel_read_safe': True, 'parallel_write_safe': True}
