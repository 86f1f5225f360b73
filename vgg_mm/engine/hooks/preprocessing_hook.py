"""Sees to it that weights get the images they were trained on."""

from typing import Optional

from mmengine.hooks import Hook
from mmengine.runner import Runner

from vgg_mm.checkpoints import noted_preprocessing
from vgg_mm.registry import HOOKS

from ..preprocessing import differing_preprocessing, warn_of_other_preprocessing
from ..unwrap import unwrap


@HOOKS.register_module()
class PreprocessingHook(Hook):
    """Compare what a checkpoint says of pre-processing with the config's.

    It is recorded in the checkpoint, or in the config of its training, or recognised. A difference
    is a warning that names both; checkpoints that say nothing change nothing.

    Args:
        use_checkpoints: Whether the model then takes the checkpoint's (testing), or goes on with
            the config's (training, and where the user asked for it).
    """

    def __init__(self, use_checkpoints: bool = False):
        self.use_checkpoints = use_checkpoints

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        expected = noted_preprocessing(checkpoint)
        used = "checkpoint's" if self.use_checkpoints else "config's"
        warn_of_other_preprocessing(runner, expected, _name(runner), f'; the {used} is used')
        if not self.use_checkpoints or expected is None:
            return
        if differing_preprocessing(runner, expected) is not None:
            expected.put_into(unwrap(runner.model).data_preprocessor)

    def before_train(self, runner: Runner) -> None:
        for name, module in runner.model.named_modules():
            expected = getattr(module, 'pretrained_preprocessing', None)
            where = f'the weights of {name or "the model"}'
            warn_of_other_preprocessing(runner, expected, where, "; the config's is used")


def _name(runner: Runner) -> Optional[str]:
    return getattr(runner, '_load_from', None) or 'the checkpoint'
