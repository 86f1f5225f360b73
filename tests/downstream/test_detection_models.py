"""VGG in detectors, compared with mmdet's own net and torchvision's classifier; its properties."""

import math

import pytest
import torch
import torch.nn as nn
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.checkpoints.source_nets import torchvision_net
from tests.downstream import need

need('mmdet')

from mmcv.ops import RoIAlign  # noqa: E402
from mmdet.models.backbones import SSDVGG as MMDetSSDVGG  # noqa: E402
from mmdet.models.data_preprocessors import DetDataPreprocessor  # noqa: E402
from mmdet.models.dense_heads import SSDHead as MMDetSSDHead  # noqa: E402
from mmdet.testing import demo_mm_inputs  # noqa: E402
from mmengine.config import Config  # noqa: E402
from mmengine.registry import MODELS, DefaultScope  # noqa: E402

import vgg_mm  # noqa: E402
from tests.checkpoints.test_from_classifier import initialise_from_classifier  # noqa: E402
from tests.downstream import boxes  # noqa: E402
from vgg_mm.checkpoints import (  # noqa: E402
    Preprocessing,
    load_by_name,
    preprocessing_of,
    weights_of,
)
from vgg_mm.checkpoints.preprocessing import STANDARDISED_RGB  # noqa: E402
from vgg_mm.engine.layer_statistics import layer_statistics, suspects  # noqa: E402
from vgg_mm.models.downstream import SSDVGG, VGGBBoxHead  # noqa: E402

CONFIGS = sorted(path.stem for path in boxes.CONFIGS.glob('*.py'))
NARROW = {
    name: boxes.NARROW_SSD
    if name.startswith('ssd300')
    else boxes.NARROW_FPN
    if 'fpn' in name
    else boxes.NARROW_FASTER_RCNN
    for name in CONFIGS
}
NARROW['ssd512_vgg16_coco'] = {
    **boxes.NARROW_SSD,
    'model.neck.out_channels': (32, 4, 8, 8, 8, 8, 8),
    'model.bbox_head.in_channels': (32, 4, 8, 8, 8, 8, 8),
}
ON_CPU = [name for name in CONFIGS if 'roipool' not in name]


def narrow_ssd(**kwargs):
    return SSDVGG(base_channels=2, fc_channels=6, **kwargs)


def halved(side, times=1):
    for _ in range(times):
        side = math.ceil(side / 2)
    return side


