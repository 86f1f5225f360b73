"""Checks annotation files and masks before training, and reports the wrong file."""

import os.path as osp
from collections.abc import Iterator, Sequence
from typing import Any, Optional

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.hooks import Hook
from mmengine.runner import Runner

from vgg_mm.datasets.coco_boxes import read_coco
from vgg_mm.datasets.transforms.loading import LoadImage, check_shape
from vgg_mm.registry import HOOKS
from vgg_mm.text import first_few

from ..unwrap import unwrap, wrapped_datasets

#: Number of masks, or photos with boxes, of a data set that are checked before the first iteration.
SAMPLED = 16

#: Maximum number of values of a mask in a message.
MAX_NAMED = 8

#: Annotation files of at most this size in bytes are read to check them; COCO's own has 450 MB.
SMALL_FILE = 50_000_000

ONE_LABEL = ('stop', 'warn')


@HOOKS.register_module()
class AnnotationCheckHook(Hook):
    """Check the annotations for a detector or segmentor, in any program with mmengine's runner.

    Before training: that classes are a list of names, that no two categories of a COCO file share
    one or come in another order than the classes, that images are left after filtering; of some
    photos with boxes that they are as large as their annotation says (all of them where
    ``vgg_mm.LoadImage`` reads them); of some masks of each data set that they have one channel, the
    image's size and the head's labels, and more than one of these. In training, validation and
    testing the masks of each batch are checked in the same way.

    Args:
        one_label: 'stop' or 'warn': the action if all checked masks contain one label and the
            ignored one, as masks of 0 and 255 for background and object do. The soft-max then
            learns to predict only that label, and is always right.

    Raises:
        ValueError: in one line that names the file, its values, and the correct ones.
    """

    def __init__(self, one_label: str = 'stop'):
        if one_label not in ONE_LABEL:
            raise ValueError(
                f'AnnotationCheckHook: one_label must be one of {", ".join(ONE_LABEL)}, got '
                f'{one_label!r}'
            )
        self.one_label = one_label

    def before_train(self, runner: Runner) -> None:
        loaders = [('training', runner.train_dataloader)]
        if runner.val_loop is not None:
            loaders.append(('validation', runner.val_dataloader))
        for which, loader in loaders:
            for dataset in _parts(loader.dataset):
                self._check(runner, dataset, which)

    def before_test(self, runner: Runner) -> None:
        for dataset in _parts(runner.test_dataloader.dataset):
            check_classes(dataset, 'test')

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        samples = data_batch.get('data_samples') if isinstance(data_batch, dict) else None
        labels = _labels(runner)
        if labels is None or not samples or not isinstance(samples, (list, tuple)):
            return
        for image, sample in zip(data_batch['inputs'], samples):
            if 'gt_sem_seg' in sample:
                # When testing, masks have the size of the photo as it was before it was rescaled.
                size = image.shape[-2:] if runner.model.training else None
                path = sample.metainfo.get('seg_map_path')
                check_mask(sample.gt_sem_seg.data, size, *labels, path)

    before_val_iter = before_test_iter = before_train_iter

    def _check(self, runner: Runner, dataset: BaseDataset, which: str) -> None:
        check_classes(dataset, which)
        if len(dataset) == 0:
            filters = f' (filter_cfg={dict(dataset.filter_cfg)})' if dataset.filter_cfg else ''
            where = dataset.ann_file or dict(dataset.data_prefix)
            raise ValueError(f'the {which} set is empty: no image in {where} is left{filters}')
        labels = _labels(runner)
        if labels is not None and hasattr(dataset, 'seg_map_suffix'):
            self._check_masks(runner, dataset, which, *labels)
        elif labels is None and {'height', 'width'} <= dataset.get_data_info(0).keys():
            _check_photos(dataset)

    def _check_masks(
        self, runner: Runner, dataset: BaseDataset, which: str, num_classes: int, ignored: int
    ) -> None:
        found: set[int] = set()
        places = _places(dataset)
        for place in places:
            results = _loaded(dataset, place, 'gt_seg_map')
            if results is None or 'img' not in results:
                return
            mask = torch.from_numpy(np.ascontiguousarray(results['gt_seg_map']))
            path = results['seg_map_path']
            # A mask that is loaded after the photo was rescaled has the size from before.
            size = results.get('ori_shape', results['img'].shape)[:2]
            check_mask(mask, size, num_classes, ignored, path)
            found |= set(mask.unique().tolist())
        counted = found - {ignored}
        if len(counted) > 1 or num_classes == 1:
            return
        message = (
            f'the masks of the {which} set contain only the label {_list(counted) or "none"}'
            f'{f" and the ignored {ignored}" if ignored in found else ""} ({len(places)} in '
            f'{osp.dirname(path)} checked)'
        )
        if ignored in found and self.one_label == 'stop':
            raise ValueError(
                f'{message}: the {num_classes} classes are numbered from 0 to {num_classes - 1}; '
                f'masks of 0 and {ignored} for background and object have to be written with 0 '
                'and 1; to continue anyway: '
                '--cfg-options default_hooks.annotation_check.one_label=warn'
            )
        runner.logger.warning(message)


