"""From a config to a runner: its processes, and how its model runs its layers."""

import torch
import torch.distributed
import torch.nn as nn
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import RUNNERS, VISUALIZERS
from mmengine.runner import Runner

from vgg_mm.engine.screen import ScreenRunner
from vgg_mm.installation import check_choice
from vgg_mm.kernels import accelerate

from .config import config_name
from .tables import say

#: How layers run: in faster forms where these pay off, or as torch's own.
AUTO, PLAIN = 'auto', 'plain'


def build_runner(cfg: Config, kernels: str = AUTO) -> Runner:
    """The runner that the config names (``runner_type``), or mmengine's.

    Args:
        cfg: The whole config.
        kernels: As :func:`use_kernels` takes it.
    """
    prepare_processes(cfg)
    use_own_visualizer(cfg)
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else ScreenRunner.from_cfg(cfg)
    if is_main_process():
        where = f'environment, config and hooks are in {runner.log_dir}'
        say(f'{config_name(cfg)}: {where}')
    if isinstance(runner.model, nn.Module):
        use_kernels(runner.model, kernels)
    else:
        runner.register_hook(_KernelsHook(kernels))
    return runner


def use_own_visualizer(cfg: Config) -> None:
    """Let a run not share the visualizer, with its folder, of one before it in the same process.

    mmengine keeps one for each name; MMDetection's and MMSegmentation's configs name them all
    'visualizer'. Without a name it has that of the experiment.
    """
    visualizer = cfg.get('visualizer')
    if isinstance(visualizer, dict) and 'name' in visualizer:
        with VISUALIZERS.switch_scope_and_registry(cfg.get('default_scope')) as registry:
            kind = registry.get(visualizer['type'])
        if kind is not None and kind.check_instance_created(visualizer['name']):
            del visualizer['name']


class _KernelsHook(Hook):
    """:func:`use_kernels` for runners that build their model when the run begins."""

    def __init__(self, kernels: str):
        self.kernels = kernels

    def before_run(self, runner: Runner) -> None:
        accelerate(runner.model, on=self.kernels == AUTO)


def use_kernels(model: nn.Module, kernels: str = AUTO) -> None:
    """Let a model run by the faster forms of its layers, or by torch's own.

    Args:
        model: Changed in place; on the device where it is going to run.
        kernels: 'auto': faster forms where they pay (:func:`vgg_mm.kernels.accelerate`); 'plain':
            torch's layers alone, in the default memory format.

    Raises:
        ValueError: if ``kernels`` is neither.
    """
    check_choice('kernels', kernels, (AUTO, PLAIN))
    accelerate(model, on=kernels == AUTO)
    alone = not (is_model_wrapper(model) or _is_detector(model))
    if kernels == AUTO and alone and not torch.cuda.is_available():
        # On the CPU convolutions are faster so: 1.2 times in float32, 2.4 times in bfloat16.
        model.to(memory_format=torch.channels_last)


def _is_detector(model: nn.Module) -> bool:
    """Whether it is of MMDetection: RoIAlign reads memory as in the default format."""
    return any(kind.__module__.startswith('mmdet.') for kind in type(model).__mro__)


def prepare_processes(cfg: Config) -> None:
    """Let ``--launcher pytorch`` work on the CPU; nothing to do elsewhere.

    mmengine selects a GPU for each process before it starts the process group, and hands its number
    to DistributedDataParallel: both fail without one. It does not change an existing group.
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
