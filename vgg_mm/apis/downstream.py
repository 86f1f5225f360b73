"""What the tools check for MMDetection's and MMSegmentation's configs and annotations."""

import os
import os.path as osp
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.registry import DATASETS

from vgg_mm.datasets.coco_boxes import read_coco
from vgg_mm.engine.hooks.annotation_check_hook import SMALL_FILE, check_order, class_text
from vgg_mm.installation import argument
from vgg_mm.progress import to_stderr
from vgg_mm.stack import DOWNSTREAM_RANGES, import_downstream
from vgg_mm.text import first_few

#: Hooks that the tools add: name in ``default_hooks`` -> type.
CHECKS = {'annotation_check': 'vgg_mm.AnnotationCheckHook', 'class_check': 'vgg_mm.ClassCheckHook'}

#: What may differ among data sets that are joined.
IGNORED = ('classes', 'dataset_type', 'palette')


def give_data_root() -> str:
    """The advice of a message on a missing folder."""
    return 'give yours with ' + argument('cfg_options', ['DATA_ROOT=FOLDER'])


def is_downstream(cfg: Config) -> bool:
    """Whether a config is MMDetection's or MMSegmentation's, by its ``default_scope``."""
    return cfg.get('default_scope') in DOWNSTREAM_RANGES


def check_package(cfg: Config, path: str) -> None:
    """Import the package that a config requires, if any.

    Raises:
        ImportError: in one line, if it is missing or cannot be imported.
    """
    if is_downstream(cfg):
        import_downstream(cfg.default_scope, path)


def datasets_of(dataset: dict) -> Iterator[dict]:
    """A data set's config and those inside it (repeated, concatenated)."""
    yield dataset
    for one in filter(None, dataset.get('datasets') or [dataset.get('dataset')]):
        yield from datasets_of(one)


def image_datasets(dataset: dict) -> list[dict]:
    """Of :func:`datasets_of` those that hold the images: no other is inside them."""
    return [one for one in datasets_of(dataset) if not (one.get('datasets') or one.get('dataset'))]


def _type_of(cfg: dict) -> str:
    """Without its scope."""
    return str(cfg.get('type')).rpartition('.')[2]


def steps_of(dataset: dict) -> Iterator[dict]:
    """The transforms of a data set's config and of those inside it."""
    for one in datasets_of(dataset):
        yield from one.get('pipeline') or []


def load_images_here(cfg: Config, *loaders: str) -> None:
    """Let these data loaders of a detector's or segmentor's config read images with
    ``vgg_mm.LoadImage``, whose errors name the file and the cause.

    The configs themselves name ``LoadImageFromFile``: MMDetection's and MMSegmentation's
    inferencers and analysis tools look for that name. For the same reason the test pipeline of a
    training's config, which goes into its checkpoints, stays as it is.
    """
    if not is_downstream(cfg):
        return
    for name in loaders:
        # A copy: configs have test_dataloader = val_dataloader.
        loader = cfg[name] = deepcopy(cfg.get(name))
        for step in steps_of(loader.dataset) if loader else ():
            if _type_of(step) == 'LoadImageFromFile':
                step['type'] = 'vgg_mm.LoadImage'


def add_checks(cfg: Config) -> None:
    """Add the checks of annotations, masks and classes to a config without them."""
    if is_downstream(cfg):
        cfg.default_hooks = ConfigDict(cfg.get('default_hooks') or {})
        for name, kind in CHECKS.items():
            cfg.default_hooks.setdefault(name, dict(type=kind))


def join_datasets(cfg: Config) -> None:
    """Let data sets be joined that differ in what does not matter to a net, as VOC 2007 and 2012.

    OpenMMLab's ``ConcatDataset`` requires ``ignore_keys`` then. That the classes are the same is
    checked by ``vgg_mm.ClassCheckHook``, which names what differs.
    """
    if not is_downstream(cfg):
        return
    for name in ('train', 'val', 'test'):
        evaluator = cfg.get(f'{name}_evaluator')
        several = isinstance(evaluator, dict) and 'dataset_prefixes' in evaluator
        loader = None if several else cfg.get(f'{name}_dataloader')
        for one in datasets_of(loader.dataset) if loader else ():
            if _type_of(one) == 'ConcatDataset':
                one.setdefault('ignore_keys', list(IGNORED))


def check_files(dataset: dict) -> None:
    """Compare a data set's config with what is on the disk.

    Raises:
        FileNotFoundError: in one line, if its annotation file or a folder of images is missing.
        ValueError: if the annotation file lacks a class.
    """
    if dataset.get('backend_args'):
        return  # not files
    root = dataset.get('data_root') or ''
    ann_file = dataset.get('ann_file')
    if isinstance(ann_file, str) and ann_file and not osp.isfile(osp.join(root, ann_file)):
        raise FileNotFoundError(
            f'no annotation file {osp.join(root, ann_file)!r}: {give_data_root()}'
        )
    prefixes = dataset.get('data_prefix') or {}
    for folder in prefixes.values() if isinstance(prefixes, dict) else ():
        if isinstance(folder, str) and not osp.isdir(osp.join(root, folder) or '.'):
            raise FileNotFoundError(
                f'no data folder {osp.join(root, folder)!r}: {give_data_root()}'
            )
    if _type_of(dataset) == 'CocoDataset' and ann_file:
        path = osp.join(root, ann_file)
        if os.path.getsize(path) <= SMALL_FILE:
            default = DATASETS.get('mmdet.CocoDataset').METAINFO['classes']
            classes = (dataset.get('metainfo') or {}).get('classes') or default
            filter_cfg = dataset.get('filter_cfg') or {}
            check_annotations(path, classes, filter_cfg, dataset.get('test_mode', False))


def check_annotations(path: str, classes: Any, filter_cfg: dict, test_mode: bool) -> None:
    """Read an annotation file and compare it with the classes of the config.

    Args:
        path: The file.
        classes: The names that the data set is to have.
        filter_cfg: The data set's; which images it leaves out.
        test_mode: Whether the data set keeps all images.

    Raises:
        ValueError: in one line, if a part is missing, a class is unknown or occurs twice, or if no
            image is left.
    """
    content = read_coco(path, optional=('annotations',) if test_mode else ())
    if isinstance(classes, str):
        raise ValueError(class_text(classes, path))
    _check_names(path, content, classes)
    wanted = {c['id'] for c in content['categories'] if c['name'] in classes}
    known = {category['id'] for category in content['categories']}
    others = sum(one['category_id'] not in known for one in content['annotations'])
    if others:
        text = f'{others} annotations of {path} have a category_id that no category has'
        to_stderr(f'warning: {text}')
    left = list(_usable(content, wanted))
    if content['annotations'] and not left:
        raise ValueError(_nothing_usable(path, content, wanted))
    if not test_mode:
        _check_filtered(path, content, {one['image_id'] for one in left}, filter_cfg)


def _check_names(path: str, content: dict, classes: Any) -> None:
    found = [category['name'] for category in content['categories']]
    missing = [name for name in classes if name not in found]
    if missing:
        names = first_few([*map(repr, found)], 5)
        raise ValueError(
            f'{path} has the classes {names}, and not {missing[0]!r}: name them in the '
            "config's data sets, metainfo=dict(classes=(...)), and give the head their number"
        )
    check_order(path, found, classes)
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
