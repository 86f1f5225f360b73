"""COCO's annotation files, and the photos with boxes that they describe."""

import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Union

from vgg_mm.registry import DATASETS

from .box_dataset import Annotation, BoxDataset

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

#: The keys that :class:`CocoBoxes` needs.
NEEDED = {
    'images': ('id', 'file_name'),
    'annotations': ('id', 'image_id', 'category_id', 'bbox'),
    'categories': ('id', 'name'),
}


@DATASETS.register_module()
class CocoBoxes(BoxDataset):
    """Photos with a class and boxes, from a COCO file: its images, annotations and categories.

    Classes are the file's categories in the order of their ids, or, if given, ``classes`` in their
    order; boxes of other categories are then bad. Boxes of groups (``iscrowd``) do not count.
    For images with boxes of several classes see :class:`BoxDataset`.

    Args:
        ann_file: The COCO file, below ``data_root``.
        data_root, data_prefix: Folder of the images is ``data_root/data_prefix``.
        on_error, several_classes, kwargs: As in :class:`BoxDataset`.
    """

    def sources(self) -> Iterator[tuple[dict, list[dict]]]:
        """(image, its annotations) of each image."""
        if not os.path.isfile(self.ann_file):
            raise FileNotFoundError(
                f'no annotation file {self.ann_file!r}: give yours with --cfg-options '
                'DATA_ROOT=FOLDER'
            )
        content = read_coco(self.ann_file, NEEDED, any_box=True)
        images, categories = content['images'], content['categories']
        self._names = {c['id']: c['name'] for c in sorted(categories, key=_order)}
        if self.CLASSES is None:
            # Some exports have two categories of one name.
            self._metainfo['classes'] = tuple(dict.fromkeys(self._names.values()))
        of_image: dict[Any, list[dict]] = {image['id']: [] for image in images}
        for annotation in content['annotations']:
            if annotation['image_id'] not in of_image:
                self._leave_out(
                    f'{self.ann_file}: annotation {annotation["id"]} is of image '
                    f'{annotation["image_id"]!r}, which is not in the file'
                )
            elif not annotation.get('iscrowd'):
                of_image[annotation['image_id']].append(annotation)
        return ((image, of_image[image['id']]) for image in images)

    def read(self, source: tuple[dict, list[dict]]) -> Annotation:
        """COCO's boxes are x, y, width, height."""
        image, annotations = source
        where = f'{self.ann_file}, {image["file_name"]}'
        objects = []
        for annotation in annotations:
            try:
                x, y, width, height = map(float, annotation['bbox'])
            except (TypeError, ValueError):
                raise ValueError(f'{where}: not a box: {annotation["bbox"]!r}') from None
            category = annotation['category_id']
            name = self._names.get(category, f'category {category}')
            objects.append((name, (x, y, x + width, y + height)))
        # 0 or null where the program that wrote the file did not know.
        sizes: list[Any] = [image.get(key) for key in ('height', 'width')]
        recorded = all(_is_number(size) and size > 0 for size in sizes)
        shape = (int(sizes[0]), int(sizes[1])) if recorded else None
        path = os.path.join(self.img_prefix, image['file_name'])
        return Annotation(where, path, shape, objects)


def read_coco(
    path: Union[str, os.PathLike],
    needed: Mapping[str, Iterable[str]] = FORM,
    any_box: bool = False,
    optional: Iterable[str] = (),
) -> dict[str, list[dict]]:
    """A file's images, annotations and categories.

    Args:
        path: The file.
        needed: Part -> keys that each of its entries must have, with a value of the right kind.
        any_box: Whether boxes may have any value.
        optional: Parts that a file may lack, and that are empty then.

    Raises:
        ValueError: in one line, if the file is not of this form.
    """
    with open(path, encoding='utf-8-sig') as file:
        try:
            content = json.load(file)
        except ValueError as error:
            raise ValueError(f"{path} is no annotation file of COCO's form: {error!r}") from None
    for part, keys in needed.items():
        if part in optional and isinstance(content, dict):
            content.setdefault(part, [])
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
        if part != 'annotations':  # whose ids this package does not use
            twice = [i for i, count in Counter(one['id'] for one in entries).items() if count > 1]
            if twice:
                raise ValueError(
                    f'{path}: {len(twice)} ids of {part} occur more than once, e.g. {twice[0]!r}: '
                    'number them anew, here and in the annotations'
                )
    return content


def _order(category: dict) -> tuple[bool, Any]:
    """By id: numbers, then texts."""
    return isinstance(category['id'], str), category['id']


def _fits(key: str, value: Any) -> bool:
    if key in ('file_name', 'name'):
        return isinstance(value, str)
    if key in ('height', 'width', 'area'):
        return _is_number(value)
    if key == 'bbox':
        return isinstance(value, list) and len(value) == 4 and all(map(_is_number, value))
    return isinstance(value, (int, str))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
