"""Boxes in ILSVRC's layout for classification with localisation (CLS-LOC)."""

import os
from collections.abc import Iterator
from glob import escape, glob
from typing import Any
from xml.etree import ElementTree

from mmengine.logging import print_log

from vgg_mm.registry import DATASETS

from .box_dataset import Annotation, BoxDataset

#: Next to ILSVRC/ in Kaggle's copy: a line ``n01440764 tench, Tinca tinca`` for each class.
SYNSETS = 'LOC_synset_mapping.txt'

IMAGE_ENDING = '.JPEG'


@DATASETS.register_module()
class ImageNetBoxes(BoxDataset):
    """ImageNet's images with a class and boxes, as ILSVRC's archives unpack::

        DATA_ROOT/ILSVRC/Data/CLS-LOC/train/n01440764/n01440764_10026.JPEG
        DATA_ROOT/ILSVRC/Annotations/CLS-LOC/train/n01440764/n01440764_10026.xml
        DATA_ROOT/ILSVRC/Data/CLS-LOC/val/ILSVRC2012_val_00000001.JPEG
        DATA_ROOT/ILSVRC/Annotations/CLS-LOC/val/ILSVRC2012_val_00000001.xml

    Images without an XML file are not used (of the 1,281,167 training images 544,546 have one);
    in test mode they are bad annotations. Classes are WordNet ids in sorted order, as a
    classification net trained on class folders numbers them: from ``LOC_synset_mapping.txt`` in
    ``data_root``, else the folders of ``train``.

    The XML files give the first and the last pixel of a box, so that its right and lower edges are
    one more; the challenge's own program measures boxes so.

    Args:
        split: 'train' or 'val', or another folder of that layout.
        data_root: The folder that contains ILSVRC.
        image_folder, annotation_folder: Below it.
        on_error, several_classes, kwargs: As in :class:`BoxDataset`.
    """

    def __init__(
        self,
        split: str,
        data_root: str = '',
        image_folder: str = 'ILSVRC/Data/CLS-LOC',
        annotation_folder: str = 'ILSVRC/Annotations/CLS-LOC',
        **kwargs: Any,
    ):
        if not isinstance(split, str) or not split:
            raise ValueError(f"ImageNetBoxes: split must be 'train' or 'val', got {split!r}")
        for key, own in dict(ann_file='annotation_folder', data_prefix='image_folder').items():
            if kwargs.get(key):
                raise ValueError(f'ImageNetBoxes: {key} is not used; split and {own} say where')
        root = os.path.expanduser(data_root)
        self.synsets = os.path.join(root, SYNSETS)
        self.train_folder = os.path.join(root, image_folder, 'train')
        self.images = os.path.join(root, image_folder, split)
        self.annotations = os.path.join(root, annotation_folder, split)
        super().__init__(data_root=data_root, **kwargs)

    @property
    def place(self) -> str:
        return self.annotations

    def sources(self) -> Iterator[str]:
        """Names without ending, below the folders of images and annotations, in sorted order."""
        for folder in (self.images, self.annotations):
            if not os.path.isdir(folder):
                raise FileNotFoundError(
                    f'no folder {folder!r}: give the one that contains ILSVRC with --cfg-options '
                    'DATA_ROOT=FOLDER'
                )
        if self.CLASSES is None:
            self._metainfo['classes'] = self._wordnet_ids()
        names = _names_below(self.annotations, '.xml')
        without = _names_below(self.images, IMAGE_ENDING) - names
        if without and self.test_mode:
            names |= without
        elif without:
            print_log(f'{self.images}: {len(without)} images have no boxes and are not used')
        return iter(sorted(names))

    def _wordnet_ids(self) -> tuple[str, ...]:
        if os.path.isfile(self.synsets):
            with open(self.synsets, encoding='utf-8') as file:
                ids = [line.split()[0] for line in file if line.strip()]
        elif os.path.isdir(self.train_folder):
            ids = [entry.name for entry in os.scandir(self.train_folder) if entry.is_dir()]
        else:
            ids = []
        if not ids:
            raise FileNotFoundError(
                f'no classes: there is neither {self.synsets} nor a folder of a class in '
                f'{self.train_folder}; give classes=FILE with a WordNet id a line'
            )
        return tuple(sorted(ids))

    def read(self, source: str) -> Annotation:
        where = os.path.join(self.annotations, f'{source}.xml')
        image = os.path.join(self.images, f'{source}{IMAGE_ENDING}')
        if not self._is_there(where):
            raise ValueError(f'{image} has no annotation: {where} is missing')
        try:
            tree = ElementTree.parse(where)
            shape = (
                int(tree.findtext('size/height', '')),
                int(tree.findtext('size/width', '')),
            )
            objects = [(_text(o, 'name'), _box(o)) for o in tree.iterfind('object')]
        except ElementTree.ParseError as error:
            raise ValueError(f'{where} is no XML file: {error}') from None
        except (AttributeError, TypeError, ValueError) as error:
            raise ValueError(f'{where} is no annotation of an image: {error}') from None
        return Annotation(where, image, shape, objects)


def _names_below(folder: str, ending: str) -> set[str]:
    """Files in the folder and in its folders, relative to it, without their ending."""
    start = escape(folder)
    found = glob(os.path.join(start, f'*{ending}')) + glob(os.path.join(start, '*', f'*{ending}'))
    return {os.path.relpath(path, folder).removesuffix(ending) for path in found}


def _box(node: ElementTree.Element) -> tuple[float, float, float, float]:
    """From the first and last pixels to edges; reversed boxes stay reversed."""
    x1, y1, x2, y2 = (
        float(_text(node, f'bndbox/{name}')) for name in ('xmin', 'ymin', 'xmax', 'ymax')
    )
    return (x1, y1, x2 + 1 if x2 > x1 else x2, y2 + 1 if y2 > y1 else y2)


def _text(node: ElementTree.Element, path: str) -> str:
    text = node.findtext(path)
    if text is None:
        raise ValueError(f'an object has no {path}')
    return text.strip()
