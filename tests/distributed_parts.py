"""Classes for the configs of tests/test_distributed.py."""

import os

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmpretrain.models import ImageClassifier
from mmpretrain.registry import MODELS


@MODELS.register_module()
class DoubleClassifier(ImageClassifier):
    """A classifier in float64: float32 rounding can change the decisions of ReLUs and maxima."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.double()


@HOOKS.register_module()
class LossOfEachProcess(Hook):
    """Writes the loss of each iteration as a line of ``losses_RANK.txt``.

    mmengine logs only the loss of process 0, averaged over ten iterations.
    """

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        path = os.path.join(runner.work_dir, f'losses_{runner.rank}.txt')
        with open(path, 'a', encoding='utf-8') as file:
            file.write(f'{outputs["loss"].item()}\n')


@HOOKS.register_module()
class GiveStateDict(Hook):
    """Loads weights from a file with ``load_state_dict``, as a user's own program would."""

    def __init__(self, path=None):
        self.path = path

    def before_train(self, runner):
        if self.path is not None:
            runner.model.load_state_dict(torch.load(self.path, weights_only=True))
