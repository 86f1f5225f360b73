"""Several processes on a machine without a GPU."""

import torch
import torch.distributed
from mmengine.config import Config


def prepare_processes(cfg: Config) -> None:
    """Let ``--launcher pytorch`` work on the CPU; nothing to do elsewhere.

    mmengine selects a GPU for each process before it starts the process group, and hands its number
    to DistributedDataParallel: both fail without one. It leaves a group that is there alone.
    """
    if cfg.launcher != 'pytorch' or torch.cuda.is_available():
        return
    cfg.merge_from_dict({'env_cfg.dist_cfg.backend': 'gloo'})
    wrapper = cfg.get('model_wrapper_cfg') or dict(
        type='MMDistributedDataParallel',
        find_unused_parameters=cfg.get('find_unused_parameters', False),
    )
    cfg.model_wrapper_cfg = dict(wrapper, device_ids=None)
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group('gloo')
