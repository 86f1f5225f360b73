"""Boxes in a COCO file."""

import os
from collections.abc import Iterator
from typing import Any

from vgg_mm.registry import DATASETS

from .box_dataset import Annotation, BoxDataset
from .coco_file import read_coco

#: Required keys of a COCO file.
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
        self._names = {c['id']: c['name'] for c in sorted(categories, key=lambda c: c['id'])}
        if self.CLASSES is None:
            self._metainfo['classes'] = tuple(self._names.values())
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
        shape = (image['height'], image['width']) if {'height', 'width'} <= image.keys() else None
        return Annotation(where, os.path.join(self.img_prefix, image['file_name']), shape, objects)
