"""Checks that data sets, head and checkpoint mean the same classes."""

from collections.abc import Sequence
from typing import Optional

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from vgg_mm.registry import HOOKS

#: The modules whose ``num_classes`` is that of the data set: of MMPretrain's models, MMDetection's
#: and MMSegmentation's.
HEADS = ('head', 'classifier', 'bbox_head', 'decode_head')


@HOOKS.register_module()
class ClassCheckHook(Hook):
    """Compare class lists before training and testing.

    Class folders are numbered in sorted order, so that one folder missing from the validation set
    shifts every label after it without a word.

    Args:
        names: Whether a test set's class names have to be those that the checkpoint was trained on.
            False if other names mean the same classes in the same order.

    Raises:
        ValueError: in one line, if validation and training classes differ, the test classes are not
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
        _check_head(runner, classes, 'test')
        trained_on = self._trained_on if self.names else None
        if trained_on and classes and tuple(trained_on) != tuple(classes):
            raise ValueError(
                "the test set's classes are not those the checkpoint was trained on: "
                f'{_difference(trained_on, classes)}; if they mean the same: '
                '--cfg-options default_hooks.class_check.names=False'
            )


def _classes(dataloader: DataLoader) -> Optional[Sequence[str]]:
    return getattr(dataloader.dataset, 'metainfo', {}).get('classes')


def _check_head(runner: Runner, classes: Optional[Sequence[str]], which: str) -> None:
    if classes is None:
        return
    for name, module in runner.model.named_modules():
        is_head = name.split('.')[-1] in HEADS
        if is_head and getattr(module, 'num_classes', len(classes)) != len(classes):
            # A classifier inside the backbone takes its number from the backbone.
            path = name.removeprefix('module.').removesuffix('.classifier')
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
