"""Training by epochs that goes on in the middle of one."""

from collections.abc import Sequence

from mmengine.runner import EpochBasedTrainLoop

from vgg_mm.registry import LOOPS


@LOOPS.register_module()
class ResumableTrainLoop(EpochBasedTrainLoop):
    """mmengine's ``EpochBasedTrainLoop`` whose count within a resumed epoch goes on.

    :class:`ExactResumeHook` makes the data loader begin there.
    """

    def run_iter(self, idx: int, data_batch: Sequence[dict]) -> None:
        super().run_iter(self._iter - self._epoch * len(self.dataloader), data_batch)
