"""What the configs of tests/test_distributed.py use."""

import os

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmpretrain.models import ImageClassifier
from mmpretrain.registry import MODELS


@MODELS.register_module()
class DoubleClassifier(ImageClassifier):
    """In float64: a few float32 roundings, and a ReLU or a maximum falls the other way."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.double()


@HOOKS.register_module()
class LossOfEachProcess(Hook):
    """Writes the loss of every iteration, a line each, to ``losses_RANK.txt``.

    mmengine logs the loss of process 0 alone, averaged over ten iterations.
    """

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        path = os.path.join(runner.work_dir, f'losses_{runner.rank}.txt')
        with open(path, 'a', encoding='utf-8') as file:
            file.write(f'{outputs["loss"].item()}\n')


@HOOKS.register_module()
class GiveStateDict(Hook):
    """Weights from a file by nothing but ``load_state_dict``, as in a program of one's own."""

    def __init__(self, path=None):
        self.path = path

    def before_train(self, runner):
        if self.path is not None:
            runner.model.load_state_dict(torch.load(self.path, weights_only=True))
