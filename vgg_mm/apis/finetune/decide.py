"""What the photos and the weights decide about a fine-tuning."""

import os
from collections.abc import Sequence
from typing import NamedTuple, Optional

from vgg_mm.architectures import NUM_BLOCKS

from .split import Split

#: The crop is rescaled from S in this range, as multiples of the crop: [256; 384] for 224.
JITTER = (8 / 7, 12 / 7)

#: Validation takes the central crop at this multiple of it: Q = 320 for 224.
TEST_SCALE = 10 / 7

#: Images seen in a training, so far as its epochs stay within these.
IMAGES, EPOCHS = 32_000, (10, 30)

#: The learning rate falls after these shares of the epochs.
DROPS = (0.6, 0.85)

BATCH, LEARNING_RATE, NEW_LAYER = 32, 1e-3, 10

#: With fewer photos than this, the first two blocks stay as they are: edges and colours need no
#: learning, and what is not trained cannot be spoilt (Girshick 2015, Section 4.5, for VGG-16).
MANY_PHOTOS, FROZEN = 20_000, 2


#: Crops of each photo whose maps are computed once, and epochs of the layers on them.
VIEWS, EPOCHS_ON_MAPS = 2, 30

#: Of the second stage, that trains the last blocks together with a head that has learnt.
FINE_EPOCHS, FINE_RATE = 10, 1e-3


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
            frozen_stages=NUM_BLOCKS - unfrozen,
        )


def decide(
    split: Split,
    crop: int,
    epochs: Optional[int] = None,
    batch_size: Optional[int] = None,
    lr: Optional[float] = None,
    frozen_stages: Optional[int] = None,
    views: int = 0,
) -> Decisions:
    """Settings for these photos; those given are kept.

    Args:
        split: The photos.
        crop: Side of the crops that the weights' fc6 takes, in pixels.
        epochs, batch_size, lr, frozen_stages: None: decided here.
        views: Crops of each photo whose maps are computed once; 0: none are.

    Raises:
        ValueError: in one line, if a number given is out of range.
    """
    for name, value, least in (('--epochs', epochs, 1), ('--batch-size', batch_size, 1)):
        if value is not None and value < least:
            raise ValueError(f'{name} must be at least {least}, got {value}')
    if lr is not None and not lr > 0:
        raise ValueError(f'--lr must be positive, got {lr}')
    if frozen_stages is not None and not 0 <= frozen_stages <= NUM_BLOCKS:
        raise ValueError(f'--frozen must be 0 to 5 blocks, got {frozen_stages}')
    photos = len(split.train)
    if epochs is None and views:
        epochs = EPOCHS_ON_MAPS
    elif epochs is None:
        epochs = min(max(round(IMAGES / photos), EPOCHS[0]), EPOCHS[1])
    if frozen_stages is None and views:
        frozen_stages = NUM_BLOCKS
    elif frozen_stages is None:
        frozen_stages = FROZEN if photos < MANY_PHOTOS else 0
    return Decisions(
        epochs=epochs,
        milestones=_milestones(epochs),
        batch_size=min(batch_size or BATCH, photos),
        num_workers=min(4, os.cpu_count() or 1),
        lr=LEARNING_RATE if lr is None else lr,
        frozen_stages=frozen_stages,
        crop=crop,
        jitter=(round(JITTER[0] * crop), round(JITTER[1] * crop)),
        test_scale=round(TEST_SCALE * crop),
        views=views,
    )


def _milestones(epochs: int) -> list[int]:
    return sorted({max(1, round(share * epochs)) for share in DROPS} - {epochs})


def describe_classes(split: Split, most: int = 12) -> Sequence[str]:
    """'CLASS TRAIN + VAL' for each class, the rest counted."""
    lines = []
    for number, name in enumerate(split.classes[:most]):
        train, val = (
            sum(label == number for _, label in part) for part in (split.train, split.val)
        )
        lines.append(f'{name} {train} + {val}')
    if len(split.classes) > most:
        lines.append(f'... and {len(split.classes) - most} more')
    return lines