def check_classes(dataset: BaseDataset, which: str) -> None:
    """Refuse class names that are no list, or that the file has twice or in another order."""
    classes = dataset.metainfo.get('classes')
    if isinstance(classes, str):
        raise ValueError(class_text(classes, which))
    ids = getattr(dataset, 'cat_ids', None)  # of COCO's form
    if ids is not None and classes is not None and len(ids) != len(classes):
        raise ValueError(
            f'{dataset.ann_file} has {len(ids)} categories (ids {_list(ids)}) for the '
            f'{len(classes)} classes of the {which} set, {_list(classes)}: '
            + ('a name occurs twice' if len(ids) > len(classes) else 'a name is missing')
        )
    path = dataset.ann_file
    if ids and classes and osp.isfile(path) and osp.getsize(path) <= SMALL_FILE:
        categories = read_coco(path, {'categories': ('id', 'name')})['categories']
        names = {one['id']: one['name'] for one in categories}
        check_order(path, [names[one] for one in ids], classes)


def check_order(path: str, found: Sequence[str], classes: Sequence[str]) -> None:
    """Refuse classes in another order than the categories ``found`` in an annotation file."""
    in_file = list(dict.fromkeys(name for name in found if name in classes))
    if in_file != list(classes):
        names, wanted = (first_few([*map(repr, given)], 5) for given in (in_file, classes))
        raise ValueError(
            f'{path} lists the categories {names}, and MMDetection numbers them in that order; '
            f"the config's classes are {wanted}: give the data sets "
            'metainfo=dict(classes=(...)) in the order of the file, the same in all files'
        )


def class_text(classes: str, which: str) -> str:
    return (
        f"the {which} set's classes are the text {classes!r}, not a list of names: for one class "
        f'write classes=({classes!r},), with the comma'
    )


def check_mask(
    mask: torch.Tensor,
    size: Optional[Sequence[int]],
    num_classes: int,
    ignored: int,
    path: Optional[str],
) -> None:
    """Compare a mask, (H, W) or (1, H, W) of integers, with its image's size and the labels.

    ``size`` is the image's (H, W), None if the mask need not have it; ``path`` is the mask's file.
    """
    path = path or 'a mask'
    if mask.ndim == 3 and len(mask) == 1:
        mask = mask[0]
    shape = 'x'.join(map(str, mask.shape))
    if mask.ndim != 2:
        raise ValueError(
            f'{path} is a picture in colours, {shape}: a mask has one channel, whose values are '
            f'the numbers of classes, 0 to {num_classes - 1}, and {ignored} for what is ignored'
        )
    if size is not None and tuple(mask.shape) != tuple(size):
        raise ValueError(
            f'{path} is {shape} (height x width), its image {"x".join(map(str, size))}: a mask has '
            'the size of its image (or the file is the mask of another one)'
        )
    wrong = (mask >= num_classes) & (mask != ignored)
    if wrong.any():
        y, x = (int(i) for i in wrong.nonzero()[0])
        labels = _list(set(mask.unique().tolist()))
        raise ValueError(
            f'{path} holds the labels {labels}: {int(mask[y, x])}, e.g. at '
            f'row {y}, column {x}, is none of the {num_classes} classes, 0 to {num_classes - 1}, '
            f'nor the ignored {ignored} (ignore_index of head and evaluator, seg_pad_val)'
        )


def _labels(runner: Runner) -> Optional[tuple[int, int]]:
    """(number of classes, the ignored label) of a segmentor; None of other models."""
    head: Any = getattr(unwrap(runner.model), 'decode_head', None)
    if isinstance(head, torch.nn.ModuleList):  # of a cascade
        head = head[-1]
    if not hasattr(head, 'ignore_index'):
        return None
    return int(head.num_classes), int(head.ignore_index)


def _check_photos(dataset: BaseDataset) -> None:
    """Check that photos, rotated by their EXIF data, have the size in their annotation."""
    if any(isinstance(step, LoadImage) for step in dataset.pipeline.transforms):
        return  # which checks each one
    for place in _places(dataset):
        results = _loaded(dataset, place, 'img')
        if results is None:
            return
        check_shape(results['img'], {**results, **dataset.get_data_info(place)})


def _places(dataset: BaseDataset) -> list[int]:
    count = len(dataset)
    return np.linspace(0, count - 1, min(SAMPLED, count), dtype=int).tolist()


def _loaded(dataset: BaseDataset, place: int, key: str) -> Optional[dict]:
    """The result of the first transforms, up to the one that adds ``key``; else None."""
    results = dataset.get_data_info(place)
    for transform in dataset.pipeline.transforms:
        results = transform(results)
        if results is None or key in results:
            return results
    return None


def _parts(dataset: Any) -> Iterator[BaseDataset]:
    return (one for one in wrapped_datasets(dataset) if isinstance(one, BaseDataset))


def _list(values: Any) -> str:
    texts = [str(value) for value in (sorted(values) if isinstance(values, set) else values)]
    return ', '.join(texts[:MAX_NAMED]) + (', ...' if len(texts) > MAX_NAMED else '')
