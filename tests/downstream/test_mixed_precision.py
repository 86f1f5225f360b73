"""--amp with detectors: RoIAlign and NMS run in float32, the rest in bfloat16."""

import copy
import math
import re

import pytest
import torch

from tests.conftest import run_tool
from tests.downstream import need

need('mmdet')

from mmcv.ops import RoIAlign  # noqa: E402
from mmdet.testing import demo_mm_inputs  # noqa: E402
from mmengine.optim import OptimWrapper  # noqa: E402
from mmengine.registry import MODELS, DefaultScope  # noqa: E402

from tests.downstream import boxes  # noqa: E402
from tests.downstream.test_detection_models import NARROW, shapes_for  # noqa: E402
from vgg_mm.engine import Bf16OptimWrapper  # noqa: E402
from vgg_mm.engine.mixed_precision import float32_operators  # noqa: E402

DETECTORS = ['faster_rcnn_vgg16_animals', 'faster_rcnn_vgg16_fpn_coco', 'ssd300_vgg16_animals']


def losses_of(model, batch, kind):
    optim_wrapper = kind(torch.optim.SGD(model.parameters(), 0.0))
    torch.manual_seed(0)  # for the samplers of regions
    with optim_wrapper.optim_context(model):
        data = model.data_preprocessor(copy.deepcopy(batch), True)
        loss, parts = model.parse_losses(model(**data, mode='loss'))
    loss.backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    return parts, gradients


@pytest.mark.parametrize('name', DETECTORS)
def test_losses_are_close_to_float32_and_gradients_finite(name):
    torch.manual_seed(0)
    model = boxes.detector(name, NARROW[name]).train()
    batch = demo_mm_inputs(2, shapes_for(name, [(133, 197)]) * 2, [2, 3], 2)
    plain, _ = losses_of(model, batch, OptimWrapper)
    seen = []
    conv = model.backbone.conv5_3
    handles = [conv.register_forward_hook(lambda m, x, y: seen.append(y.dtype))]
    for module in model.modules():
        if isinstance(module, RoIAlign):
            handles.append(
                module.register_forward_pre_hook(lambda m, x: seen.append([t.dtype for t in x]))
            )
    mixed, gradients = losses_of(model, batch, Bf16OptimWrapper)
    assert seen.pop(0) is torch.bfloat16
    assert all(dtypes == [torch.float32] * 2 for dtypes in seen)
    assert bool(seen) == ('faster' in name)
    assert gradients and all(g.isfinite().all() and g.dtype is torch.float32 for g in gradients)
    for key in (key for key in plain if 'loss' in key):
        assert mixed[key].item() == pytest.approx(plain[key].item(), rel=0.1, abs=0.05), key


@pytest.mark.parametrize('name', DETECTORS)
def test_predictions_have_float32_boxes(name):
    torch.manual_seed(0)
    model = boxes.detector(name, NARROW[name]).eval()
    batch = demo_mm_inputs(1, shapes_for(name, [(133, 197)]), [2], 2)
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16), float32_operators(model):
        (found,) = model.test_step(batch)
    assert found.pred_instances.bboxes.dtype is found.pred_instances.scores.dtype is torch.float32
    assert not found.pred_instances.bboxes.isnan().any()


def test_the_model_is_left_as_it_was():
    model = boxes.detector('faster_rcnn_vgg16_animals', NARROW['faster_rcnn_vgg16_animals'])
    with float32_operators(model):
        assert any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize('name', ['faster_rcnn_vgg16_animals', 'ssd300_vgg16_animals'])
def test_the_tools(name, tmp_path):
    boxes.write_boxes(tmp_path / 'data', dict(train=4, val=2))
    config = boxes.CONFIGS / f'{name}.py'
    options = [
        '--cfg-options', f'DATA_ROOT={tmp_path / "data"}', 'train_cfg.max_epochs=1',
        'train_cfg.val_interval=1', 'default_hooks.logger.interval=1',
        'train_dataloader.num_workers=0', 'val_dataloader.num_workers=0',
        'test_dataloader.num_workers=0', 'val_cfg.fp16=True', *boxes.as_options(NARROW[name]),
    ]  # fmt: skip
    done = run_tool('train.py', config, '--amp', '--work-dir', 'run', *options, cwd=tmp_path)
    losses = re.findall(r' loss: (\S+)', done.stdout)
    assert losses and all(math.isfinite(float(loss)) for loss in losses)
    done = run_tool('test.py', config, 'run/epoch_1.pth', '--amp', *options, cwd=tmp_path)
    assert 'coco/bbox_mAP' in done.stdout


def test_mmdetections_own_heads(tmp_path):
    """It also works if only the backbone is from this package."""
    cfg = boxes.config('faster_rcnn_vgg16_animals', NARROW['faster_rcnn_vgg16_animals']).model
    head = cfg.roi_head.bbox_head
    head.type, head.fc_out_channels = 'Shared2FCBBoxHead', head.pop('fc_channels')
    del head['dropout']
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg).train()
    batch = demo_mm_inputs(1, [(3, 128, 128)], [2], 2)
    parts, _ = losses_of(model, batch, Bf16OptimWrapper)
    assert parts['loss'].isfinite()
