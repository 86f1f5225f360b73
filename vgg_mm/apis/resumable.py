"""Exact resuming for every config, whatever it says of loops and samplers."""

from mmengine.config import Config

#: mmengine's part -> this package's, which resumes exactly and else does the same.
SAMPLERS = {'DefaultSampler': 'vgg_mm.ResumableSampler'}
LOOPS = {'EpochBasedTrainLoop': 'vgg_mm.ResumableTrainLoop'}
CHECKPOINT_HOOKS = {'CheckpointHook': 'vgg_mm.CheckpointHook'}

SEEDED_DATASET = 'vgg_mm.SeededDataset'


def make_resumable(cfg: Config) -> None:
    """Replace the parts of a training config that lose their place when a run is interrupted.

    Samplers and loops of other kinds stay: such runs resume as exactly as mmengine can.
    """
    loader, loop = cfg.train_dataloader, cfg.train_cfg
    if loader.sampler.type in SAMPLERS:
        loader.sampler.type = SAMPLERS[loader.sampler.type]
        loader.dataset = dict(type=SEEDED_DATASET, dataset=loader.dataset)
    if 'type' not in loop and loop.get('by_epoch', True):
        loop.pop('by_epoch', None)
        loop.type = 'EpochBasedTrainLoop'
    if 'type' in loop:
        loop.type = LOOPS.get(loop.type, loop.type)
    checkpoint = (cfg.get('default_hooks') or {}).get('checkpoint')
    if checkpoint is not None:
        checkpoint.type = CHECKPOINT_HOOKS.get(checkpoint.type, checkpoint.type)


def undo_seeded_dataset(cfg: Config) -> None:
    """Give a config that a run wrote to its work directory the user's own data set again."""
    loader = cfg.get('train_dataloader') or {}
    if loader.get('dataset', {}).get('type') == SEEDED_DATASET:
        loader.dataset = loader.dataset.dataset
        loader.sampler.type = 'DefaultSampler'
