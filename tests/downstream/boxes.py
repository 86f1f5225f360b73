"""A tiny data set with boxes, and detectors narrow enough for it."""

import json

import cv2
import numpy as np
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from tests.conftest import ROOT

CONFIGS = ROOT / 'configs/downstream/detection'
CLASSES = ('raccoon', 'kangaroo')

#: Options that make the configs for small data narrower still: a net of base_channels 4.
NARROW_FASTER_RCNN = {
    'model.backbone.base_channels': 4,
    'model.rpn_head.in_channels': 32,
    'model.rpn_head.feat_channels': 16,
    'model.roi_head.bbox_roi_extractor.out_channels': 32,
    'model.roi_head.bbox_head.in_channels': 32,
    'model.roi_head.bbox_head.fc_channels': 16,
}
NARROW_SSD = {
    'model.backbone.base_channels': 4,
    'model.backbone.fc_channels': 4,
    'model.neck.in_channels': (32, 4),
    'model.neck.out_channels': (32, 4, 8, 8, 8, 8),
    'model.bbox_head.in_channels': (32, 4, 8, 8, 8, 8),
}
#: The widest detectors' options, for shipped configs of full width.
NARROW_FPN = {**NARROW_FASTER_RCNN, 'model.neck.in_channels': [16, 32, 32]}
NARROW_FPN['model.neck.out_channels'] = 32


def config(name, options=()):
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    cfg.merge_from_dict(dict(options))
    return cfg


def detector(name, options=()):
    """The config's model, initialised."""
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(config(name, options).model)
    model.init_weights()
    return model


def write_boxes(folder, counts=dict(train=8, val=3), classes=CLASSES):
    """Bright squares of one class and dark ones of the other, COCO-style; one photo has none.

    Photos are upright or wide, of odd sizes.
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


def as_options(options):
    """For a command line."""
    return [f'{key}={value}'.replace(' ', '') for key, value in dict(options).items()]