def test_ssd_backbone_equals_mmdets():
    """Both give the same feature maps with the same weights, for an image with odd sides."""
    theirs, ours = MMDetSSDVGG(16), SSDVGG().eval()
    theirs.eval()  # its eval() returns None
    layers = [module for module in theirs.modules() if isinstance(module, nn.Conv2d)]
    own = [module for module in ours.modules() if isinstance(module, nn.Conv2d)]
    assert [tuple(m.weight.shape) for m in own] == [tuple(m.weight.shape) for m in layers]
    torch.manual_seed(0)
    for one, other in zip(layers, own):
        nn.init.kaiming_normal_(one.weight)
        nn.init.normal_(one.bias, std=0.1)
        other.load_state_dict(one.state_dict())
    image = torch.randn(1, 3, 61, 85)
    with torch.inference_mode():
        for mine, expected in zip(ours(image), theirs(image)):
            # channels_last and minimal filtering change the order of summation.
            torch.testing.assert_close(mine, expected, rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize('side, sides', [(300, (38, 19)), (512, (64, 32))])
def test_ssd_maps_of_the_paper(side, sides):
    with torch.device('meta'):
        maps = SSDVGG()(torch.empty(1, 3, side, side))
    assert [m.shape for m in maps] == [(1, 512, *sides[:1] * 2), (1, 1024, *sides[1:] * 2)]


@given(st.integers(1, 90), st.integers(1, 90))
@settings(max_examples=10, deadline=None)
def test_ssd_maps_of_any_image(height, width):
    conv4, fc7 = narrow_ssd()(torch.rand(1, 3, height, width))
    assert conv4.shape == (1, 16, halved(height, 3), halved(width, 3))
    assert fc7.shape == (1, 6, halved(height, 4), halved(width, 4))


@pytest.mark.parametrize('arch, layer', [('A', 'conv4_2'), ('E', 'conv4_4'), (19, 'conv4_4')])
def test_ssd_on_other_nets(arch, layer):
    net = narrow_ssd(arch=arch)
    assert net.out_indices[0] == layer
    assert [m.shape[1] for m in net(torch.rand(1, 3, 40, 40))] == [16, 6]


def test_frozen_from_the_beginning():
    """Parameters are frozen before train() is called, when distributed training reads them."""
    frozen = {n for n, p in narrow_ssd(frozen_stages=2).named_parameters() if not p.requires_grad}
    assert {name.split('.')[0] for name in frozen} == {'conv1_1', 'conv1_2', 'conv2_1', 'conv2_2'}


def test_roi_head_gives_the_classifiers_fc7(tmp_path):
    """For a region that covers the whole feature map, fc7 equals torchvision's classifier."""
    net, _ = torchvision_net('vgg16')
    net.eval()
    head = VGGBBoxHead(in_channels=32, fc_channels=16, num_classes=3).eval()
    torch.save(net.state_dict(), tmp_path / 'vgg16.pth')
    weights = weights_of(load_by_name(str(tmp_path / 'vgg16.pth')))
    initialise_from_classifier(head, weights, 'vgg16.pth')
    maps = torch.randn(2, 32, 7, 7)
    whole = torch.tensor([[i, 0, 0, 7 * 16, 7 * 16] for i in range(2)], dtype=torch.float32)
    with torch.inference_mode():
        regions = RoIAlign(7, 1 / 16, sampling_ratio=1)(maps, whole)
        torch.testing.assert_close(regions, maps)
        torch.testing.assert_close(head.fc7_of(regions), net.classifier[:5](maps.flatten(1)))
        scores, deltas = head(regions)
    assert scores.shape == (2, 4) and deltas.shape == (2, 12)
    torch.testing.assert_close(scores, head.fc_cls(head.fc7_of(maps)))


def test_roi_head_without_regions_and_with_dropout():
    head = VGGBBoxHead(in_channels=4, roi_feat_size=(2, 3), fc_channels=(500, 400), num_classes=1)
    assert [o.shape for o in head(torch.empty(0, 4, 2, 3))] == [(0, 2), (0, 4)]
    nn.init.ones_(head.fc7.bias)
    nn.init.zeros_(head.fc7.weight)
    x = torch.rand(50, 4, 2, 3)
    dropped = (head.train().fc7_of(x) == 0).float().mean()
    assert 0.45 < dropped < 0.55 and torch.equal(head.eval().fc7_of(x), torch.ones(50, 400))


WRONG_ARGUMENTS = [
    (VGGBBoxHead, dict(fc_channels=0), 'fc_channels must be a positive integer, got 0'),
    (VGGBBoxHead, dict(fc_channels=(1, 2, 3)), 'one or two numbers each'),
    (VGGBBoxHead, dict(roi_feat_size=0), 'roi_feat_size must be a positive integer'),
    (VGGBBoxHead, dict(dropout=1.5), r'dropout must be in \[0, 1\), got 1.5'),
    (VGGBBoxHead, dict(with_avg_pool=True), 'use mmdet.BBoxHead'),
    (SSDVGG, dict(fc_channels='wide'), "fc_channels must be a positive integer, got 'wide'"),
    (SSDVGG, dict(ceil_mode=False), 'ceil_mode cannot be given'),
    (SSDVGG, dict(arch='F'), "unknown arch 'F'; choose one of A"),
    (SSDVGG, dict(base_channels=0), 'base_channels must be a positive integer'),
]


@pytest.mark.parametrize('kind, arguments, message', WRONG_ARGUMENTS, ids=str)
def test_wrong_arguments(kind, arguments, message):
    with pytest.raises(ValueError, match=message) as error:
        kind(**arguments)
    assert '\n' not in str(error.value)


def test_regions_of_another_size():
    head = VGGBBoxHead(in_channels=4, fc_channels=8)
    with pytest.raises(ValueError, match=r'expects features of regions \(N, 4, 7, 7\), got \(2, 4'):
        head(torch.rand(2, 4, 6, 6))


@pytest.mark.parametrize('name', CONFIGS)
def test_every_config_builds_at_its_full_width(name):
    cfg = Config.fromfile(boxes.CONFIGS / f'{name}.py')
    with DefaultScope.overwrite_default_scope('mmdet'), torch.device('meta'):
        model = MODELS.build(cfg.model)
    shapes = {key: tuple(p.shape) for key, p in model.state_dict().items()}
    width = cfg.model.backbone.get('base_channels', 64)
    assert shapes['backbone.conv5_3.weight'] == (8 * width, 8 * width, 3, 3)
    if 'ssd' in name:
        assert shapes['backbone.fc6.weight'] == (cfg.model.backbone.fc_channels, 8 * width, 3, 3)
    else:
        channels = cfg.model.neck.out_channels if 'neck' in cfg.model else 8 * width
        fc = cfg.model.roi_head.bbox_head.fc_channels
        assert shapes['roi_head.bbox_head.fc6.weight'] == (fc, channels * 49)
    if name.endswith(('coco', 'voc0712')):
        with DefaultScope.overwrite_default_scope('mmdet'):
            found = preprocessing_of(MODELS.build(cfg.model.data_preprocessor))
        assert found == STANDARDISED_RGB  # torchvision's
        assert cfg.default_hooks.classifier_init.checkpoint == 'torchvision://vgg16'


def test_the_metafile_names_every_config():
    content = yaml.safe_load((boxes.CONFIGS / 'metafile.yml').read_text())
    models = {model['Name']: model for model in content['Models']}
    assert sorted(models) == CONFIGS
    collections = {collection['Name'] for collection in content['Collections']}
    for name, model in models.items():
        assert model['Config'] == f'configs/downstream/detection/{name}.py'
        assert model['In Collection'] in collections
        cfg = Config.fromfile(boxes.CONFIGS / f'{name}.py')
        with DefaultScope.overwrite_default_scope('mmdet'), torch.device('meta'):
            parameters = sum(p.numel() for p in MODELS.build(cfg.model).parameters())
        assert model['Metadata']['Parameters'] == parameters


def shapes_for(name, sizes):
    """Shapes of the images: all the same for SSD, else of these sizes."""
    side = 512 if '512' in name else 300
    return [(3, side, side) if name.startswith('ssd') else (3, *size) for size in sizes]


@pytest.mark.parametrize('name', ON_CPU)
def test_the_three_modes(name):
    """loss, predict and tensor, on images of odd sizes, tiny images and images without objects."""
    torch.manual_seed(0)
    model = boxes.detector(name, NARROW[name])
    head = model.roi_head.bbox_head if hasattr(model, 'roi_head') else model.bbox_head
    large = (333, 517) if name == 'faster_rcnn_vgg16_animals' else (133, 197)
    for sizes, objects in (([large, (224, 96)], [3, 0]), ([(17, 33), (40, 40)], [0, 0])):
        batch = demo_mm_inputs(2, shapes_for(name, sizes), objects, head.num_classes)
        data = model.data_preprocessor(batch, training=True)
        loss, parts = model.train().parse_losses(model(**data, mode='loss'))
        loss.backward()
        assert math.isfinite(loss) and {'loss_cls', 'loss_bbox'} <= parts.keys()
        with torch.no_grad():
            found = model.eval()(**data, mode='predict')
            assert isinstance(model(**data, mode='tensor'), tuple)
        for sample, (_, height, width) in zip(found, shapes_for(name, sizes)):
            predicted = sample.pred_instances
            assert sample.ori_shape == (height, width) and len(predicted) <= 200
            assert not predicted.bboxes.isnan().any()
            assert ((predicted.scores >= 0) & (predicted.scores <= 1)).all()


def test_all_trained_layers_get_gradients():
    model = boxes.detector('faster_rcnn_vgg16_coco', NARROW['faster_rcnn_vgg16_coco']).train()
    batch = demo_mm_inputs(1, [(3, 128, 128)], [2], 80)
    model.parse_losses(model(**model.data_preprocessor(batch, True), mode='loss'))[0].backward()
    for name, parameter in model.named_parameters():
        frozen = name.startswith(('backbone.conv1', 'backbone.conv2'))
        assert (parameter.grad is None) == frozen, name


@pytest.mark.parametrize('name', ['faster_rcnn_vgg16_coco', 'faster_rcnn_vgg16_fpn_coco'])
def test_regions_do_not_depend_on_the_memory_format(name):
    """RoIAlign needs maps in the default memory format, whichever format the convolutions use."""
    plain = {'model.backbone.conv_cfg': dict(type='Conv2d')}
    batch = demo_mm_inputs(1, [(3, 128, 160)], [2], 80)
    found = []
    for options in (NARROW[name], {**NARROW[name], **plain}):
        torch.manual_seed(0)
        model = boxes.detector(name, options).eval()
        data = model.data_preprocessor(batch)
        found.append(model.roi_head.bbox_roi_extractor(
            model.extract_feat(data['inputs'])[: len(model.roi_head.bbox_roi_extractor.roi_layers)],
            torch.tensor([[0.0, 10, 20, 100, 90], [0.0, 64, 0, 159, 127]]),
        ))  # fmt: skip
    assert found[0].std() > 0
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-4)


