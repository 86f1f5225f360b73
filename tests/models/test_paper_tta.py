"""Dense evaluation against an independent computation."""

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmpretrain.structures import DataSample

from tests.models.test_conv_head import sliding_window
from tests.models.test_vgg import classifier
from vgg_mm.datasets import TestScales
from vgg_mm.models import PaperTTA

MEAN = (123.68, 116.779, 103.939)


@pytest.fixture(scope='module')
def net():
    torch.manual_seed(0)
    model = classifier(
        6, arch='A', base_channels=4, head=dict(in_channels=32, fc_channels=16, kernel_size=2)
    )
    model.init_weights()
    model.data_preprocessor.mean = torch.tensor(MEAN).view(-1, 1, 1)
    model.data_preprocessor.std = torch.ones(3, 1, 1)
    model.data_preprocessor._enable_normalize = model.data_preprocessor.to_rgb = True
    with torch.no_grad():
        model.head.fc8.weight.mul_(0.1)
    return model.eval()


def views(seed, *sizes):
    rng = np.random.default_rng(seed)
    return [torch.from_numpy(rng.integers(0, 256, (3, *s), dtype=np.uint8)) for s in sizes]


def batch(*images):
    return pseudo_collate([dict(inputs=i, data_samples=DataSample()) for i in images])


def independent_posterior(net, images, flip=True):
    """Section 3.2, one position at a time, with numpy's pre-processing."""
    per_scale = []
    for image in images:
        per_flip = []
        for pixels in (image.numpy(), image.numpy()[:, :, ::-1]) if flip else (image.numpy(),):
            rgb = pixels[::-1].astype(np.float32) - np.array(MEAN, np.float32)[:, None, None]
            with torch.no_grad():
                scores = sliding_window(
                    net.head, net.backbone(torch.from_numpy(rgb.copy())[None])[0]
                )
            mean = scores[0].flatten(1).mean(1).double().numpy()
            per_flip.append(np.exp(mean - mean.max()) / np.exp(mean - mean.max()).sum())
        per_scale.append(np.mean(per_flip, axis=0))
    return np.mean(per_scale, axis=0)


@pytest.mark.parametrize('flip', [True, False])
def test_equals_an_independent_computation(net, flip):
    tta = PaperTTA(net, flip=flip)
    images = [
        views(0, (64, 70), (96, 105)),
        views(1, (64, 64), (96, 96)),
        views(2, (80, 64), (120, 96)),
    ]
    samples = tta.test_step(batch(*images))
    for sample, image in zip(samples, images, strict=True):
        expected = independent_posterior(net, image, flip)
        np.testing.assert_allclose(sample.pred_score.detach().numpy(), expected, atol=1e-5)
        assert sample.pred_label.item() == expected.argmax()


def test_batching_and_memory_bound_change_nothing(net):
    images = [views(i, (64, 70), (96, 105)) for i in range(5)]
    together = PaperTTA(net).test_step(batch(*images))
    bounded = PaperTTA(net, max_pixels=1).test_step(batch(*images))
    for i, image in enumerate(images):
        (alone,) = PaperTTA(net).test_step(batch(image))
        torch.testing.assert_close(together[i].pred_score, alone.pred_score)
        torch.testing.assert_close(bounded[i].pred_score, alone.pred_score)


def test_mirrored_image_has_the_same_posterior(net):
    image = views(3, (64, 90))
    (one,) = PaperTTA(net).test_step(batch(image))
    (mirrored,) = PaperTTA(net).test_step(batch([image[0].flip(-1)]))
    torch.testing.assert_close(one.pred_score, mirrored.pred_score)


def test_scales_rescale_the_whole_image(photo):
    images = TestScales((64, 96)).transform(dict(img=photo))['img']
    assert [i.shape for i in images] == [(64, 85, 3), (96, 128, 3)]


def test_wrong_arguments_are_one_clear_line(net):
    with pytest.raises(ValueError, match="unknown protocol 'densely'; choose one of dense"):
        PaperTTA(net, protocol='densely')
    with pytest.raises(ValueError, match='needs a head with a score map'):
        PaperTTA(
            dict(type='mmpretrain.ImageClassifier', backbone=dict(type='vgg_mm.VGG', arch='A'))
        )
    for scales in ((), (0,), (64.5,)):
        with pytest.raises(ValueError, match='scales must be positive integers'):
            TestScales(scales)
