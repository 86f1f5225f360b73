"""A classifier that is exported, and its graph."""

import json
from dataclasses import dataclass
from typing import Any, ClassVar, Optional

import torch
import torch.nn as nn

from vgg_mm.architectures import STRIDE
from vgg_mm.checkpoints import Preprocessing, preprocessing_of
from vgg_mm.models import VGG, ConvHead
from vgg_mm.models.heads.conv_head import FoldedLinear
from vgg_mm.version import __version__

from ..inference.load import load_net
from ..inference.predictor import tta_options
from ..runner import PLAIN

#: Name of the graph's input.
IMAGE = 'image'


@dataclass(frozen=True)
class Net:
    """A trained net in evaluation mode.

    Its input is (image - mean) / std, channels in the order that ``preprocessing`` says, on values
    0 to 255. ``crop`` is the side in pixels that its graph takes by default.
    """

    model: Any
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    crop: int

    #: Its graph, and what that can compute, with the shape; the first by default.
    graph_type: ClassVar[type['Graph']]
    outputs: ClassVar[dict[str, str]]
    #: Whether images have the side ``crop`` and no other; else their sides are multiples of this.
    fixed: ClassVar[bool] = False
    multiple: ClassVar[int] = 1

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
        return self.crop if self.fixed else STRIDE

    def metadata(self) -> dict[str, str]:
        """The metadata of the exported file, as text (lists as JSON)."""
        return dict(
            made_by=f'vgg_mm {__version__}',
            arch=self.model.backbone.arch,
            classes=json.dumps(self.classes, ensure_ascii=False),
            channel_order=self.channel_order,
            mean=json.dumps(self.preprocessing.mean),
            std=json.dumps(self.preprocessing.std),
        )

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        """By the model's own preprocessor: uint8 (N, channels, H, W) in the graph's order."""
        # It is given images as OpenCV reads them.
        images = images.flip(1) if self.channel_order == 'RGB' else images
        return self.model.data_preprocessor(dict(inputs=list(images)), training=False)['inputs']

    def compute(self, inputs: torch.Tensor, output: str) -> torch.Tensor:
        """One of ``outputs`` as this package runs the net, on normalised images."""
        raise NotImplementedError


class Graph(nn.Module):
    """The common part of exported graphs: the pre-processing, of images 0 to 255 or done before.

    Input: (N, channels, H, W) float32, values 0 to 255, channels in the net's order; without the
    pre-processing, already normalised. Output: one of the net's ``outputs``.

    Args:
        net: Its model is not copied.
        output: What is computed.
        preprocessing: Whether mean and standard deviation are part of the graph.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, net: Net, output: str, preprocessing: bool):
        super().__init__()
        self.output = output
        self.preprocessing = preprocessing
        self.in_channels, self.smallest = net.in_channels, net.smallest
        self.multiple = net.multiple
        for name in ('mean', 'std'):
            values = torch.tensor(getattr(net.preprocessing, name))
            self.register_buffer(name, values.view(-1, 1, 1))

    def normalised(self, image: torch.Tensor) -> torch.Tensor:
        return (image - self.mean) / self.std if self.preprocessing else image


class ExportGraph(Graph):
    """A classifier with its pre-processing, for images of any size (Section 3.2).

    fc6, fc7 and fc8 are plain convolutions here, which share the classifier's weights: the sliding
    windows of ``FoldedLinear`` would become a chain of slices whose number depends on the image's
    size, which no exported graph can hold. The mean is subtracted at the input, not folded into
    conv1_1's bias: at the border conv1_1 gets padding, which is zero after the subtraction.
    """

    def __init__(self, classifier: Net, output: str, preprocessing: bool):
        super().__init__(classifier, output, preprocessing)
        self.backbone = classifier.model.backbone
        head = classifier.model.head
        below = [head.fc6, head.fc7] if head.has_fc6 else []
        steps = [step for layer in below for step in (as_convolution(layer), nn.ReLU())]
        self.fc_layers = nn.Sequential(*steps)
        self.fc8 = as_convolution(head.fc8)
        self.eval().requires_grad_(False)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.fc_layers(self.backbone(self.normalised(image))[-1])
        if self.output == 'score_map':
            return self.fc8(x)
        # fc8 is linear: the average may come before it.
        scores = self.fc8(x.mean(dim=(2, 3), keepdim=True)).flatten(1)
        return scores.softmax(dim=1) if self.output == 'posterior' else scores


def as_convolution(layer: FoldedLinear) -> nn.Conv2d:
    """The convolution that a FoldedLinear is, on the same memory."""
    conv = nn.Conv2d(layer.in_channels, layer.out_features, layer.kernel_size, device='meta')
    conv.weight = nn.Parameter(layer.kernel.detach(), requires_grad=False)
    conv.bias = nn.Parameter(layer.bias.detach(), requires_grad=False)
    return conv


class Classifier(Net):
    """An ``ImageClassifier`` of a VGG with a ConvHead."""

    graph_type = ExportGraph
    outputs = {
        'scores': '(N, classes), before the soft-max; on larger images averaged over all positions',
        'posterior': '(N, classes), the soft-max of the averaged scores',
        'score_map': '(N, classes, h, w), a position every 32 pixels',
    }

    @property
    def smallest(self) -> int:
        return STRIDE * self.model.head.kernel_size

    def metadata(self) -> dict[str, str]:
        return dict(
            **super().metadata(),
            num_classes=str(self.model.head.num_classes),
            smallest_size=str(self.smallest),
        )

    @torch.inference_mode()
    def compute(self, inputs: torch.Tensor, output: str) -> torch.Tensor:
        feats = self.model.extract_feat(inputs)
        if output == 'score_map':
            return self.model.head.score_map(feats)
        scores = self.model.head(feats)
        return scores.softmax(dim=1) if output == 'posterior' else scores


def load_classifier(checkpoint: str, config: Optional[str] = None) -> Classifier:
    """Build the net of a checkpoint with its weights, without running code from the file.

    Notices on the checkpoint (no class names, other pre-processing than the config's) are printed.

    Args:
        checkpoint, config: As :func:`~vgg_mm.apis.inference.load.load_net` takes them.

    Raises:
        FileNotFoundError, ValueError: in one line, if a file is missing or lacks what is
            needed, or the net is no VGG with a ConvHead.
    """
    net = load_net(checkpoint, config, device='cpu', kernels=PLAIN)
    net.print_notices()
    model: Any = net.model
    backbone, head = getattr(model, 'backbone', None), getattr(model, 'head', None)
    if not isinstance(backbone, VGG) or not isinstance(head, ConvHead) or model.with_neck:
        raise ValueError(
            'only a vgg_mm.VGG with a vgg_mm.ConvHead is exported, not '
            f'{type(backbone).__name__} with {type(head).__name__}'
        )
    crop = tta_options(net.cfg).get('crop_size') or head.window
    model.eval().requires_grad_(False)
    return Classifier(model, tuple(net.classes), known_preprocessing(model, checkpoint), crop)


def known_preprocessing(model: Any, checkpoint: str) -> Preprocessing:
    """What a model's data preprocessor does; a ValueError, in one line, if that is not known."""
    found = preprocessing_of(model.data_preprocessor)
    if found is None:
        raise ValueError(
            f'the pre-processing of {checkpoint} is not known: its data_preprocessor is a '
            f'{type(model.data_preprocessor).__name__}'
        )
    return found
