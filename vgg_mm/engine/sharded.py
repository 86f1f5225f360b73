"""Training with the net sharded over processes (torch's FSDP), like any other training."""

from functools import partial
from typing import Any, Optional

import torch
import torch.nn as nn
from mmengine._strategy import BaseStrategy
from mmengine._strategy import FSDPStrategy as MMEngineFSDPStrategy
from mmengine.dist import is_main_process
from mmengine.optim import BaseOptimWrapper
from mmengine.registry import DefaultScope
from mmengine.runner import FlexibleRunner
from torch.distributed.fsdp import FullyShardedDataParallel

from vgg_mm.checkpoints import whole_file
from vgg_mm.registry import RUNNERS, STRATEGIES

#: MMPretrain has no registries of strategies and of functions: where mmengine looks there first, it
#: warns of it.
_AT_THE_ROOT = partial(DefaultScope.overwrite_default_scope, 'mmengine')


@RUNNERS.register_module()
class ShardedRunner(FlexibleRunner):
    """mmengine's ``FlexibleRunner``, with the right epoch in checkpoints.

    mmengine's counts an epoch too many in a checkpoint that is written anew after its validation.
    """

    def build_strategy(self, *args: Any, **kwargs: Any) -> BaseStrategy:
        with _AT_THE_ROOT():
            return super().build_strategy(*args, **kwargs)

    def save_checkpoint(self, *args: Any, meta: Optional[dict] = None, **kwargs: Any) -> None:
        self._place = dict(meta or {})
        super().save_checkpoint(*args, meta=meta, **kwargs)

    def call_hook(self, fn_name: str, **kwargs: Any) -> None:
        if fn_name == 'before_save_checkpoint':
            kwargs['checkpoint']['meta'].update(self._place)
        super().call_hook(fn_name, **kwargs)


@STRATEGIES.register_module()
class FSDPStrategy(MMEngineFSDPStrategy):
    """mmengine's ``FSDPStrategy``, with what it lacks on torch >= 2.1 and on a CPU.

    Checkpoints are whole and written by process 0, so that testing and runs that are not sharded
    read them; the optimizer is resumed (torch has changed the order of the arguments that mmengine
    gives). Processes without a GPU work, too.

    Args:
        model_wrapper: Arguments of mmengine's ``MMFullyShardedDataParallel``.
        state_dict_cfg: As in mmengine; its default 'local' writes a file for each process, which
            nothing but a run with as many processes can read.
        **kwargs: As in mmengine.

    Raises:
        ValueError: in one line, if there is a single process, or gradients are to be clipped: each
            process has the norm of its own shard only.
    """

    def __init__(
        self, *, model_wrapper: Optional[dict] = None, state_dict_cfg: Any = 'full', **kwargs: Any
    ):
        wrapper = dict(type='MMFullyShardedDataParallel', **(model_wrapper or {}))
        if not torch.cuda.is_available():
            wrapper['device_id'] = 'cpu'
        super().__init__(model_wrapper=wrapper, state_dict_cfg=state_dict_cfg, **kwargs)
        if not self.distributed:
            raise ValueError(
                'FSDPStrategy: weights are sharded over processes and this is one: start several '
                'with tools/dist_train.sh CONFIG GPUS or --launcher'
            )

    def _wrap_model(self, model: nn.Module) -> nn.Module:
        with _AT_THE_ROOT():
            return super()._wrap_model(model)

    def build_optim_wrapper(
        self, optim_wrapper: dict, model: Optional[nn.Module] = None
    ) -> BaseOptimWrapper:
        built = super().build_optim_wrapper(optim_wrapper, model)
        if getattr(built, 'clip_grad_kwargs', None):
            raise ValueError(
                'FSDPStrategy: gradients cannot be clipped by their norm, of which each process '
                'has a part: --cfg-options optim_wrapper.clip_grad=None'
            )
        return built

    def save_checkpoint(self, filename: str, **kwargs: Any) -> None:
        """As mmengine's; a whole checkpoint gets its name when it is on the disk."""
        if not self._is_full_state_dict() or not is_main_process():
            super().save_checkpoint(filename, **kwargs)
            return
        with whole_file(filename) as file:
            super().save_checkpoint(file.name, **kwargs)

    def load_optim_state_dict(self, state_dict: dict) -> None:
        self.optim_wrapper.load_state_dict(
            FullyShardedDataParallel.optim_state_dict_to_load(
                self.model, self.optim_wrapper.optimizer, state_dict
            )
        )