def test_mmdets_own_ssd_head_cannot_predict():
    """When this test fails, vgg_mm.SSDHead is no longer needed."""
    head = boxes.detector('ssd300_vgg16_animals', NARROW['ssd300_vgg16_animals']).bbox_head
    assert isinstance(head, MMDetSSDHead) and head.loss_cls is None
    options = boxes.config('ssd300_vgg16_animals', NARROW['ssd300_vgg16_animals']).model.bbox_head
    with DefaultScope.overwrite_default_scope('mmdet'):
        theirs = MODELS.build(dict(options, type='SSDHead'))
    assert theirs.state_dict().keys() == head.state_dict().keys()
    assert not hasattr(theirs, 'loss_cls')


def test_preprocessing_of_a_detector():
    numbers = dict(mean=[123.68, 116.779, 103.939], std=[1.0, 1.0, 1.0])
    preprocessor = DetDataPreprocessor(**numbers)
    found = preprocessing_of(preprocessor)
    assert found == Preprocessing(False, (123.68, 116.779, 103.939), (1.0,) * 3)
    assert preprocessing_of(DetDataPreprocessor()) == Preprocessing(False, (0.0,) * 3, (1.0,) * 3)
    other = Preprocessing(True, (1.0, 2.0, 3.0), (4.0, 5.0, 6.0))
    other.put_into(preprocessor)
    assert preprocessing_of(preprocessor) == other
    pixel = torch.tensor([9.0, 12.0, 5.0]).view(3, 1, 1)  # B, G, R
    out = preprocessor(dict(inputs=[pixel], data_samples=None))['inputs'].flatten()
    assert out.tolist() == [(5 - 1) / 4, (12 - 2) / 5, (9 - 3) / 6]


def test_layer_statistics_name_the_broken_layer():
    model = boxes.detector('faster_rcnn_vgg16_animals', NARROW['faster_rcnn_vgg16_animals'])
    batch = demo_mm_inputs(2, [(3, 96, 128)] * 2, [1, 2], 2)
    before = {name: p.clone() for name, p in model.state_dict().items()}
    _, statistics = layer_statistics(model, batch)
    assert {'conv1_1', 'rpn_cls', 'fc6', 'fc7', 'fc_reg'} <= {s.layer for s in statistics}
    assert all(torch.equal(before[name], p) for name, p in model.state_dict().items())
    nn.init.constant_(model.roi_head.bbox_head.fc7.weight, math.nan)
    assert suspects(*layer_statistics(model, batch)) == [
        'the weights are not finite from fc7 on, since an earlier step'
    ]


def test_names_resolve_from_every_scope():
    for scope in ('mmdet', 'mmpretrain', 'mmengine'):
        with DefaultScope.overwrite_default_scope(scope):
            assert MODELS.get('vgg_mm.VGGBBoxHead') is VGGBBoxHead
    assert vgg_mm.registry.MODELS.get('VGGBBoxHead') is VGGBBoxHead
