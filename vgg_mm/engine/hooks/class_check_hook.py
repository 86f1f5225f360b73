"""Checks that data sets, head and checkpoint mean the same classes."""

import re
from collections.abc import Sequence
from typing import Optional

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from vgg_mm.datasets.class_names import class_numbers, imagenet_names
from vgg_mm.datasets.transforms import MapLabels
from vgg_mm.registry import HOOKS

#: The modules whose ``num_classes`` is that of the data set: of MMPretrain's models, MMDetection's
#: and MMSegmentation's.
HEADS = ('head', 'classifier', 'bbox_head', 'decode_head')


@HOOKS.register_module()
class ClassCheckHook(Hook):
    """Compare class lists before training and testing.

    Class folders are numbered in sorted order, so that one folder missing from the validation set
    shifts every label after it without a word. A test set may have fewer classes than the net, or
    others' order: its labels are matched by the names of the classes
    (:func:`~vgg_mm.datasets.class_names.class_numbers`), which is said in the log. A net of 1,000
    classes whose checkpoint names none is taken to be for ImageNet's.

    Args:
        names: Whether a test set's class names have to be among those that the checkpoint was
            trained on. False if other names mean the same classes in the same order.

    Raises:
        ValueError: in one line, if validation and training classes differ, a test class is none of
            the checkpoint's, or the head has another number of classes.
    """

    def __init__(self, names: bool = True):
        self.names = names
        self._trained_on: Optional[Sequence[str]] = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        meta = checkpoint.get('meta') or {}
        self._trained_on = (meta.get('dataset_meta') or {}).get('classes')

    def before_train(self, runner: Runner) -> None:
        train = _classes(runner.train_dataloader)
        _check_head(runner, train, 'training')
        if runner.val_loop is None:
            return
        val = _classes(runner.val_dataloader)
        if train and val and tuple(train) != tuple(val):
            raise ValueError(f'validation and training set differ: {_difference(train, val)}')

    def before_test(self, runner: Runner) -> None:
        classes = _classes(runner.test_dataloader)
        trained_on = self._trained_on if self.names else None
        if self.names and trained_on is None and _is_of_imagenets_size(runner):
            trained_on = imagenet_names()
        if trained_on and classes and tuple(trained_on) != tuple(classes):
            _match(runner, classes, trained_on)
        else:
            _check_head(runner, classes, 'test')


def _match(runner: Runner, classes: Sequence[str], trained_on: Sequence[str]) -> None:
    """Let a test set's labels be those of the net.

    Raises:
        ValueError: in one line, if one of its classes is none of the net's.
    """
    numbers = class_numbers(classes, trained_on)
    known = [number for number in numbers if number is not None]
    if numbers == list(range(len(trained_on))):
        return  # other names for the same
    dataset = runner.test_dataloader.dataset
    unknown = [name for name, number in zip(classes, numbers) if number is None]
    # Boxes and masks have their labels elsewhere.
    by_image = hasattr(dataset, 'pipeline') and 'gt_label' in dataset.get_data_info(0)
    if unknown or not by_image or len(set(known)) < len(known):
        what = f'{unknown[0]!r} is none of them' if unknown else _difference(trained_on, classes)
        raise ValueError(
            f"the test set's {len(classes)} classes are not the {len(trained_on):,} that the "
            f'checkpoint was trained on ({trained_on[0]!r}, ...): {what}; if they mean the same, '
            'in order: --cfg-options default_hooks.class_check.names=False'
        )
    runner.logger.warning(
        f"the test set's {len(classes)} classes are matched by name with the {len(trained_on):,} "
        'that the checkpoint was trained on'
    )
    dataset.pipeline.transforms.insert(0, MapLabels(known))
    # Its other readers are metrics and visualizers.
    dataset._metainfo['classes'] = tuple(trained_on)
    runner.test_evaluator.dataset_meta = dataset.metainfo


def _is_of_imagenets_size(runner: Runner) -> bool:
    heads = (m for name, m in runner.model.named_modules() if name.split('.')[-1] in HEADS)
    return any(getattr(head, 'num_classes', None) == len(imagenet_names()) for head in heads)


def _classes(dataloader: DataLoader) -> Optional[Sequence[str]]:
    return getattr(dataloader.dataset, 'metainfo', {}).get('classes')


def _check_head(runner: Runner, classes: Optional[Sequence[str]], which: str) -> None:
    if classes is None:
        return
    for name, module in runner.model.named_modules():
        is_head = name.split('.')[-1] in HEADS
        if is_head and getattr(module, 'num_classes', len(classes)) != len(classes):
            # A classifier inside the backbone takes its number from the backbone.
            path = re.sub(r'(^|\b)(module|_fsdp_wrapped_module|_orig_mod)\.', '', name)
            path = path.removesuffix('.classifier')
            raise ValueError(
                f'the {which} set has {len(classes)} classes, but the head is for '
                f'{module.num_classes}: --cfg-options model.{path}.num_classes={len(classes)}'
            )


def _difference(expected: Sequence[str], found: Sequence[str]) -> str:
    missing = [c for c in expected if c not in found]
    extra = [c for c in found if c not in expected]
    if missing:
        return f'{len(missing)} class(es) missing, e.g. {missing[0]!r}'
    if extra:
        return f'{len(extra)} unknown class(es), e.g. {extra[0]!r}'
    return 'the same classes in another order'
