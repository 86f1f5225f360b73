"""A study's report as an HTML page and as Markdown, generated from the results only."""

import os
import os.path as osp

from vgg_mm.apis.document import BAD, DIM, GOOD, markdown, page

from ..results import ResultsByData
from ..study import Study
from ..verdicts import CONFIRMED, CONTRADICTED, NOT_JUDGED, NOT_SEEN, UNDECIDED
from .sections import report

__all__ = ['write_report']

#: verdict -> class of its cells on the page
CLASSES = {CONFIRMED: GOOD, CONTRADICTED: BAD, NOT_SEEN: '', NOT_JUDGED: DIM, UNDECIDED: DIM}


def write_report(study: Study, found: ResultsByData) -> list[str]:
    """Write the report as Markdown, with its pictures, and as HTML; return both paths."""
    blocks = report(study, found)
    os.makedirs(osp.dirname(osp.abspath(study.report)), exist_ok=True)
    paths = []
    for ending, text in (
        ('.md', markdown(blocks, study.report)),
        ('.html', page(blocks, study.title, CLASSES)),
    ):
        paths.append(study.report + ending)
        with open(paths[-1], 'w', encoding='utf-8') as file:
            file.write(text)
    return paths
