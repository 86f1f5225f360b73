"""Checks that data sets, head and checkpoint have the same classes."""

import re
from collections.abc import Sequence
from typing import Any, Optional

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from vgg_mm.checkpoints import recorded_classes
from vgg_mm.datasets.class_names import (
    OWN_CLASSES,
    MapLabels,
    are_numbers,
    class_numbers,
    imagenet_names,
)
from vgg_mm.models.tta import LocalisationTTA
from vgg_mm.registry import HOOKS

from ..unwrap import wrapped_datasets

#: The modules whose ``num_classes`` is that of the data set: of MMPretrain's models, MMDetection's
#: and MMSegmentation's.
HEADS = ('head', 'classifier', 'bbox_head', 'decode_head')


@HOOKS.register_module()
class ClassCheckHook(Hook):
    """Compare class lists before training and testing.

    Class folders are numbered in sorted order, so that one folder missing from the validation set
    shifts every label after it without an error. A validation or test set may have fewer classes
    than the net, or another order: its labels are matched by the names of the classes
    (:func:`~vgg_mm.datasets.class_names.class_numbers`), which is logged; so is the order
    of folders whose names are numbers, which MMPretrain sorts as text. The other nets of
    :class:`~vgg_mm.LocalisationTTA` are matched in the same way. A net of 1,000 classes whose
    checkpoint names none is assumed to be for ImageNet's.

    Args:
        names: Whether a test set's class names have to be among those that the checkpoint was
            trained on. False if other names mean the same classes in the same order.

    Raises:
        ValueError: in one line, if a validation class is none of the training's, a test class none
            of the checkpoint's, or the head has another number of classes.
    """

    def __init__(self, names: bool = True):
        self.names = names
        self._trained_on: Optional[Sequence[str]] = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        self._trained_on = recorded_classes(checkpoint)

    def before_train(self, runner: Runner) -> None:
        train = _classes(runner.train_dataloader, 'training')
        _use_one_metainfo(runner.train_dataloader.dataset)
        _check_head(runner, train, 'training')
        _note_order(runner, train)
        if runner.val_loop is None:
            return
        val = _classes(runner.val_dataloader, 'validation')
        if train and val and tuple(train) != tuple(val):
            _match(runner, runner.val_loop, val, train, 'validation')

    def before_test(self, runner: Runner) -> None:
        classes = _classes(runner.test_dataloader, 'test')
        trained_on = self._trained_on if self.names else None
        if self.names and trained_on is None and _is_of_imagenets_size(runner):
            trained_on = imagenet_names()
        if trained_on and classes and tuple(trained_on) != tuple(classes):
            _match(runner, runner.test_loop, classes, trained_on, 'test')
        else:
            _check_head(runner, classes, 'test')
            if not trained_on:
                _note_order(runner, classes)
        labelled = trained_on or classes
        if self.names and labelled:
            for model in runner.model.modules():
                if isinstance(model, LocalisationTTA):
                    for line in model.match_classes(labelled):
                        runner.logger.warning(line)


def _match(
    runner: Runner, loop: Any, classes: Sequence[str], trained_on: Sequence[str], which: str
) -> None:
    """Map a validation or test set's labels to those of the net; refuse other classes."""
    numbers = class_numbers(classes, trained_on)
    known = [number for number in numbers if number is not None]
    if numbers == list(range(len(trained_on))):
        return  # other names for the same
    dataset = loop.dataloader.dataset
    those = f'{len(trained_on):,} that the checkpoint was trained on'
    if which == 'validation':
        those = f'{len(trained_on):,} of the training set'
    unknown = [name for name, number in zip(classes, numbers) if number is None]
    # Boxes and masks have their labels elsewhere.
    by_image = hasattr(dataset, 'pipeline') and 'gt_label' in dataset.get_data_info(0)
    if unknown or not by_image or len(set(known)) < len(known):
        what = f'{unknown[0]!r} is none of them' if unknown else _difference(trained_on, classes)
        if which == 'test':
            option = '--cfg-options default_hooks.class_check.names=False'
            what += f'; if they mean the same, in order: {option}'
        raise ValueError(
            f"the {which} set's {len(classes)} classes are not the {those} ({trained_on[0]!r}, "
            f'...): {what}'
        )
    if are_numbers(classes) and not are_numbers(trained_on):
        how = f'their numbers: {classes[0]!r} is {trained_on[known[0]]!r}, ...'
    elif which == 'validation':
        how = f'name: {_difference(trained_on, classes)}'
    else:
        how = 'name'
    runner.logger.warning(
        f"the {which} set's {len(classes)} classes are matched with the {those} by {how}"
    )
    dataset.pipeline.transforms.insert(0, MapLabels(known))
    # Its other readers are metrics and visualizers.
    dataset._metainfo.update({'classes': tuple(trained_on), OWN_CLASSES: tuple(classes)})
    loop.evaluator.dataset_meta = dataset.metainfo


