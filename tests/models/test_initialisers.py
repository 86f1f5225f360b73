"""Statistics of the weights of the four initialisers."""

import pytest
import torch

from tests.models.test_vgg import classifier


@pytest.mark.parametrize(
    'word, conv_std, fc_std',
    [
        ('normal_var', 0.1, 0.1),
        ('normal_std', 0.01, 0.01),
        # sqrt(2 / (fan_in + fan_out)) of conv5_2 (3x3, 512 -> 512 at full width) and fc7.
        ('glorot', (2 / (2 * 128 * 9)) ** 0.5, (2 / (2 * 512)) ** 0.5),
        # As in MMPretrain: fan_out with ReLU's gain for convolutions, 0.01 for other layers.
        ('kaiming', (2 / (128 * 9)) ** 0.5, 0.01),
    ],
)
def test_spread_of_weights(word, conv_std, fc_std):
    torch.manual_seed(0)
    model = classifier(
        10,
        arch='D',
        base_channels=16,
        init_cfg=word,
        head=dict(in_channels=128, fc_channels=512, init_cfg=word),
    )
    model.init_weights()
    assert model.backbone.conv5_2.weight.std().item() == pytest.approx(conv_std, rel=0.02)
    assert model.head.fc7.weight.std().item() == pytest.approx(fc_std, rel=0.02)
    assert all((p == 0).all() for n, p in model.named_parameters() if n.endswith('bias'))


def test_norms_start_as_identity():
    model = classifier(10, arch='A', base_channels=4, norm_cfg=dict(type='BN'))
    torch.nn.init.constant_(model.backbone.bn1_1.weight, 3.0)
    model.init_weights()
    assert (model.backbone.bn1_1.weight == 1).all()
