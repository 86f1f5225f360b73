"""Finding test results below folders."""

import os
from collections.abc import Iterable
from typing import NamedTuple

from vgg_mm.evaluation import RECORDS_FILE, TestRecord, read_records


class Result(NamedTuple):
    """A test record and the work directory that holds it."""

    record: TestRecord
    folder: str


def find_results(folders: Iterable[str]) -> list[Result]:
    """The newest record of each row in every results file below the folders.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if a file is broken.
    """
    return [
        Result(record, folder)
        for folder in folders_with(RECORDS_FILE, folders)
        for record in read_records(os.path.join(folder, RECORDS_FILE))
    ]


def folders_with(name: str, folders: Iterable[str]) -> list[str]:
    """Folders, the given ones and all below them, that hold a file of that name; each once.

    Raises:
        FileNotFoundError: if there is no such folder.
    """
    found: dict[str, str] = {}
    for top in folders:
        if not os.path.isdir(top):
            raise FileNotFoundError(f'no such folder: {top}')
        for folder, below, files in os.walk(top):
            below.sort()
            if name in files:
                found.setdefault(os.path.realpath(folder), os.path.normpath(folder))
    return list(found.values())
