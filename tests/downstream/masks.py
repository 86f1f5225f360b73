"""Small segmentors, and data for them."""

import cv2
import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import PixelData

from tests.conftest import ROOT

CONFIGS = ROOT / 'configs/downstream/segmentation'

#: Options for narrow nets, without a classifier, whose weights have full width.
NARROW = {
    'model.backbone.base_channels': 4,
    'model.decode_head.fc_channels': 16,
    'default_hooks.classifier_init.checkpoint': None,
}
NARROW_CHANNELS = {
    'fcn32s': 32,
    'fcn16s': (32, 32),
    'fcn8s': (16, 32, 32),
    'deeplab_largefov': 32,
}


def narrow(name):
    """Options for a narrow net of the config with that name (fcn32s_vgg16_...)."""
    return {
        **NARROW,
        'model.decode_head.in_channels': NARROW_CHANNELS[name.rpartition('_vgg16')[0]],
    }


def segmentor(head, seed=0, **backbone):
    """A segmentor with random weights, including the score layers."""
    loss = dict(type='CrossEntropyLoss', avg_non_ignore=True)
    head = {'num_classes': 5, 'loss_decode': loss, **head}
    model = dict(
        type='EncoderDecoder',
        data_preprocessor=dict(type='SegDataPreProcessor', size_divisor=1),
        backbone=dict(type='vgg_mm.VGG', arch='D', base_channels=4, **backbone),
        decode_head=head,
        train_cfg=dict(),
        test_cfg=dict(mode='whole'),
    )
    with DefaultScope.overwrite_default_scope('mmseg'):
        net = MODELS.build(ConfigDict(model))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in net.named_parameters():
            if 'upscore' not in name:
                fan = tensor[0].numel() if tensor.ndim > 1 else 100
                tensor.normal_(0, (2 / fan) ** 0.5, generator=generator)
    return net.eval()


def fcn(skips=0, **kwargs):
    """FCN-32s, FCN-16s or FCN-8s for 0, 1 or 2 skips, at a sixteenth of the width."""
    head = dict(type='vgg_mm.FCNHead', in_channels=(16, 32, 32)[-1 - skips :], fc_channels=16)
    backbone = dict(ceil_mode=True, out_indices=(2, 3, 4)[-1 - skips :])
    return segmentor({**head, **kwargs.pop('head', {})}, **{**backbone, **kwargs})


def largefov(**kwargs):
    head = dict(type='vgg_mm.LargeFOVHead', in_channels=32, fc_channels=8)
    form = dict(strides=(2, 2, 2, 1, 1), dilations=(1, 1, 1, 1, 2), pool_size=3)
    return segmentor({**head, **kwargs}, **form)


def sample(labels):
    """A data sample with a mask of class indices, (H, W)."""
    from mmseg.structures import SegDataSample

    labels = torch.as_tensor(labels)
    one = SegDataSample(metainfo=dict(ori_shape=labels.shape, img_shape=tuple(labels.shape)))
    one.gt_sem_seg = PixelData(data=labels[None].long())
    return one


def write_streets(folder, train=4, val=2, size=(61, 85)):
    """Write images in CamVid's layout: classes 0 to 3 in coloured quarters, some pixels void."""
    rng = np.random.default_rng(0)
    height, width = size
    for split, count in (('train', train), ('val', val)):
        for part in ('img_dir', 'ann_dir'):
            (folder / part / split).mkdir(parents=True)
        for index in range(count):
            y, x = np.mgrid[:height, :width] + rng.integers(-9, 10, (2, 1, 1))
            mask = (2 * (y > height / 2) + (x > width / 2)).astype(np.uint8)
            image = np.stack([60 * mask + 30, 200 - 40 * mask, 90 + 50 * (mask % 2)], -1)
            image = np.clip(image + rng.normal(0, 9, image.shape), 0, 255).astype(np.uint8)
            mask[rng.random(mask.shape) < 0.05] = 11
            cv2.imwrite(str(folder / 'img_dir' / split / f'{index}.png'), image)
            cv2.imwrite(str(folder / 'ann_dir' / split / f'{index}.png'), mask)
    return folder


def scores(net, image):
    """The scores of the net for images that have already been pre-processed."""
    with torch.inference_mode():
        results = net(image, mode='predict')
    return torch.stack([one.seg_logits.data for one in results])


def batch(*sizes, void=()):
    """A data loader's batch of images of these sizes; those in ``void`` have only void labels."""
    generator = torch.Generator().manual_seed(0)
    images, samples = [], []
    for index, size in enumerate(sizes):
        images.append(torch.randint(0, 256, (3, *size), generator=generator, dtype=torch.uint8))
        labels = torch.randint(0, 5, size, generator=generator)
        labels[::3] = 255
        samples.append(sample(torch.full(size, 255) if index in void else labels))
    return dict(inputs=images, data_samples=samples)


#: Name -> function that builds the narrow net with random weights.
NETS = {
    'FCN-32s': fcn,
    'FCN-16s': lambda **kwargs: fcn(1, **kwargs),
    'FCN-8s': lambda **kwargs: fcn(2, **kwargs),
    'LargeFOV': largefov,
}
