"""What the tools check for MMDetection's and MMSegmentation's configs."""

import os
import os.path as osp
from collections.abc import Iterator
from copy import deepcopy

from mmengine.config import Config, ConfigDict
from mmengine.registry import DATASETS

from vgg_mm.stack import DOWNSTREAM_RANGES, import_downstream

from .downstream_annotations import check_annotations

#: Annotation files up to this size are read to check them; COCO's own is 450 MB.
SMALL_FILE = 50_000_000

#: Hooks that the tools add: name in ``default_hooks`` -> type.
CHECKS = {'annotation_check': 'vgg_mm.AnnotationCheckHook', 'class_check': 'vgg_mm.ClassCheckHook'}

#: What may differ among data sets that are joined.
IGNORED = ('classes', 'dataset_type', 'palette')

_GIVE_ROOT = 'give yours with --cfg-options DATA_ROOT=FOLDER'


def is_downstream(cfg: Config) -> bool:
    """Whether a config is MMDetection's or MMSegmentation's, by its ``default_scope``."""
    return cfg.get('default_scope') in DOWNSTREAM_RANGES


def check_package(cfg: Config, path: str) -> None:
    """Import the package that a config is for, if there is one.

    Raises:
        ImportError: in one line, if it is missing or does not work.
    """
    if is_downstream(cfg):
        import_downstream(cfg.default_scope, path)


def datasets_of(dataset: dict) -> Iterator[dict]:
    """A data set's config and those inside it (repeated, concatenated)."""
    yield dataset
    for one in filter(None, dataset.get('datasets') or [dataset.get('dataset')]):
        yield from datasets_of(one)


def steps_of(dataset: dict) -> Iterator[dict]:
    """The transforms of a data set's config and of those inside it."""
    for one in datasets_of(dataset):
        yield from one.get('pipeline') or []


def load_images_here(cfg: Config, *loaders: str) -> None:
    """Let these data loaders of a detector's or segmentor's config read images with
    ``vgg_mm.LoadImage``, whose errors name the file and the cause.

    The configs themselves say ``LoadImageFromFile``: MMDetection's and MMSegmentation's inferencers
    and analysis tools look for that name. For the same reason the test pipeline of a training's
    config, which goes into its checkpoints, stays as it is.
    """
    if not is_downstream(cfg):
        return
    for name in loaders:
        # Of its own: configs say test_dataloader = val_dataloader.
        loader = cfg[name] = deepcopy(cfg.get(name))
        for step in steps_of(loader.dataset) if loader else ():
            if str(step['type']).rpartition('.')[2] == 'LoadImageFromFile':
                step['type'] = 'vgg_mm.LoadImage'


def add_checks(cfg: Config) -> None:
    """Add the checks of annotations, masks and classes to a config that has them not."""
    if is_downstream(cfg):
        cfg.default_hooks = ConfigDict(cfg.get('default_hooks') or {})
        for name, kind in CHECKS.items():
            cfg.default_hooks.setdefault(name, dict(type=kind))


def join_datasets(cfg: Config) -> None:
    """Let data sets be joined that differ in what does not matter to a net, as VOC 2007 and 2012.

    OpenMMLab's ``ConcatDataset`` asks for ``ignore_keys`` then. That the classes are the same is
    checked by ``vgg_mm.ClassCheckHook``, which names what differs.
    """
    if not is_downstream(cfg):
        return
    for name in ('train', 'val', 'test'):
        evaluator = cfg.get(f'{name}_evaluator')
        several = isinstance(evaluator, dict) and 'dataset_prefixes' in evaluator
        loader = None if several else cfg.get(f'{name}_dataloader')
        for one in datasets_of(loader.dataset) if loader else ():
            if str(one.get('type')).rpartition('.')[2] == 'ConcatDataset':
                one.setdefault('ignore_keys', list(IGNORED))


def check_files(dataset: dict) -> None:
    """Compare a data set's config with what is on the disk.

    Raises:
        FileNotFoundError: in one line, if its annotation file or a folder of images is missing.
        ValueError: in one line, if the annotation file does not know the classes.
    """
    if dataset.get('backend_args'):
        return  # not files
    root = dataset.get('data_root') or ''
    ann_file = dataset.get('ann_file')
    if isinstance(ann_file, str) and ann_file and not osp.isfile(osp.join(root, ann_file)):
        raise FileNotFoundError(f'no annotation file {osp.join(root, ann_file)!r}: {_GIVE_ROOT}')
    prefixes = dataset.get('data_prefix') or {}
    for folder in prefixes.values() if isinstance(prefixes, dict) else ():
        if isinstance(folder, str) and not osp.isdir(osp.join(root, folder)):
            raise FileNotFoundError(f'no data folder {osp.join(root, folder)!r}: {_GIVE_ROOT}')
    if _is_coco(dataset) and ann_file:
        path = osp.join(root, ann_file)
        if os.path.getsize(path) <= SMALL_FILE:
            default = DATASETS.get('mmdet.CocoDataset').METAINFO['classes']
            classes = (dataset.get('metainfo') or {}).get('classes') or default
            filter_cfg = dataset.get('filter_cfg') or {}
            check_annotations(path, classes, filter_cfg, dataset.get('test_mode', False))


def _is_coco(dataset: dict) -> bool:
    return str(dataset.get('type')).rpartition('.')[2] == 'CocoDataset'
