"""A classifier as one graph of standard layers."""

from typing import Any

import torch
import torch.nn as nn

from vgg_mm.models.folded_linear import FoldedLinear

from .source import Classifier

#: What the graph computes, with its shape.
OUTPUTS = {
    'scores': '(N, classes), before the soft-max; on larger images averaged over all positions',
    'posterior': '(N, classes), the soft-max of the averaged scores',
    'score_map': '(N, classes, h, w), a position every 32 pixels',
}

#: Name of the graph's input.
IMAGE = 'image'


class NormalisingGraph(nn.Module):
    """What exported graphs have in common: the pre-processing, of images 0 to 255 or done before.

    Args:
        net: A classifier, or what else has ``preprocessing`` and ``in_channels``.
        output: What is computed.
        preprocessing: Whether mean and standard deviation are part of the graph.
    """

    mean: torch.Tensor
    std: torch.Tensor

    #: Height and width of ``--dynamic`` are multiples of this.
    multiple = 1

    def __init__(self, net: Any, output: str, preprocessing: bool):
        super().__init__()
        self.output = output
        self.preprocessing = preprocessing
        self.in_channels = net.in_channels
        for name in ('mean', 'std'):
            values = torch.tensor(getattr(net.preprocessing, name))
            self.register_buffer(name, values.view(-1, 1, 1))

    def normalised(self, image: torch.Tensor) -> torch.Tensor:
        return (image - self.mean) / self.std if self.preprocessing else image


class ExportGraph(NormalisingGraph):
    """A classifier with its pre-processing, for images of any size (Section 3.2).

    Input: (N, channels, H, W) float32, values 0 to 255, channels in the classifier's order; without
    the pre-processing, already normalised. Output: one of :data:`OUTPUTS`.

    fc6, fc7 and fc8 are plain convolutions here, which share the classifier's weights: the sliding
    windows of ``FoldedLinear`` would become a chain of slices whose number depends on the image's
    size, which no exported graph can hold. The mean is subtracted at the input, not folded into
    conv1_1's bias: at the border conv1_1 sees padding, which is zero after the subtraction.

    Args:
        classifier: Its model is not copied.
        output: A key of :data:`OUTPUTS`.
        preprocessing: Whether mean and standard deviation are part of the graph.
    """

    def __init__(self, classifier: Classifier, output: str, preprocessing: bool):
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
