"""The classifier that is to be exported, and what its input means."""

import json
from typing import Any, NamedTuple, Optional

from vgg_mm.architectures import STRIDE
from vgg_mm.checkpoints import Preprocessing, preprocessing_of
from vgg_mm.models import VGG, ConvHead
from vgg_mm.version import __version__

from ..inference.load import load_net, tta_options
from ..kernels import PLAIN


class Classifier(NamedTuple):
    """A trained net in evaluation mode: an ``ImageClassifier`` of a VGG with a ConvHead.

    The net sees (image - mean) / std, channels in the order that ``preprocessing`` says, on values
    0 to 255. ``crop`` is the side of the crops that it was trained on, in pixels.
    """

    model: Any
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    crop: int

    @property
    def channel_order(self) -> str:
        """Of the exported graph's images: 'RGB', 'BGR', 'grey', or 'BGRA' with the opacity."""
        if self.in_channels != 3:
            return {1: 'grey', 4: 'BGRA'}.get(self.in_channels, f'{self.in_channels} channels')
        return 'RGB' if self.preprocessing.to_rgb else 'BGR'

    @property
    def in_channels(self) -> int:
        return self.model.backbone.conv1_1.in_channels

    @property
    def smallest(self) -> int:
        """Side in pixels of the smallest image that the net takes."""
        return STRIDE * self.model.head.kernel_size

    def metadata(self) -> dict[str, str]:
        """What a reader of the exported file has to know, as text (lists as JSON)."""
        return dict(
            made_by=f'vgg_mm {__version__}',
            arch=self.model.backbone.arch,
            num_classes=str(self.model.head.num_classes),
            classes=json.dumps(self.classes, ensure_ascii=False),
            channel_order=self.channel_order,
            mean=json.dumps(self.preprocessing.mean),
            std=json.dumps(self.preprocessing.std),
            smallest_size=str(self.smallest),
        )


def load_classifier(checkpoint: str, config: Optional[str] = None) -> Classifier:
    """Build the net of a checkpoint with its weights, without running code from the file.

    What there is to say of the checkpoint (no class names, other pre-processing than the config's)
    is printed.

    Args:
        checkpoint, config: As :func:`~vgg_mm.apis.inference.load.load_net` takes them.

    Raises:
        FileNotFoundError, ValueError: in one line, if a file is missing or does not say what is
            needed, or the net is no VGG with a ConvHead.
    """
    net = load_net(checkpoint, config, device='cpu', kernels=PLAIN)
    for notice in net.notices:
        print(f'notice: {notice}')
    model: Any = net.model
    check_kind(model)
    model.eval().requires_grad_(False)
    crop = tta_options(net.cfg).get('crop_size') or model.head.window
    preprocessing = preprocessing_of(model.data_preprocessor)
    assert preprocessing is not None, 'by check_kind'
    return Classifier(model, tuple(net.classes), preprocessing, crop)


def check_kind(model: Any) -> None:
    """Refuse models that are no VGG with a ConvHead.

    Raises:
        ValueError: in one line.
    """
    backbone, head = getattr(model, 'backbone', None), getattr(model, 'head', None)
    if not isinstance(backbone, VGG) or not isinstance(head, ConvHead) or model.with_neck:
        raise ValueError(
            'only a vgg_mm.VGG with a vgg_mm.ConvHead is exported, not '
            f'{type(backbone).__name__} with {type(head).__name__}'
        )
    if preprocessing_of(model.data_preprocessor) is None:
        raise ValueError(
            'the pre-processing of this model is not known: its data_preprocessor is a '
            f'{type(model.data_preprocessor).__name__}, not a ClsDataPreprocessor'
        )
