"""``tools/paper_table.py``: the paper's Tables 3 to 7 from the results in work directories."""

from .report import paper_table

__all__ = ['paper_table']
