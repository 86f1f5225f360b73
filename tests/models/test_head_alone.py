"""A head with only fc8 on the averaged feature map; class weights of the loss."""

import pytest
import torch
import torch.nn.functional as F
from mmpretrain.structures import DataSample

from vgg_mm.models import ConvHead


def test_global_average_pooling_and_a_linear_layer():
    torch.manual_seed(0)
    head = ConvHead(5, in_channels=8, fc_channels=(), kernel_size=1).eval()
    assert {name for name, _ in head.named_parameters()} == {'fc8.weight', 'fc8.bias'}
    maps = torch.randn(3, 8, 4, 6)
    expected = F.linear(maps.mean((2, 3)), head.fc8.weight, head.fc8.bias)
    torch.testing.assert_close(head((maps,)), expected)
    torch.testing.assert_close(head.pre_logits((maps,)), maps.mean((2, 3)))
    score_map = F.conv2d(maps, head.fc8.weight[:, :, None, None], head.fc8.bias)
    torch.testing.assert_close(head.score_map((maps,)), score_map)
    with pytest.raises(ValueError, match='fc8 alone has kernel_size=1, got 7'):
        ConvHead(5, fc_channels=())
    with pytest.raises(ValueError, match=r'one or two widths, or \(\) for fc8 alone'):
        ConvHead(5, fc_channels=(1, 2, 3))


def test_class_weights_without_the_type_of_the_loss():
    weights = [0.5, 2.0]
    head = ConvHead(
        2, in_channels=4, fc_channels=(), kernel_size=1, loss=dict(class_weight=weights)
    )
    maps = torch.randn(6, 4, 1, 1)
    labels = [0, 1, 1, 0, 0, 1]
    samples = [DataSample().set_gt_label(label) for label in labels]
    losses = F.cross_entropy(head((maps,)), torch.tensor(labels), reduction='none')
    expected = (losses * torch.tensor(weights)[labels]).mean()
    torch.testing.assert_close(head.loss((maps,), samples)['loss'], expected)
    with pytest.raises(ValueError, match='loss.class_weight has 2 numbers for 3 classes'):
        ConvHead(3, loss=dict(class_weight=weights))
