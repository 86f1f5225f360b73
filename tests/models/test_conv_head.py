"""ConvHead: both forms of the fully-connected layers, maps of any size, MMPretrain's interface."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from mmpretrain.models import CrossEntropyLoss
from mmpretrain.structures import DataSample

from tests.models.test_vgg import classifier
from vgg_mm.models import ConvHead


def head(num_classes=5, in_channels=6, fc_channels=(11, 9), kernel_size=3, **kwargs):
    torch.manual_seed(0)
    module = ConvHead(num_classes, in_channels, fc_channels, kernel_size, **kwargs)
    module.init_weights()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return module.eval()


def plain_linear(module, window):
    """The classifier as plain matrix products, on windows of shape (N, C, k, k)."""
    x = F.relu(window.flatten(1) @ module.fc6.weight.T + module.fc6.bias)
    x = F.relu(x @ module.fc7.weight.T + module.fc7.bias)
    return x @ module.fc8.weight.T + module.fc8.bias


def sliding_window(module, x):
    k = module.kernel_size
    height, width = x.shape[2] - k + 1, x.shape[3] - k + 1
    scores = x.new_zeros(len(x), module.num_classes, height, width)
    for i in range(height):
        for j in range(width):
            scores[:, :, i, j] = plain_linear(module, x[:, :, i : i + k, j : j + k])
    return scores


@settings(max_examples=30, deadline=None)
@given(k=st.integers(1, 4), dh=st.integers(0, 5), dw=st.integers(0, 5), n=st.integers(1, 3))
def test_dense_equals_a_plain_sliding_window(k, dh, dw, n):
    module = head(kernel_size=k)
    x = torch.randn(n, 6, k + dh, k + dw)
    expected = sliding_window(module, x)
    found = module.score_map((x,))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(module((x,)), expected.mean((2, 3)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
def test_full_size_forms_agree(memory_format):
    """At VGG's sizes: a matrix product on a 7x7 map, and all windows of a larger map."""
    module = head(num_classes=20, in_channels=512, fc_channels=512, kernel_size=7)
    with torch.no_grad():
        module.fc6.weight.mul_(0.05)
    module = module.to(memory_format=memory_format)
    x = torch.randn(2, 512, 9, 8).to(memory_format=memory_format)
    with torch.no_grad():
        expected = sliding_window(module, x)
        found = module.score_map((x,))
        one = module((x[:, :, :7, :7],))
    scale = expected.abs().max()
    assert (found - expected).abs().max() <= 1e-4 * scale
    assert (one - expected[:, :, 0, 0]).abs().max() <= 1e-4 * scale


def test_checkpoints_of_both_forms_load():
    module, x = head(), torch.randn(2, 6, 4, 5)
    fc_form = module.state_dict()
    assert fc_form['fc6.weight'].shape == (11, 6 * 9)
    conv_form = dict(fc_form)
    conv_form['fc6.weight'] = fc_form['fc6.weight'].reshape(11, 6, 3, 3)
    conv_form['fc7.weight'] = fc_form['fc7.weight'].reshape(9, 11, 1, 1)
    conv_form['fc8.weight'] = fc_form['fc8.weight'].reshape(5, 9, 1, 1)
    for state in (fc_form, conv_form):
        other = ConvHead(5, 6, (11, 9), 3).eval()
        other.load_state_dict(state)
        torch.testing.assert_close(other((x,)), module((x,)))
    # The conv form gives the result of a plain convolution.
    conv = F.conv2d(x, conv_form['fc6.weight'], module.fc6.bias)
    torch.testing.assert_close(module.fc6(x), conv)


def test_one_stored_copy_of_each_weight():
    module = head()
    names = dict(module.named_parameters())
    assert set(names) == {f'fc{i}.{kind}' for i in (6, 7, 8) for kind in ('weight', 'bias')}
    assert module.fc6.kernel.data_ptr() == module.fc6.weight.data_ptr()
    assert not dict(module.named_buffers())


def test_dropout_on_fc6_and_fc7_only_in_training():
    module = head(fc_channels=2000)
    x = torch.randn(1, 6, 3, 3)
    assert torch.equal(module((x,)), module((x,)))
    module.train()
    features = module._fc7_map((x,))
    zeros = (features == 0).float().mean()
    # Half of fc7 is dropped, and about half of the rest is negative before the ReLU.
    assert 0.6 < zeros < 0.9
    assert not torch.equal(module((x,)), module((x,)))


def test_in_image_classifier():
    model = classifier(
        4, arch='A', base_channels=4, head=dict(in_channels=32, fc_channels=16, kernel_size=2)
    )
    model.init_weights()
    x = torch.randn(3, 3, 64, 64)
    samples = [DataSample().set_gt_label(i) for i in range(3)]
    loss = model(x, samples, mode='loss')['loss']
    expected = F.cross_entropy(model.eval()(x), torch.arange(3))
    assert loss.isfinite() and abs(loss - expected) < 3
    loss.backward()
    predictions = model.predict(torch.randn(2, 3, 96, 70))
    for sample in predictions:
        assert sample.pred_score.shape == (4,)
        torch.testing.assert_close(sample.pred_score.sum(), torch.tensor(1.0))
    assert model.extract_feat(x, stage='pre_logits').shape == (3, 16)
    assert model.extract_feat(x)[0].shape == (3, 32, 2, 2)


def test_a_loss_that_is_built_already():
    options = dict(in_channels=6, fc_channels=10, kernel_size=1)
    head = ConvHead(5, loss=CrossEntropyLoss(class_weight=[0.0] * 5), **options)
    assert head.loss((torch.randn(2, 6, 1, 1),), [DataSample().set_gt_label(0)] * 2)['loss'] == 0


def test_pre_logits_average_fc7_over_positions():
    module, x = head(), torch.randn(2, 6, 5, 4)
    windows = [
        module.pre_logits((x[:, :, i : i + 3, j : j + 3],)) for i in range(3) for j in range(2)
    ]
    torch.testing.assert_close(module.pre_logits((x,)), torch.stack(windows).mean(0))


@pytest.mark.parametrize(
    'size, message',
    [
        ((2, 5), r'the feature map is 2x5, smaller than its kernel of 3x3; .* is 96x96'),
        ((3, 2), r'3x2'),
    ],
)
def test_a_small_map_is_one_clear_line(size, message):
    with pytest.raises(ValueError, match=message):
        head()((torch.randn(1, 6, *size),))


def test_smallest_image_of_the_papers_net_is_224():
    with torch.device('meta'):
        model = classifier(arch='D')
        with pytest.raises(ValueError, match='6x7.*224x224'):
            model(torch.randn(1, 3, 223, 224))
        assert model(torch.randn(1, 3, 224, 300)).shape == (1, 1000)


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(num_classes=0), 'num_classes must be a positive integer, got 0'),
        (dict(kernel_size=0), 'kernel_size must be a positive integer'),
        (dict(dropout=1.5), r'dropout must be in \[0, 1\), got 1.5'),
        (dict(fc_channels=(1, 2, 3)), 'one or two widths'),
        (dict(init_cfg='glorott'), "unknown init_cfg 'glorott'"),
    ],
)
def test_wrong_arguments_are_one_clear_line(options, message):
    with pytest.raises(ValueError, match=message):
        head(**options)


def test_wrong_channels_are_one_clear_line():
    with pytest.raises(ValueError, match='expects a map of 6 channels'):
        head()((torch.randn(1, 7, 3, 3),))
