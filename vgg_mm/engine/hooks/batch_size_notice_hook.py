"""A notice if the batch size is not the one that the learning rate is for."""

from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner

from vgg_mm.registry import HOOKS


@HOOKS.register_module()
class BatchSizeNoticeHook(Hook):
    """Compare the images of a step with ``auto_scale_lr.base_batch_size``, once.

    A config's learning rate is for that many; e.g. on one GPU a run has an eighth of them.
    """

    def before_train(self, runner: Runner) -> None:
        rule = runner.cfg.get('auto_scale_lr') or {}
        base = rule.get('base_batch_size')
        loader = runner.train_dataloader
        size = loader.batch_size or getattr(loader.batch_sampler, 'batch_size', None)
        if not base or not size or rule.get('enable'):
            return
        processes = get_world_size()
        counts = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
        found = size * processes * counts
        if found != base:
            runner.logger.warning(
                f'the learning rate of this config is for {base} images a step, and this run has '
                f'{found} (batch size {size}, {processes} processes, {counts} batches a step): '
                f'--auto-scale-lr multiplies it by {found / base:.3g}'
            )
