"""What a fine-tuning decides from photos and weights: settings, head, cached maps."""

from math import inf
from numbers import Integral
from typing import NamedTuple, Optional

import torch
from mmengine.config import Config

from vgg_mm.architectures import ARCHITECTURES, BLOCK_WIDTHS, NUM_BLOCKS
from vgg_mm.checkpoints import Preprocessing
from vgg_mm.checkpoints.preprocessing import CENTRED_BGR
from vgg_mm.engine.cached_maps_loops import MAX_GB
from vgg_mm.installation import argument
from vgg_mm.progress import duration

from ..chain.estimate import device_name, measure_step
from ..convert_weights import Net
from ..subprocess_tools import available_cores
from .split import Split

#: The crop is rescaled from S in this range, and validation takes the central crop at Q, all as
#: multiples of the crop: [256; 384] and 320 for 224.
JITTER, TEST_SCALE = (8 / 7, 12 / 7), 10 / 7

#: The same where fc6 is new and not trained for another scale: the object of a photo mostly fills
#: it. [224; 320] and 256 for 224. Measured: benchmarks/README.md, "Fine-tuning from the
#: authors' convolutions".
NEW_FC6_JITTER, NEW_FC6_TEST_SCALE = (1, 10 / 7), 8 / 7

#: Images seen in a training, and the range of its epochs, which has precedence.
IMAGES, EPOCHS = 32_000, (10, 30)

#: The learning rate falls after these shares of the epochs.
DROPS = (0.6, 0.85)

BATCH, LEARNING_RATE, NEW_LAYER = 32, 1e-3, 10

#: With fewer photos than this, the first two blocks stay as they are: edges and colours need no
#: learning, and what is not trained cannot be spoilt (Girshick 2015, Section 4.5, for VGG-16).
MANY_PHOTOS, FROZEN = 20_000, 2

#: Crops of each photo whose maps are computed once, and epochs of the layers on them.
VIEWS, EPOCHS_ON_MAPS = 3, 20

#: Of the second stage, that trains the last blocks together with a head that has learnt.
FINE_EPOCHS, FINE_RATE = 10, 1e-3

#: New heads: fc6, fc7 and fc8 as in the paper but narrow; global average pooling and fc8.
FC, GAP = 'fc', 'gap'

#: Width of new fc6 and fc7: few photos cannot fill 4,096.
NARROW = 512

#: Weight decay of fc8 on the pooled maps of the authors' nets, which reach 300, so that small
#: weights fit the photos one by one. Measured: benchmarks/README.md, "Heads on maps that are
#: computed once".
POOLED_DECAY = 0.2

#: Images of the authors' nets are divided by this where fc6 is new, as PyTorch's nets have it
#: (their deviation). Otherwise maps of up to 240 enter it: its gradient is 3,000 times as large as
#: that of the same layer on maps that are divided, and no rate suits it and fc7 as well. Measured:
#: as above.
DIVISOR = 58.0

#: Values of ``cache_maps``.
AUTO, ON, OFF = CACHE_MAPS = 'auto', 'on', 'off'

#: With fewer frozen blocks the rest takes most of the time, and maps are large.
MIN_FROZEN = 3


class Decisions(NamedTuple):
    """Settings of a fine-tuning; ``crop``, ``jitter`` (S) and ``test_scale`` (Q) in pixels.

    ``views`` is the number of crops of each photo whose maps after the frozen blocks are computed
    once; 0: every epoch has its own crops, through all layers.
    """

    epochs: int
    milestones: list[int]
    batch_size: int
    num_workers: int
    lr: float
    frozen_stages: int
    crop: int
    jitter: tuple[int, int]
    test_scale: int
    views: int = 0

    def second_stage(self, unfrozen: int) -> 'Decisions':
        """For the last ``unfrozen`` blocks and the head, after a stage with these settings."""
        return self._replace(
            epochs=FINE_EPOCHS,
            milestones=_milestones(FINE_EPOCHS),
            lr=FINE_RATE,
            frozen_stages=NUM_BLOCKS - int(unfrozen),
        )


