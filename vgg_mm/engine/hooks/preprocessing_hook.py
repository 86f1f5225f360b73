"""Checks that weights get images with the pre-processing of their training."""

from typing import Any, Optional

from mmengine.hooks import Hook
from mmengine.runner import Runner

from vgg_mm.checkpoints import Preprocessing, noted_preprocessing, preprocessing_of
from vgg_mm.registry import HOOKS

from ..unwrap import unwrap


@HOOKS.register_module()
class PreprocessingHook(Hook):
    """Compare a checkpoint's pre-processing with the config's.

    It is recorded in the checkpoint, or in the config of its training, or recognised. A difference
    is a warning that names both; checkpoints without it change nothing.

    Args:
        use_checkpoints: Whether the model then takes the checkpoint's (testing), or keeps
            the config's (training, or on request).
    """

    def __init__(self, use_checkpoints: bool = False):
        self.use_checkpoints = use_checkpoints

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        expected = noted_preprocessing(checkpoint)
        name = getattr(runner, '_load_from', None) or 'the checkpoint'
        used = "checkpoint's" if self.use_checkpoints else "config's"
        differs = warn_of_other_preprocessing(runner, expected, name, f'; the {used} is used')
        if self.use_checkpoints and expected is not None and differs:
            expected.put_into(unwrap(runner.model).data_preprocessor)

    def before_train(self, runner: Runner) -> None:
        for name, module in runner.model.named_modules():
            expected = getattr(module, 'pretrained_preprocessing', None)
            where = f'the weights of {name or "the model"}'
            warn_of_other_preprocessing(runner, expected, where, "; the config's is used")


def differing_preprocessing(
    runner: Runner, expected: Optional[Preprocessing]
) -> Optional[Preprocessing]:
    """The model's pre-processing if it differs from the expected one; None if equal or unknown."""
    found = preprocessing_of(getattr(unwrap(runner.model), 'data_preprocessor', None))
    if expected is None or found is None or found.same_as(expected):
        return None
    return found


def warn_of_other_preprocessing(
    runner: Runner, expected: Optional[Preprocessing], checkpoint: Any, then: str = ''
) -> bool:
    """Whether a checkpoint's weights expect other images than the run's model gets; warns of it."""
    found = differing_preprocessing(runner, expected)
    if found is not None:
        runner.logger.warning(
            f"pre-processing differs: {checkpoint}'s is {expected}; the config's is {found}{then}"
        )
    return found is not None
