"""The config that a fine-tuning is written down as."""

import os.path as osp
from collections.abc import Sequence
from typing import Any, Optional

from mmengine.config import Config

from ..config import configs_folder, set_input_channels
from .decide import NEW_LAYER, Decisions
from .split import Split

#: What the decisions are filled into.
TEMPLATE = 'vgg/vgg16_finetune.py'


def finetune_config(
    folder: str,
    weights: Optional[str],
    model: dict,
    split: Split,
    lists: dict[str, str],
    chosen: Decisions,
    new: Sequence[str],
    is_first: bool,
    decay: Optional[float],
) -> Config:
    """A config that ``tools/train.py`` and ``tools/test.py`` take, with nothing outside it.

    Args:
        folder: The photos' folder, an absolute path.
        weights: What ``load_from`` takes; None: a chain gives the checkpoint.
        model: Settings of the model that the weights ask for.
        split: The photos.
        lists: {'train': PATH, 'val': PATH} of their lists.
        chosen: The rest.
        new: The head's new layers.
        is_first: Whether they have not learnt yet: then they learn faster.
        decay: Their weight decay; None: that of all layers.
    """
    cfg = Config.fromfile(osp.join(configs_folder(), TEMPLATE))
    cfg.merge_from_dict(dict(model=model, load_from=weights, DATA_ROOT=folder))
    cfg.model.head.num_classes = len(split.classes)
    cfg.model.backbone.frozen_stages = chosen.frozen_stages
    for name, part in (('train', 'train'), ('val', 'val'), ('test', 'val')):
        loader = cfg[f'{name}_dataloader']
        loader.batch_size, loader.num_workers = chosen.batch_size, chosen.num_workers
        loader.persistent_workers = True
        loader.dataset.update(
            data_root=folder,
            data_prefix='',
            ann_file=lists[part],
            metainfo=dict(classes=list(split.classes)),
        )
        _fill_pipeline(loader.dataset.pipeline, chosen)
        if part == 'val':
            # One broken photo is an error of the net's, not the end of the run.
            loader.dataset.pipeline[0].on_error = 'mark'
    _fill_pipeline(cfg.tta_pipeline, chosen)
    cfg.train_dataloader.dataset.pipeline[0].on_error = 'skip'
    cfg.custom_hooks = [dict(type='vgg_mm.SkippedImagesHook')]
    cfg.val_evaluator.topk = cfg.test_evaluator.topk = (1, 5) if len(split.classes) > 5 else (1,)
    cfg.tta_model.crop_size = chosen.crop
    cfg.optim_wrapper.optimizer.lr = chosen.lr
    settings = dict(lr_mult=NEW_LAYER) if is_first else {}
    if decay is not None:
        settings['decay_mult'] = decay / cfg.optim_wrapper.optimizer.weight_decay
    # Keys with dots: merged they would be a tree.
    keys = {f'head.{layer}': settings for layer in new} if settings else {}
    cfg.optim_wrapper.paramwise_cfg = dict(custom_keys=keys)
    cfg.param_scheduler.milestones = chosen.milestones
    cfg.train_cfg.max_epochs = chosen.epochs
    if chosen.views:
        loop = dict(type='vgg_mm.CachedMapsTrainLoop', views=chosen.views)
        cfg.train_cfg = dict(loop, max_epochs=chosen.epochs, val_interval=1)
        cfg.val_cfg = dict(type='vgg_mm.CachedMapsValLoop')
    cfg.auto_scale_lr.base_batch_size = chosen.batch_size
    for name in ('train_pipeline', 'test_pipeline'):
        cfg.pop(name)  # they are in the data sets
    set_input_channels(cfg)
    return cfg


def _fill_pipeline(pipeline: list[dict[str, Any]], chosen: Decisions) -> None:
    for step in pipeline:
        if step['type'] == 'vgg_mm.ScaleJitter':
            step.update(scale=chosen.jitter, crop_size=chosen.crop)
        elif step['type'] == 'vgg_mm.CentralCrop':
            step.update(scale=chosen.test_scale, crop_size=chosen.crop)
        elif step['type'] == 'vgg_mm.TestScales':
            step['trained_at'] = chosen.jitter
