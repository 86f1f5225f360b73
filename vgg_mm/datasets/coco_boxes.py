"""Boxes in a COCO file."""

import json
import os
from collections.abc import Iterator
from typing import Any

from vgg_mm.registry import DATASETS

from .box_dataset import Annotation, BoxDataset


@DATASETS.register_module()
class CocoBoxes(BoxDataset):
    """Photos with a class and boxes, from a COCO file: its images, annotations and categories.

    Classes are the file's categories in the order of their ids, or, if given, ``classes`` in their
    order; boxes of other categories are then bad. Boxes of groups (``iscrowd``) do not count.
    What happens to images with boxes of several classes: see :class:`BoxDataset`.

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
        images, annotations, categories = self._parts()
        self._names = {c['id']: c['name'] for c in sorted(categories, key=lambda c: c['id'])}
        if self.CLASSES is None:
            self._metainfo['classes'] = tuple(self._names.values())
        of_image: dict[Any, list[dict]] = {image['id']: [] for image in images}
        for annotation in annotations:
            if annotation['image_id'] not in of_image:
                self._leave_out(
                    f'{self.ann_file}: annotation {annotation["id"]} is of image '
                    f'{annotation["image_id"]!r}, which is not in the file'
                )
            elif not annotation.get('iscrowd'):
                of_image[annotation['image_id']].append(annotation)
        return ((image, of_image[image['id']]) for image in images)

    def _parts(self) -> tuple[list[dict], list[dict], list[dict]]:
        """Images, annotations and categories, each entry with what it needs."""
        needed = {
            'images': ('id', 'file_name'),
            'annotations': ('id', 'image_id', 'category_id', 'bbox'),
            'categories': ('id', 'name'),
        }
        try:
            with open(self.ann_file, encoding='utf-8') as file:
                content = json.load(file)
        except ValueError as error:
            raise ValueError(f'{self.ann_file} is no JSON file: {error}') from None
        for part, keys in needed.items():
            entries = content.get(part) if isinstance(content, dict) else None
            if not isinstance(entries, list):
                raise ValueError(f'{self.ann_file} is no COCO file: it has no list of {part!r}')
            for entry in entries:
                missing = [k for k in keys if not isinstance(entry, dict) or k not in entry]
                if missing:
                    raise ValueError(f'{self.ann_file}: an entry of {part!r} has no {missing[0]!r}')
        return tuple(content[part] for part in needed)

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
        shape = (image['height'], image['width']) if {'height', 'width'} <= image.keys() else None
        return Annotation(where, os.path.join(self.img_prefix, image['file_name']), shape, objects)