def _note_order(runner: Runner, classes: Optional[Sequence[str]]) -> None:
    """Log it if folders named by numbers have other labels than these."""
    if not classes or not are_numbers(classes):
        return
    for label, name in enumerate(classes):
        if int(name) != label:
            runner.logger.warning(
                f'the class folders are named by numbers and sorted as text: {name!r} has label '
                f'{label}; predictions name the folder'
            )
            return


def _is_of_imagenets_size(runner: Runner) -> bool:
    heads = (m for name, m in runner.model.named_modules() if _is_head(name))
    return any(getattr(head, 'num_classes', None) == len(imagenet_names()) for head in heads)


def _classes(dataloader: DataLoader, which: str) -> Optional[Sequence[str]]:
    """The classes of a data set, the same in all of its parts."""
    parts = list(wrapped_datasets(dataloader.dataset))
    first, *others = [getattr(part, 'metainfo', {}).get('classes') for part in parts]
    for part, found in zip(parts[1:], others):
        if tuple(found or ()) != tuple(first or ()):
            raise ValueError(
                f'the {which} set joins data sets of different classes: in '
                f'{getattr(part, "ann_file", None) or type(part).__name__} '
                f'{_difference(first or (), found or ())}; give all of them the same '
                'metainfo=dict(classes=(...))'
            )
    return first


def _use_one_metainfo(dataset: Any) -> None:
    """Use the first's metainfo for joined data sets of the same classes.

    Where another entry differs, as VOC 2007's and 2012's ``dataset_type``, MMDetection stores a
    list of them in checkpoints, with which its inferencers fail.
    """
    while dataset is not None:
        found = vars(dataset).get('_metainfo')
        if isinstance(found, list):
            dataset._metainfo = found[0]
        dataset = vars(dataset).get('dataset')


def _check_head(runner: Runner, classes: Optional[Sequence[str]], which: str) -> None:
    if classes is None:
        return
    for name, module in runner.model.named_modules():
        if _is_head(name) and getattr(module, 'num_classes', len(classes)) != len(classes):
            # A classifier inside the backbone takes its number from the backbone.
            path = re.sub(r'(^|\b)(module|_fsdp_wrapped_module|_orig_mod)\.', '', name)
            path = path.removesuffix('.classifier')
            raise ValueError(
                f'the {which} set has {len(classes)} classes, but the head is for '
                f'{module.num_classes}: --cfg-options model.{path}.num_classes={len(classes)}'
            )


def _is_head(name: str) -> bool:
    """Whether it is the name of one of :data:`HEADS`, or of one in a list (Cascade R-CNN)."""
    return re.sub(r'(\.\d+)+$', '', name).rpartition('.')[2] in HEADS


def _difference(expected: Sequence[str], found: Sequence[str]) -> str:
    missing = [c for c in expected if c not in found]
    extra = [c for c in found if c not in expected]
    if missing:
        return f'{len(missing)} class(es) missing, e.g. {missing[0]!r}'
    if extra:
        return f'{len(extra)} unknown class(es), e.g. {extra[0]!r}'
    return 'the same classes in another order'
