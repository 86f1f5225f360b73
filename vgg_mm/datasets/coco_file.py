"""COCO's annotation files."""

import json
import math
import os
from collections.abc import Iterable, Mapping
from typing import Any, Union

#: Part of a file -> key of its entries -> what it is.
FORM = {
    'categories': {'id': 'a number', 'name': 'the name of a class'},
    'images': {
        'id': 'a number',
        'file_name': "the file's path below data_prefix",
        'height': 'a number of pixels',
        'width': 'a number of pixels',
    },
    'annotations': {
        'id': 'a number, no two alike',
        'image_id': 'the id of an image',
        'category_id': 'the id of a category',
        'bbox': 'x, y, width and height in pixels',
        'area': 'width * height of bbox, or that of the mask, in pixels',
    },
}

NAMES = ('file_name', 'name')
SIZES = ('height', 'width', 'area')


def read_coco(
    path: Union[str, os.PathLike],
    needed: Mapping[str, Iterable[str]] = FORM,
    any_box: bool = False,
) -> dict[str, list[dict]]:
    """A file's images, annotations and categories.

    Args:
        path: The file.
        needed: Part -> keys that each of its entries must have, with a value of the right kind.
        any_box: Whether boxes may have any value.

    Raises:
        ValueError: in one line, if the file is not of this form.
    """
    with open(path, encoding='utf-8') as file:
        try:
            content = json.load(file)
        except ValueError as error:
            raise ValueError(f"{path} is no annotation file of COCO's form: {error!r}") from None
    for part, keys in needed.items():
        entries = content.get(part) if isinstance(content, dict) else None
        if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
            raise ValueError(
                f"{path} is no annotation file of COCO's form: it has no list {part!r}"
            )
        for key in keys:
            meaning = FORM[part][key]
            lacking = [i for i, one in enumerate(entries) if key not in one]
            if lacking:
                raise ValueError(
                    f'{path}: {len(lacking)} of {len(entries)} {part} have no {key!r} ({meaning}), '
                    f'the first is number {lacking[0]}'
                )
            for i, one in enumerate(entries):
                if not (_fits(key, one[key]) or (any_box and key == 'bbox')):
                    raise ValueError(
                        f'{path}: number {i} of {part} has {key}={one[key]!r}; expected {meaning}'
                    )
    return content


def _fits(key: str, value: Any) -> bool:
    if key in NAMES:
        return isinstance(value, str)
    if key in SIZES:
        return _is_number(value)
    if key == 'bbox':
        return isinstance(value, list) and len(value) == 4 and all(map(_is_number, value))
    return isinstance(value, (int, str))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