def decide(
    split: Split,
    crop: int,
    epochs: Optional[int] = None,
    batch_size: Optional[int] = None,
    lr: Optional[float] = None,
    frozen_stages: Optional[int] = None,
    views: int = 0,
    new_fc6: bool = False,
) -> Decisions:
    """Settings for these photos; those given are kept.

    Args:
        split: The photos.
        crop: Side of the crops that the weights' fc6 takes, in pixels.
        epochs, batch_size, lr, frozen_stages: None: decided here.
        views: Crops of each photo whose maps are computed once; 0: none are.
        new_fc6: Whether fc6 starts from random numbers.

    Raises:
        ValueError: in one line, if a number given is out of range.
    """
    epochs = in_range('epochs', epochs, 1)
    batch_size = in_range('batch_size', batch_size, 1)
    frozen_stages = in_range('frozen', frozen_stages, 0, NUM_BLOCKS)
    if lr is not None and not lr > 0:
        raise ValueError(f'{argument("lr")} must be positive, got {lr}')
    photos = len(split.train)
    if epochs is None:
        usual = min(max(round(IMAGES / photos), EPOCHS[0]), EPOCHS[1])
        epochs = EPOCHS_ON_MAPS if views else usual
    if frozen_stages is None:
        usual = FROZEN if photos < MANY_PHOTOS else 0
        frozen_stages = NUM_BLOCKS if views else usual
    jitter, test_scale = (NEW_FC6_JITTER, NEW_FC6_TEST_SCALE) if new_fc6 else (JITTER, TEST_SCALE)
    return Decisions(
        epochs=epochs,
        milestones=_milestones(epochs),
        batch_size=min(batch_size or BATCH, photos),
        num_workers=min(4, available_cores()),
        lr=LEARNING_RATE if lr is None else float(lr),
        frozen_stages=frozen_stages,
        crop=crop,
        jitter=(round(jitter[0] * crop), round(jitter[1] * crop)),
        test_scale=round(test_scale * crop),
        views=views,
    )


def _milestones(epochs: int) -> list[int]:
    return sorted({max(1, round(share * epochs)) for share in DROPS} - {epochs})


def in_range(name: str, value: Optional[int], least: int, most: float = inf) -> Optional[int]:
    """An integer, also one of NumPy's, as Python's; those with a largest value count blocks.

    Raises:
        ValueError: in one line, if it is no integer or out of range.
    """
    if value is None:
        return None
    if not isinstance(value, Integral):
        raise ValueError(f'{argument(name)} must be an integer, got {value!r}')
    if not least <= value <= most:
        wanted = f'at least {least}' if most == inf else f'{least} to {most} blocks'
        raise ValueError(f'{argument(name)} must be {wanted}, got {value}')
    return int(value)


class Head(NamedTuple):
    """A head.

    Args:
        config: Arguments of :class:`ConvHead`, but for the number of classes.
        new: Names of the layers that the weights do not fill.
        keeps: Whether the weights' own fc6 and fc7 (or none, with global average pooling) stay.
    """

    config: dict
    new: tuple[str, ...]
    keeps: bool

    def decay(self, preprocessing: Preprocessing) -> Optional[float]:
        """The new layers' weight decay, in a net for such images; None: that of all layers."""
        pooled = self.config['fc_channels'] == ()
        return POOLED_DECAY if pooled and _of_authors(preprocessing) else None

    def divisor(self, preprocessing: Preprocessing, net: Net) -> float:
        """An additional divisor of the images, in a net for such images; 1: none."""
        homogeneous = not (net.norm or ARCHITECTURES[net.arch].lrn)
        wanted = 'fc6' in self.new and homogeneous and _of_authors(preprocessing)
        return DIVISOR if wanted else 1.0

    def __str__(self) -> str:
        *others, last = self.new
        layers = f'{", ".join(others)} and {last} are' if others else f'{last} is'
        if self.config['fc_channels'] == ():
            return f'global average pooling; {layers} new'
        return f'{layers} new' + ('' if self.keeps else f', {self.config["fc_channels"]} wide')


def _of_authors(preprocessing: Preprocessing) -> bool:
    return any(map(preprocessing.same_as, (CENTRED_BGR, CENTRED_BGR.reversed_channels())))


