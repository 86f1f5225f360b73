"""Weights of every library by every way into a detector's or segmentor's backbone."""

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import load_checkpoint

from tests.downstream import need

need('mmdet')
need('mmseg')

from mmengine.config import ConfigDict  # noqa: E402

from tests.checkpoints.weight_files import NOT_PYTORCH, write_files  # noqa: E402
from tests.downstream import boxes, masks  # noqa: E402
from vgg_mm.checkpoints import load_checkpoint as load_here  # noqa: E402
from vgg_mm.checkpoints import read_by_name  # noqa: E402


def detector(**backbone):
    cfg = boxes.config('faster_rcnn_vgg16_animals', boxes.NARROW_FASTER_RCNN).model
    cfg.backbone.update(backbone)
    with DefaultScope.overwrite_default_scope('mmdet'):
        return MODELS.build(cfg)


def segmentor(**backbone):
    return masks.segmentor(
        ConfigDict(type='vgg_mm.FCNHead', in_channels=(32,), fc_channels=16),
        ceil_mode=True,
        **backbone,
    )


NETS = dict(detector=detector, segmentor=segmentor)


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp('files'))


def check_backbone(net, file):
    source = load_here(file.path)['state_dict']
    for name, tensor in net.backbone.state_dict().items():
        assert torch.equal(tensor, source[f'backbone.{name}']), name


@pytest.mark.parametrize('prefix', [None, 'backbone.', 'backbone'])
@pytest.mark.parametrize('kind', NETS)
def test_pretrained(kind, prefix, files):
    for file in files.values():
        init = dict(type='Pretrained', checkpoint=file.path, prefix=prefix)
        net = NETS[kind](init_cfg=init)
        net.init_weights()
        check_backbone(net, file)


@pytest.mark.parametrize('kind', NETS)
def test_whole_models(kind, files):
    """A classifier's names are no detector's: taken where they begin with ``backbone.``, or refused
    in one line, also by mmengine's loader, which elsewhere warns only."""
    for library, file in files.items():
        names = [file.path] if library not in NOT_PYTORCH else []
        ways = [lambda net, name=name: load_checkpoint(net, name) for name in names]
        state = read_by_name(file.path)
        state = state.get('state_dict', state)
        ways.append(lambda net, state=state: net.load_state_dict(state, strict=False))
        for way in ways:
            net = NETS[kind]()
            if library in ('own', 'MMPretrain'):
                way(net)
                check_backbone(net, file)
                continue
            with pytest.raises(ValueError, match='none begins with .backbone.*ClassifierInit') as e:
                way(net)
            assert '\n' not in str(e.value)
