"""A study's report: one HTML page and its twin in Markdown, made from the results alone."""

import os
import os.path as osp

from ..results import Found
from ..study import Study
from .blocks import markdown, page
from .sections import report

__all__ = ['write_report']


def write_report(study: Study, found: Found) -> list[str]:
    """Write ``REPORT.md``, with its pictures beside it, and ``REPORT.html``.

    Args:
        study: The study; its ``report`` is the path without an ending.
        found: Data set -> results.

    Returns:
        The two paths.
    """
    blocks = report(study, found)
    os.makedirs(osp.dirname(osp.abspath(study.report)), exist_ok=True)
    paths = []
    for ending, text in (
        ('.md', markdown(blocks, study.report)),
        ('.html', page(blocks, study.title)),
    ):
        paths.append(study.report + ending)
        with open(paths[-1], 'w', encoding='utf-8') as file:
            file.write(text)
    return paths
