"""The protocols on real photos, compared with torchvision's VGG-16 with the same weights."""

import numpy as np
import pytest
import torch
import torchvision
from mmcv.transforms import Compose
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from mmpretrain.models import ClsDataPreprocessor
from PIL import Image

from tests.models.test_paper_tta import MEAN, multi_crop_places
from tests.models.test_vgg import classifier, copy_in_order
from vgg_mm.apis.image_folders import find_images
from vgg_mm.models import PaperTTA

ALL = ('dense', 'multi_crop', 'dense+multi_crop')


def as_input(rgb):
    """uint8 RGB image of PIL (H, W, 3) -> mean-subtracted tensor (1, 3, H, W)."""
    pixels = np.asarray(rgb, np.float32) - np.array(MEAN, np.float32)
    return torch.from_numpy(pixels).permute(2, 0, 1)[None]


@pytest.fixture(scope='module')
def nets():
    """torchvision's VGG-16, scaled so that posteriors differ, and ours with the same weights."""
    torch.manual_seed(0)
    theirs = torchvision.models.vgg16().eval()
    with torch.no_grad():
        logits = theirs(as_input(np.random.default_rng(0).integers(0, 256, (224, 224, 3))))
        theirs.classifier[-1].weight.mul_(3 / logits.std())
    ours = classifier(arch='D').eval()
    copy_in_order(theirs, ours)
    ours.data_preprocessor = ClsDataPreprocessor(mean=MEAN, std=(1, 1, 1), to_rgb=True)
    return theirs, ours


@pytest.fixture
def photos(real_data):
    """A photo of ImageNet at two scales and one of clothes; at 224 the grid has a single column."""
    paths = [find_images(str(real_data / name))[7] for name in ('imagenet_sample', 'clothing/val')]
    return [(paths[0], (224, 232)), (paths[1], (224,))]


def views_of(path, scales):
    steps = [
        dict(type='vgg_mm.LoadImage'),
        dict(type='vgg_mm.TestScales', scales=scales),
        dict(type='mmpretrain.PackInputs'),
    ]
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return Compose(steps)(dict(img_path=path, gt_label=0))


def rescaled_photos(item):
    """The pipeline's views as PIL images, each with its mirror image."""
    for view in item['inputs']:
        image = Image.fromarray(view.numpy()[::-1].transpose(1, 2, 0).copy())
        yield [image, image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]


def crops_one_by_one(net, image):
    """The mean over the 25 crops, cut by PIL; crops at the same place all count."""
    places = multi_crop_places(image.height, image.width, side=224, grid=5)
    posteriors = {}
    for top, left in set(places):
        crop = image.crop((left, top, left + 224, top + 224))
        posteriors[top, left] = net(as_input(crop))[0].double().softmax(0)
    return torch.stack([posteriors[place] for place in places]).mean(0)


def sliding_window(net, image):
    """The soft-max of the classifier's mean score over all 7x7 windows of the features."""
    features = net.features(as_input(image))
    height, width = features.shape[2] - 6, features.shape[3] - 6
    scores = [
        net.classifier(features[:, :, i : i + 7, j : j + 7].flatten(1))[0]
        for i in range(height)
        for j in range(width)
    ]
    return torch.stack(scores).double().mean(0).softmax(0)


@pytest.mark.slow
def test_equal_torchvision_on_photos(nets, photos):
    theirs, ours = nets
    tta = PaperTTA(ours, protocol=ALL)
    with torch.no_grad():
        for path, scales in photos:
            item = views_of(path, scales)
            (sample,) = tta.test_step(pseudo_collate([item]))
            expected = {}
            for name, evaluate in (('dense', sliding_window), ('multi_crop', crops_one_by_one)):
                per_scale = [
                    torch.stack([evaluate(theirs, image) for image in flips]).mean(0)
                    for flips in rescaled_photos(item)
                ]
                assert len(per_scale) == len(scales)
                expected[name] = torch.stack(per_scale).mean(0)
            expected['dense+multi_crop'] = (expected['dense'] + expected['multi_crop']) / 2
            assert expected['multi_crop'].max() > 0.02
            for name in ALL:
                difference = (sample.pred_scores[name].double() - expected[name]).abs().max()
                assert difference <= 1e-5, (path, name)


def test_mirroring_and_order_change_nothing(nets, photos):
    """Posteriors do not depend on the order of the photos or on mirroring."""
    _, ours = nets
    tta = PaperTTA(ours, protocol='dense')
    items = [views_of(path, (224,)) for path, _ in photos]
    mirrored = [dict(item, inputs=[v.flip(-1) for v in item['inputs']]) for item in items]
    with torch.no_grad():
        found = [
            [s.pred_score for s in tta.test_step(pseudo_collate(batch))]
            for batch in (items, items[::-1], mirrored)
        ]
    for one, two, three in zip(found[0], found[1][::-1], found[2], strict=True):
        torch.testing.assert_close(one, two)
        torch.testing.assert_close(one, three)
