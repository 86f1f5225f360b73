"""Whether a fine-tuning computes the maps of frozen blocks once, and what that takes."""

from typing import NamedTuple, Optional

import torch
from mmengine.config import Config

from vgg_mm.architectures import BLOCK_WIDTHS, NUM_BLOCKS
from vgg_mm.engine.loops.cached_maps_loops import MAX_GB
from vgg_mm.progress import duration

from ..chain.estimate import device_name, measure_step
from ..convert_weights import Net
from .decide import VIEWS
from .split import Split

#: What ``--cache-maps`` can be.
AUTO, ON, OFF = CACHE_MAPS = 'auto', 'on', 'off'

#: With fewer frozen blocks the rest takes most of the time, and maps are large.
FEWEST_FROZEN = 3


class Wishes(NamedTuple):
    """What the command line says.

    ``cache`` is one of :data:`CACHE_MAPS`, ``views`` the crops of each photo, ``frozen`` the blocks
    that stay as they are, ``unfreeze`` the last blocks that a second stage trains; None: not given.
    """

    cache: str = AUTO
    views: Optional[int] = None
    frozen: Optional[int] = None
    unfreeze: Optional[int] = None


def choose_views(wishes: Wishes, split: Split, net: Net, crop: int) -> tuple[int, str]:
    """How many crops of each photo have their maps computed once, and why, in words.

    Returns:
        (0, reason) where all layers are trained on new crops in every epoch.

    Raises:
        ValueError: in one line, if the wishes do not go together, or the maps are too large.
    """
    if wishes.cache not in CACHE_MAPS:
        raise ValueError(f'--cache-maps must be auto, on or off, got {wishes.cache!r}')
    if wishes.views is not None and wishes.views < 1:
        raise ValueError(f'--views must be at least 1, got {wishes.views}')
    if wishes.unfreeze is not None and not 0 <= wishes.unfreeze <= NUM_BLOCKS - 1:
        raise ValueError(f'--unfreeze must be 0 to 4 blocks, got {wishes.unfreeze}')
    if wishes.unfreeze and wishes.frozen is not None:
        raise ValueError(
            f'--unfreeze {wishes.unfreeze} is a second stage after one with all blocks frozen, '
            f'--frozen {wishes.frozen} a single one: give one of the two'
        )
    why = _why_not(wishes)
    views = wishes.views or VIEWS
    most = NUM_BLOCKS if wishes.frozen is None else wishes.frozen
    frozen = min(most, NUM_BLOCKS - (wishes.unfreeze or 0))
    if not why:
        size = maps_gb(split, net, crop, frozen, views)
        if size > MAX_GB:
            why = (
                f'the maps of {views} views of {len(split.train):,} photos after block {frozen} '
                f'would take {size:.0f} GB, more than {MAX_GB:g}'
            )
    if not why:
        return views, ''
    if wishes.cache == ON:
        raise ValueError(f'--cache-maps on: {why}')
    for option, value in (('--views', wishes.views), ('--unfreeze', wishes.unfreeze)):
        if value:
            raise ValueError(f'{option} {value} is for maps that are computed once, but {why}')
    return 0, why


def _why_not(wishes: Wishes) -> str:
    """Why maps are not computed once, '' if they are."""
    if wishes.cache == OFF:
        return '--cache-maps is off'
    if wishes.frozen == 0:
        return '--frozen 0 leaves no block frozen'
    if wishes.cache == AUTO and torch.cuda.is_available():
        return 'there is a GPU (--cache-maps on does so all the same)'
    if wishes.cache == AUTO and wishes.frozen is not None and wishes.frozen < FEWEST_FROZEN:
        return f'few blocks are frozen (--frozen {wishes.frozen})'
    return ''


def maps_gb(split: Split, net: Net, crop: int, frozen: int, views: int) -> float:
    """What the maps of all photos take on the disk, in GB (1e9 bytes)."""
    side = crop // 2**frozen
    a_map = 2 * net.base_channels * BLOCK_WIDTHS[frozen - 1] * side**2
    return (views * len(split.train) + len(split.val)) * a_map / 1e9


def describe_maps(
    split: Split, net: Net, crop: int, stages: list[Config], amp: bool, kernels: str
) -> str:
    """A line on the maps, with the time that a few steps on this machine make likely."""
    hours, sizes, blocks = 0.0, [], []
    for cfg in stages:
        step = measure_step(cfg, amp, kernels)
        views, frozen = cfg.train_cfg.views, cfg.model.backbone.frozen_stages
        images = cfg.train_cfg.max_epochs * len(split.train)
        hours += step.hours(images, images / cfg.train_dataloader.batch_size)
        sizes.append(maps_gb(split, net, crop, frozen, views))
        blocks.append('all blocks' if frozen == NUM_BLOCKS else f'the first {frozen} blocks')
    minutes = 60 * hours
    about = 'a minute' if minutes < 1.5 else duration(60 * minutes)
    room = ', '.join(f'{gb:.1f} GB' if gb > 0.95 else f'{max(1, 1000 * gb):.0f} MB' for gb in sizes)
    return (
        f'Maps       of {", then of ".join(blocks)} are computed once, for {views} crops of each '
        f'photo, and kept ({room}); with the training about {about} on {device_name()}, without '
        'the test; --cache-maps off trains through all layers'
    )
