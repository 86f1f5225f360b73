"""A tiny data set with boxes, and narrow detectors."""

import json

import cv2
import numpy as np
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from tests.conftest import ROOT

CONFIGS = ROOT / 'configs/downstream/detection'
CLASSES = ('raccoon', 'kangaroo')

#: Options for narrow nets (base_channels=4), without a classifier, whose weights have full width.
NARROW_FASTER_RCNN = {
    'model.backbone.base_channels': 4,
    'model.rpn_head.in_channels': 32,
    'model.rpn_head.feat_channels': 16,
    'model.roi_head.bbox_roi_extractor.out_channels': 32,
    'model.roi_head.bbox_head.in_channels': 32,
    'model.roi_head.bbox_head.fc_channels': 16,
    'default_hooks.classifier_init.checkpoint': None,
}
NARROW_SSD = {
    'model.backbone.base_channels': 4,
    'model.backbone.fc_channels': 4,
    'model.neck.in_channels': (32, 4),
    'model.neck.out_channels': (32, 4, 8, 8, 8, 8),
    'model.bbox_head.in_channels': (32, 4, 8, 8, 8, 8),
    'default_hooks.classifier_init.checkpoint': None,
}
#: Options for the detectors with a feature pyramid.
NARROW_FPN = {**NARROW_FASTER_RCNN, 'model.neck.in_channels': [16, 32, 32]}
NARROW_FPN['model.neck.out_channels'] = 32


#: The years of Pascal VOC.
YEARS = ('2007', '2012')

XML = """<annotation><size><width>{width}</width><height>{height}</height><depth>3</depth></size>
<object><name>{name}</name><difficult>0</difficult><bndbox><xmin>{x}</xmin><ymin>{y}</ymin>
<xmax>{right}</xmax><ymax>{below}</ymax></bndbox></object></annotation>
"""


def config(name, options=()):
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    cfg.merge_from_dict(dict(options))
    return cfg


def detector(name, options=()):
    """The initialised model of a config."""
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(config(name, options).model)
    model.init_weights()
    return model


def write_boxes(folder, counts=dict(train=8, val=3), classes=CLASSES):
    """Write photos with bright squares of one class and dark squares of the other, in COCO format.

    Photos are in portrait and landscape format and have odd sizes. One of them has no squares.
    """
    rng = np.random.default_rng(0)
    for split, count in counts.items():
        (folder / split).mkdir(parents=True)
        images, annotations = [], []
        for i in range(count):
            height, width = ((75, 111), (93, 67))[i % 2]
            photo = rng.integers(90, 150, (height, width, 3), dtype=np.uint8)
            for _ in range(0 if i == 1 else 1 + i % 2):
                label, side = int(rng.integers(2)), int(rng.integers(20, 50))
                x, y = int(rng.integers(width - side)), int(rng.integers(height - side))
                photo[y : y + side, x : x + side] = (255, 20)[label]
                annotations.append(
                    dict(
                        id=len(annotations) + 1, image_id=i, category_id=label + 1,
                        bbox=[x, y, side, side], area=side**2, iscrowd=0,
                    )
                )  # fmt: skip
            images.append(dict(id=i, file_name=f'{i}.png', height=height, width=width))
            cv2.imwrite(str(folder / split / f'{i}.png'), photo)
        categories = [dict(id=i + 1, name=name) for i, name in enumerate(classes)]
        content = dict(images=images, annotations=annotations, categories=categories)
        (folder / f'{split}.json').write_text(json.dumps(content))
    return folder


def write_voc(folder, classes=CLASSES):
    """Write photos with one square each in VOC's folders: trainval and test of both years."""
    rng = np.random.default_rng(0)
    for year in YEARS:
        root = folder / f'VOC{year}'
        for part in ('JPEGImages', 'Annotations', 'ImageSets/Main'):
            (root / part).mkdir(parents=True)
        for split in ('trainval', 'test'):
            names = [f'{year}_{split}_{number}' for number in range(2)]
            (root / f'ImageSets/Main/{split}.txt').write_text('\n'.join(names) + '\n')
            for label, name in enumerate(names):
                photo = rng.integers(90, 150, (75, 111, 3), dtype=np.uint8)
                x, y = rng.integers(0, (60, 30)).tolist()
                photo[y : y + 40, x : x + 40] = (255, 20)[label]
                cv2.imwrite(str(root / f'JPEGImages/{name}.jpg'), photo)
                text = XML.format(
                    name=classes[label], width=111, height=75, x=x + 1, y=y + 1, right=x + 40,
                    below=y + 40,
                )  # fmt: skip
                (root / f'Annotations/{name}.xml').write_text(text)
    return folder


def as_options(options):
    """Options as words of a command line."""
    return [f'{key}={value}'.replace(' ', '') for key, value in dict(options).items()]
