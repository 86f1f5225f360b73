"""Which head a fine-tuning trains: that of the weights with a new fc8, or a new one."""

from typing import NamedTuple, Optional

from vgg_mm.architectures import BLOCK_WIDTHS
from vgg_mm.checkpoints import Preprocessing
from vgg_mm.checkpoints.preprocessing import CENTRED_BGR

from ..convert_weights import Net

#: New heads: fc6, fc7 and fc8 as in the paper but narrow; global average pooling and fc8.
HEADS = FC, GAP = 'fc', 'gap'

#: Width of new fc6 and fc7: few photos cannot fill 4,096.
NARROW = 512

#: Weight decay of fc8 on the pooled maps of the authors' nets, which reach 300, so that small
#: weights fit the photos one by one. Measured: benchmarks/README.md, "Heads on maps that are
#: computed once".
POOLED_DECAY = 0.2


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
        authors = any(map(preprocessing.same_as, (CENTRED_BGR, CENTRED_BGR.turned())))
        return POOLED_DECAY if pooled and authors else None

    def __str__(self) -> str:
        *others, last = self.new
        layers = f'{", ".join(others)} and {last} are' if others else f'{last} is'
        if self.config['fc_channels'] == ():
            return f'global average pooling; {layers} new'
        return f'{layers} new' + ('' if self.keeps else f', {self.config["fc_channels"]} wide')


def choose_head(net: Net, head: Optional[str] = None, fc_channels: Optional[int] = None) -> Head:
    """The head for weights.

    Args:
        net: What the weights are of.
        head: 'fc' or 'gap' for a new one; None: the weights' own, 'fc' where there is none.
        fc_channels: Width of a new fc6 and fc7.

    Raises:
        ValueError: in one line, if the arguments do not go together.
    """
    own = net.head_config()
    kind = head or (None if own else FC)
    if fc_channels is not None and kind != FC:
        raise ValueError(f'--fc-channels {fc_channels} is for --head fc: a new fc6 and fc7')
    if fc_channels is not None and fc_channels < 1:
        raise ValueError(f'--fc-channels must be at least 1, got {fc_channels}')
    if kind is None:
        return Head({k: v for k, v in own.items() if k != 'num_classes'}, ('fc8',), True)
    in_channels = net.base_channels * BLOCK_WIDTHS[-1]
    if kind == GAP:
        return Head(dict(in_channels=in_channels, fc_channels=(), kernel_size=1), ('fc8',), False)
    width = fc_channels or NARROW
    config = dict(in_channels=in_channels, fc_channels=width, kernel_size=7)
    return Head(config, ('fc6', 'fc7', 'fc8'), False)
