"""FCN and LargeFOV in mmseg's training and testing, and errors of arguments and feature maps."""

import pytest
import torch
import torch.nn.functional as F

from tests.downstream import need

need('mmseg')

from mmengine.config import ConfigDict  # noqa: E402
from mmengine.registry import MODELS, DefaultScope  # noqa: E402

from tests.downstream import masks  # noqa: E402
from tests.downstream.masks import NETS, batch, scores  # noqa: E402


@pytest.mark.parametrize('name', NETS)
def test_the_loss_is_the_mean_over_labelled_pixels(nets, name):
    """It equals torch's cross-entropy on padded images of different sizes."""
    data = nets[name].data_preprocessor(batch((70, 45), (33, 90), (1, 1)), training=True)
    with torch.no_grad():
        losses = nets[name](**data, mode='loss')
    labels = torch.cat([one.gt_sem_seg.data for one in data['data_samples']])
    assert labels.shape == (3, 70, 90)
    expected = F.cross_entropy(scores(nets[name], data['inputs']), labels, ignore_index=255)
    torch.testing.assert_close(losses['decode.loss_ce'], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('name', NETS)
def test_void_labels_give_no_gradients(name):
    net = NETS[name]()
    data = net.data_preprocessor(batch((40, 33), void=[0]), training=True)
    loss, _ = net.parse_losses(net(**data, mode='loss'))
    loss.backward()
    assert loss == 0
    assert not any(p.grad.any() for p in net.parameters())


@pytest.mark.parametrize('name', NETS)
def test_every_layer_gets_gradients(name):
    net = NETS[name]().train()
    data = net.data_preprocessor(batch((64, 64), (64, 40)), training=True)
    loss, _ = net.parse_losses(net(**data, mode='loss'))
    loss.backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in net.parameters())


@pytest.mark.parametrize('name', ['FCN-8s', 'LargeFOV'])
def test_sliding_windows(name):
    """In mmseg's slide inference, a window as large as the image gives the scores of the image."""
    net = NETS[name]()
    image = torch.randn(1, 3, 64, 80)
    whole = scores(net, image)
    net.test_cfg = ConfigDict(mode='slide', crop_size=(64, 80), stride=(32, 32))
    torch.testing.assert_close(scores(net, image), whole)
    net.test_cfg = ConfigDict(mode='slide', crop_size=(37, 41), stride=(20, 20))
    assert scores(net, image).shape == whole.shape


@pytest.mark.parametrize('name', ['FCN-16s', 'LargeFOV'])
def test_padding_of_a_test_batch_is_cropped(name):
    """The data preprocessor's test_cfg pads test images; the padding is cropped from the result."""
    net = NETS[name]()
    net.data_preprocessor.test_cfg = dict(size_divisor=32)
    samples = [masks.sample(torch.zeros(61, 35, dtype=torch.long))]
    data = dict(inputs=[torch.zeros(3, 61, 35, dtype=torch.uint8)], data_samples=samples)
    (found,) = net.test_step(data)
    assert found.seg_logits.shape == found.pred_sem_seg.shape == (61, 35)


def test_results_of_a_resized_image_have_its_original_size():
    net = masks.fcn(1)
    one = masks.sample(torch.zeros(100, 140, dtype=torch.long))
    one.set_metainfo(dict(img_shape=(50, 70)))
    (found,) = net.test_step(
        dict(inputs=[torch.zeros(3, 50, 70, dtype=torch.uint8)], data_samples=[one])
    )
    assert found.pred_sem_seg.shape == (100, 140)


def test_two_classes_with_one_score():
    loss = dict(type='CrossEntropyLoss', use_sigmoid=True)
    net = masks.fcn(head=dict(num_classes=2, out_channels=1, threshold=0.4, loss_decode=loss))
    (found,) = net(torch.randn(1, 3, 40, 50), mode='predict')
    expected = (found.seg_logits.data > 0.4).float()  # mmseg returns probabilities here
    assert torch.equal(found.pred_sem_seg.data, expected)


WRONG = [
    ('FCNHead', dict(num_classes=0), 'num_classes must be a positive integer, got 0'),
    ('FCNHead', dict(in_channels=()), r'1 \(FCN-32s\), 2 \(FCN-16s\), 3 \(FCN-8s\)'),
    ('FCNHead', dict(in_channels=(0, 4)), 'in_channels must be a positive integer, got 0'),
    ('FCNHead', dict(kernel_size=6), 'kernel_size must be an odd number .*, got 6'),
    ('FCNHead', dict(fc_channels=(1, 2, 3)), 'fc_channels must be one or two widths'),
    ('FCNHead', dict(fc_channels=(4, 0)), 'fc_channels must be a positive integer, got 0'),
    ('FCNHead', dict(dropout_ratio=1.5), r'dropout_ratio must be in \[0, 1\), got 1.5'),
    ('FCNHead', dict(learned_upsampling='yes'), "one of none, skips, all, got 'yes'"),
    ('FCNHead', dict(in_index=(0, 1)), r'in_index=\[0, 1\] names 2 maps'),
    ('FCNHead', dict(norm_cfg=dict(type='BN')), "norm_cfg is of mmseg's heads with layers of an"),
    ('LargeFOVHead', dict(act_cfg=dict(type='GELU')), 'act_cfg is of .* and a score layer: leave'),
    ('LargeFOVHead', dict(kernel_size=4), 'kernel_size must be odd, got 4'),
    ('LargeFOVHead', dict(dilation=0), 'dilation must be a positive integer, got 0'),
    ('LargeFOVHead', dict(in_channels=-1), 'in_channels must be a positive integer, got -1'),
    ('LargeFOVHead', dict(dropout_ratio=-1), r'dropout_ratio must be in \[0, 1\)'),
]


@pytest.mark.parametrize('head, options, message', WRONG)
def test_wrong_arguments_are_one_clear_line(head, options, message):
    with DefaultScope.overwrite_default_scope('mmseg'), pytest.raises(ValueError, match=message):
        MODELS.build({'type': f'vgg_mm.{head}', 'num_classes': 3, **options})


@pytest.mark.parametrize(
    'net, message',
    [
        (
            lambda: masks.fcn(1, out_indices=(4,)),
            r'expects maps of \[32, 32\] channels at in_index=\[-2, -1\], but the backbone gives '
            r"\(channels, H, W\) = \[\(32, 2, 3\)\]; set the backbone's out_indices",
        ),
        (
            lambda: masks.fcn(2, out_indices=(1, 2, 3)),
            r'expects maps of \[16, 32, 32\] channels .* \[\(8, 16, 24\), ',
        ),
        (
            lambda: masks.fcn(with_last_pool=False),
            'the scores are 128x192 for an image of 64x96: the last map must have stride 32',
        ),
        (
            lambda: masks.fcn(1, with_last_pool=False),
            'the scores are 8x12 for pool4 of 4x6: the last map must have stride 32',
        ),
    ],
)
def test_wrong_feature_maps_are_one_clear_line(net, message):
    with pytest.raises(ValueError, match=message):
        scores(net(), torch.randn(1, 3, 64, 96))
