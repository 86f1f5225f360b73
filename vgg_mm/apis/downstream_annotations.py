"""What is wrong with an annotation file of COCO's form, before MMDetection reads it."""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

from vgg_mm.engine.hooks.annotation_check_hook import class_text
from vgg_mm.text import first_few

#: What MMDetection asks of each entry, and what that is.
REQUIRED = {
    'categories': {'id': 'a number', 'name': 'the name of a class'},
    'images': {
        'id': 'a number',
        'file_name': "the file's path below data_prefix",
        'height': 'pixels',
        'width': 'pixels',
    },
    'annotations': {
        'id': 'a number, no two alike',
        'image_id': 'the id of an image',
        'category_id': 'the id of a category',
        'bbox': 'x, y, width and height in pixels',
        'area': 'width * height of bbox, or that of the mask, in pixels',
    },
}


def check_annotations(path: str, classes: Any, filter_cfg: dict, test_mode: bool) -> None:
    """Read an annotation file and compare it with the classes of the config.

    Args:
        path: The file.
        classes: The names that the data set is to have.
        filter_cfg: The data set's; which images it leaves out.
        test_mode: Whether the data set keeps all images.

    Raises:
        ValueError: in one line, if a part is missing, a class is unknown or stands twice, or if no
            image is left.
    """
    content = _read(path)
    if isinstance(classes, str):
        raise ValueError(class_text(classes, path))
    _check_names(path, content, classes)
    wanted = {c['id'] for c in content['categories'] if c['name'] in classes}
    known = {category['id'] for category in content['categories']}
    others = sum(one['category_id'] not in known for one in content['annotations'])
    if others:
        _warn(f'{others} annotations of {path} have a category_id that no category has')
    left = list(_usable(content, wanted))
    if content['annotations'] and not left:
        raise ValueError(_nothing_usable(path, content, wanted))
    if not test_mode:
        _check_filtered(path, content, {one['image_id'] for one in left}, filter_cfg)


def _read(path: str) -> dict[str, list[dict]]:
    with open(path, encoding='utf-8') as file:
        try:
            content = json.load(file)
        except ValueError as error:
            raise ValueError(f"{path} is no annotation file of COCO's form: {error!r}") from None
    for part, keys in REQUIRED.items():
        entries = content.get(part) if isinstance(content, dict) else None
        if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
            raise ValueError(
                f"{path} is no annotation file of COCO's form: it has no list {part!r}"
            )
        for key, meaning in keys.items():
            lacking = [i for i, one in enumerate(entries) if key not in one]
            if lacking:
                raise ValueError(
                    f'{path}: {len(lacking)} of {len(entries)} {part} have no {key!r} ({meaning}), '
                    f'the first is number {lacking[0]}'
                )
    return content


def _check_names(path: str, content: dict, classes: Any) -> None:
    found = [category['name'] for category in content['categories']]
    missing = [name for name in classes if name not in found]
    if missing:
        names = first_few([*map(repr, found)], 5)
        raise ValueError(
            f'{path} has the classes {names}, and not {missing[0]!r}: name them in the '
            "config's data sets, metainfo=dict(classes=(...)), and give the head their number"
        )
    twice = [name for name, count in Counter(found).items() if count > 1 and name in classes]
    if twice:
        boxes = Counter(one['category_id'] for one in content['annotations'])
        ids = [c['id'] for c in content['categories'] if c['name'] == twice[0]]
        raise ValueError(
            f'{path} has {len(ids)} categories named {twice[0]!r}, '
            + ', '.join(f'id {i} with {boxes[i]} boxes' for i in ids)
            + ': MMDetection would number the classes wrongly; remove the one without boxes from '
            'the file (a super-category, as some labelling sites export it), or rename one'
        )


def _usable(content: dict, wanted: set) -> Iterator[dict]:
    """The boxes that MMDetection keeps."""
    sizes = {one['id']: (one['width'], one['height']) for one in content['images']}
    for one in content['annotations']:
        x, y, width, height = one['bbox']
        image_width, image_height = sizes.get(one['image_id'], (0, 0))
        inside = min(x + width, image_width) > max(x, 0) and min(y + height, image_height) > max(
            y, 0
        )
        if (
            inside and width >= 1 and height >= 1 and one['area'] > 0
            and one['category_id'] in wanted and not one.get('ignore')
        ):  # fmt: skip
            yield one


def _nothing_usable(path: str, content: dict, wanted: set) -> str:
    boxes = [one for one in content['annotations'] if one['category_id'] in wanted]
    if not boxes:
        return f'{path}: none of its {len(content["annotations"])} boxes is of the classes'
    first = boxes[0]
    image = next((one for one in content['images'] if one['id'] == first['image_id']), None)
    size = 'no image of the file' if image is None else f'{image["width"]}x{image["height"]}'
    return (
        f'{path}: MMDetection would use none of its {len(boxes)} boxes, e.g. bbox='
        f'{first["bbox"]}, area={first["area"]} in image {first["image_id"]!r} ({size}): bbox is '
        'x, y, width and height in pixels, at least 1x1, inside the image, with area > 0'
    )


def _check_filtered(path: str, content: dict, with_boxes: set, filter_cfg: dict) -> None:
    """Refuse a file of which no image is left."""
    images, smallest = content['images'], filter_cfg.get('min_size', 0)
    empty = {one['id'] for one in images if filter_cfg.get('filter_empty_gt')} - with_boxes
    small = {one['id'] for one in images if min(one['width'], one['height']) < smallest}
    if {one['id'] for one in images} - empty - small:
        return
    raise ValueError(
        f'{path}: none of its {len(images)} images is left for training: {len(empty)} have no box '
        f'of the classes (filter_cfg.filter_empty_gt), {len(small)} a side below {smallest} pixels '
        '(filter_cfg.min_size)'
    )


def _warn(message: str) -> None:
    print(f'warning: {message}', file=sys.stderr)
