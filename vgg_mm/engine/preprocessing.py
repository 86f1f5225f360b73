"""Comparison of what weights expect with what a model's data preprocessor does."""

from typing import Any, Optional

from mmengine.runner import Runner

from vgg_mm.checkpoints import Preprocessing, preprocessing_of

from .unwrap import unwrap


def differing_preprocessing(
    runner: Runner, expected: Optional[Preprocessing]
) -> Optional[Preprocessing]:
    """What the model does to images, if that is not what is expected; None if it is, or unknown."""
    found = preprocessing_of(getattr(unwrap(runner.model), 'data_preprocessor', None))
    if expected is None or found is None:
        return None
    return None if found.same_as(expected) else found


def warn_of_other_preprocessing(
    runner: Runner, expected: Optional[Preprocessing], checkpoint: Any, then: str = ''
) -> None:
    """Warn in one line that names both, if a checkpoint's weights expect other images.

    Args:
        runner: Its model's data preprocessor is meant.
        expected: What the checkpoint says; None: nothing.
        checkpoint: Its name.
        then: What is done about it.
    """
    found = differing_preprocessing(runner, expected)
    if found is not None:
        runner.logger.warning(
            f"pre-processing differs: {checkpoint}'s is {expected}; the config's is {found}{then}"
        )
