"""Refuses a checkpoint that does not belong to the model."""

from mmengine.hooks import Hook
from mmengine.runner import Runner

from vgg_mm.checkpoints import fits, weights_of
from vgg_mm.registry import HOOKS

from ..unwrap import whole_weights

#: How many of the weights that do not fit an error names.
NAMED = 3


@HOOKS.register_module()
class CheckpointCheckHook(Hook):
    """Compare a checkpoint with the model before its weights are copied.

    mmengine copies what fits and warns about the rest in a long list, so that a test of the wrong
    net goes on and prints a meaningless error. With ``strict`` (testing, resuming) every weight
    has to be there; without (``load_from`` for fine-tuning) weights may be missing, and an fc8 for
    another number of classes is left as initialised, with a notice.

    Args:
        strict: See above.

    Raises:
        ValueError: in one line, with the weights that do not fit.
    """

    def __init__(self, strict: bool = True):
        self.strict = strict

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        weights = weights_of(checkpoint)
        target = whole_weights(runner.model)
        shared = weights.keys() & target.keys()
        mismatched = {n for n in shared if not fits(weights[n].shape, target[n].shape)}
        if not self.strict:
            mismatched -= self._drop_other_classes(runner, checkpoint, mismatched, weights, target)
        problems = [
            f'{n} is {tuple(weights[n].shape)}, the model wants {tuple(target[n].shape)}'
            for n in sorted(mismatched)
        ]
        if self.strict:
            missing = _without_counters(target.keys() - weights.keys())
            unexpected = _without_counters(weights.keys() - target.keys())
            problems += [f'{n} is missing' for n in missing]
            problems += [f'{n} is not in the model' for n in unexpected]
        elif not shared:
            problems = [f'no weight has a name of the model (first: {next(iter(weights))})']
        if problems:
            more = len(problems) - NAMED
            raise ValueError(
                f'the checkpoint is of another net: {"; ".join(problems[:NAMED])}'
                + (f'; and {more} more' if more > 0 else '')
            )

    def _drop_other_classes(self, runner, checkpoint, mismatched, weights, target) -> set[str]:
        dropped = {n for n in mismatched if n.split('.')[-2:-1] == ['fc8']}
        state = checkpoint.get('state_dict', checkpoint)
        for name in sorted(dropped):
            runner.logger.info(
                f'{name} is left as initialised: the checkpoint has {len(weights[name])} '
                f'classes, the model {len(target[name])}'
            )
            state.pop(name)
        return dropped


def _without_counters(names: set[str]) -> list[str]:
    return sorted(n for n in names if not n.endswith('num_batches_tracked'))
