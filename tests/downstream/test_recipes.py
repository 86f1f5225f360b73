"""Training settings of the configs: learning rates, weight decay, anchors, schedules."""

import pytest
import torch
from mmengine.structures import InstanceData

from tests.downstream import need

need('mmdet')
need('mmseg')

from mmengine.config import Config  # noqa: E402
from mmengine.optim import build_optim_wrapper  # noqa: E402
from mmengine.registry import MODELS, TASK_UTILS, DefaultScope  # noqa: E402

from tests.downstream import boxes, masks  # noqa: E402
from vgg_mm.apis.tta import use_test_time_augmentation  # noqa: E402

COCO = ['faster_rcnn_vgg16_coco', 'faster_rcnn_vgg16_fpn_coco', 'ssd300_vgg16_coco']
VOC_BOXES = ['faster_rcnn_vgg16_voc0712', 'ssd300_vgg16_voc0712']
VOC = sorted(path.stem for path in masks.CONFIGS.glob('*_voc12aug.py'))
ALL = sorted([*boxes.CONFIGS.glob('*.py'), *masks.CONFIGS.glob('*.py')])


def load(name):
    folder = masks.CONFIGS if name in VOC else boxes.CONFIGS
    return Config.fromfile(folder / f'{name}.py')


@pytest.mark.parametrize('name', [*COCO, *VOC_BOXES, *VOC])
def test_biases_have_twice_the_learning_rate_and_no_decay(name):
    cfg = load(name)
    with DefaultScope.overwrite_default_scope(cfg.default_scope), torch.device('meta'):
        model = MODELS.build(cfg.model)
    wrapper = build_optim_wrapper(model, dict(cfg.optim_wrapper))
    groups = {id(g['params'][0]): (g['lr'], g['weight_decay']) for g in wrapper.param_groups}
    rate = cfg.optim_wrapper.optimizer.lr
    for parameter_name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        factor = 10 if 'largefov' in name and 'conv_seg' in parameter_name else 1
        bias = parameter_name.endswith('.bias')
        expected = (rate * factor * (2 if bias else 1), 0 if bias else 5e-4)
        assert groups[id(parameter)] == pytest.approx(expected, rel=1e-9), parameter_name


@pytest.mark.parametrize('side', [8, 20, 40, 64, 200])
def test_every_box_has_a_positive_anchor(side):
    cfg = load('faster_rcnn_vgg16_coco').model
    with DefaultScope.overwrite_default_scope('mmdet'):
        generator = TASK_UTILS.build(cfg.rpn_head.anchor_generator)
        assigner = TASK_UTILS.build(cfg.train_cfg.rpn.assigner)
    (anchors,) = generator.grid_priors([(38, 63)], device='cpu')
    assert len(generator.base_anchors[0]) == 12  # four scales in three shapes
    box = torch.tensor([[301.0, 203.0, 301 + side, 203 + side]])
    truth = InstanceData(bboxes=box, labels=torch.tensor([0]))
    found = assigner.assign(InstanceData(priors=anchors), truth)
    assert 1 <= (found.gt_inds > 0).sum() <= 100


def test_ssds_schedule_is_that_of_the_release():
    """Epochs of train2017's 117,266 images with boxes match 280k, 360k and 400k batches of 32."""
    cfg = load('ssd300_vgg16_coco')
    per_epoch = 117_266 / 32
    warm_up, drops = cfg.param_scheduler
    ends = [*drops.milestones, cfg.train_cfg.max_epochs]
    assert [round(end * per_epoch / 1000) for end in ends] == pytest.approx([280, 360, 400], abs=2)
    assert warm_up.end == 500


@pytest.mark.parametrize(
    'name, images, ends', [(VOC_BOXES[0], 1, (80, 110)), (VOC_BOXES[1], 32, (80, 100, 120))]
)
def test_schedules_for_voc(name, images, ends):
    """The epochs, of 16,551 images of both years, match the iterations (in thousands)."""
    cfg = load(name)
    assert cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size == images
    assert cfg.optim_wrapper.optimizer.lr == 1e-3
    found = [*cfg.param_scheduler[1].milestones, cfg.train_cfg.max_epochs]
    assert [end * 16.551 / images for end in found] == pytest.approx(ends, rel=0.06)


def test_boxes_for_voc():
    """Sides as in the papers: 128, 256 and 512; for SSD 0.1 of the image, then 0.2 to 0.9."""
    faster, ssd = (load(name).model for name in VOC_BOXES)
    with DefaultScope.overwrite_default_scope('mmdet'):
        anchors = TASK_UTILS.build(faster.rpn_head.anchor_generator).base_anchors[0]
        squares = TASK_UTILS.build(ssd.bbox_head.anchor_generator).base_anchors
    assert sorted({round((x2 - x1) * (y2 - y1)) for x1, y1, x2, y2 in anchors.tolist()}) == [
        128**2, 256**2, 512**2
    ]  # fmt: skip
    sides = [(boxes[0, 2] - boxes[0, 0]).item() / 300 for boxes in squares]
    assert sides == pytest.approx([0.1, 0.2, 0.37, 0.54, 0.71, 0.88], abs=0.01)


def test_heavy_learning():
    """Summed loss, learning rates of the authors' solver files, FCN-8s starting from FCN-16s."""
    for name, rate in (('fcn32s', 1e-10), ('fcn16s', 1e-12), ('fcn8s', 1e-14)):
        cfg = load(f'{name}_vgg16_heavy_voc12aug')
        optimizer = cfg.optim_wrapper.optimizer
        assert (optimizer.lr, optimizer.momentum) == (rate, 0.99)
        assert cfg.train_dataloader.batch_size == 1 and cfg.get('auto_scale_lr') is None
        assert cfg.model.decode_head.loss_decode == dict(type='CrossEntropyLoss', reduction='sum')
    assert 'fcn16s_vgg16_heavy' in cfg.load_from


@pytest.mark.parametrize('path', ALL, ids=lambda path: path.stem)
def test_test_time_augmentation_uses_the_frameworks_models(path):
    cfg = Config.fromfile(path)
    plain = cfg.test_dataloader.dataset.pipeline
    use_test_time_augmentation(cfg)
    kind = {'mmdet': 'DetTTAModel', 'mmseg': 'SegTTAModel'}[cfg.default_scope]
    assert cfg.model.type == kind and 'backbone' in cfg.model.module
    load, augment = cfg.test_dataloader.dataset.pipeline
    assert load == plain[0]
    sizes, flips, *_ = augment.transforms
    assert [flip.prob for flip in flips] == [0, 1]
    resized = [step for step in plain if step.type == 'Resize']
    assert len(sizes) == (1 if 'ssd' in path.stem else 3)
    assert not resized or dict(sizes[0]) == dict(resized[0])
    with pytest.raises(ValueError, match="protocol 'dense': these protocols are for classifiers"):
        use_test_time_augmentation(cfg, 'dense')