def choose_head(net: Net, head: Optional[str] = None, fc_channels: Optional[int] = None) -> Head:
    """The head for weights.

    Args:
        net: What the weights are of.
        head: 'fc' or 'gap' for a new one; None: the weights' own, 'fc' if they have none.
        fc_channels: Width of a new fc6 and fc7.

    Raises:
        ValueError: in one line, if the arguments are incompatible.
    """
    own = net.head_config()
    kind = head or (None if own else FC)
    if fc_channels is not None and kind != FC:
        raise ValueError(
            f'{argument("fc_channels", fc_channels)} is for {argument("head", FC)}: a new fc6 and '
            'fc7'
        )
    fc_channels = in_range('fc_channels', fc_channels, 1)
    if kind is None:
        return Head({k: v for k, v in own.items() if k != 'num_classes'}, ('fc8',), True)
    in_channels = net.base_channels * BLOCK_WIDTHS[-1]
    if kind == GAP:
        return Head(dict(in_channels=in_channels, fc_channels=(), kernel_size=1), ('fc8',), False)
    width = fc_channels or NARROW
    config = dict(in_channels=in_channels, fc_channels=width, kernel_size=7)
    return Head(config, ('fc6', 'fc7', 'fc8'), False)


def choose_views(
    split: Split,
    net: Net,
    crop: int,
    cache: str,
    views: Optional[int],
    frozen: Optional[int],
    unfreeze: Optional[int],
) -> tuple[int, str]:
    """How many crops of each photo have their maps computed once: (number, '') or (0, why none).

    ``crop`` is the side of the crops in pixels; the other arguments are those of
    :func:`~vgg_mm.apis.finetune.finetune`.

    Raises:
        ValueError: in one line, if the arguments are incompatible, or the maps are too large.
    """
    if cache not in CACHE_MAPS:
        raise ValueError(f'{argument("cache_maps")} must be auto, on or off, got {cache!r}')
    views = in_range('views', views, 1)
    unfreeze = in_range('unfreeze', unfreeze, 0, NUM_BLOCKS - 1)
    if unfreeze and frozen is not None:
        raise ValueError(
            f'{argument("unfreeze", unfreeze)} adds a second stage to one with all blocks frozen, '
            f'{argument("frozen", frozen)} configures a single stage: give only one of them'
        )
    count = views or VIEWS
    last = min(NUM_BLOCKS if frozen is None else frozen, NUM_BLOCKS - (unfreeze or 0))
    if cache == OFF:
        why = f'{argument("cache_maps")} is off'
    elif frozen == 0:
        why = f'{argument("frozen", 0)} leaves no block frozen'
    elif cache == AUTO and torch.cuda.is_available():
        why = f'there is a GPU ({argument("cache_maps", ON)} caches them anyway)'
    elif cache == AUTO and frozen is not None and frozen < MIN_FROZEN:
        why = f'few blocks are frozen ({argument("frozen", frozen)})'
    elif (size := maps_gb(split, net, crop, last, count)) > MAX_GB:
        why = (
            f'the maps of {count} views of {len(split.train):,} photos after block {last} '
            f'would need {size:.0f} GB, more than {MAX_GB:g}'
        )
    else:
        return count, ''
    if cache == ON:
        raise ValueError(f'{argument("cache_maps", ON)}: {why}')
    for name, value in (('views', views), ('unfreeze', unfreeze)):
        if value:
            raise ValueError(f'{argument(name, value)} requires cached maps, but {why}')
    return 0, why


def maps_gb(split: Split, net: Net, crop: int, frozen: int, views: int) -> float:
    """The size of the maps of all photos on the disk, in GB (1e9 bytes)."""
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
    about = 'a minute' if 60 * hours < 1.5 else duration(3600 * hours)
    room = ', '.join(f'{gb:.1f} GB' if gb > 0.95 else f'{max(1, 1000 * gb):.0f} MB' for gb in sizes)
    return (
        f'Maps       of {", then of ".join(blocks)} are computed once, for {views} '
        f'crop{"s" * (views > 1)} of each photo, and cached ({room}); about {about} with training '
        f'on {device_name()}, without the test; {argument("cache_maps", OFF)} disables this'
    )
