"""Every library's weights are loaded into the backbone of detectors and segmentors, in all ways."""

import re
from pathlib import Path

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import load_checkpoint

from tests.downstream import need

need('mmdet')
need('mmseg')

import mmdet  # noqa: E402
import mmseg  # noqa: E402
from mmengine.config import ConfigDict  # noqa: E402

from tests.checkpoints.source_nets import torchvision_net  # noqa: E402
from tests.checkpoints.weight_files import NOT_PYTORCH, table, write_files  # noqa: E402
from tests.conftest import run_tool  # noqa: E402
from tests.downstream import boxes, masks  # noqa: E402
from tests.downstream.test_other_tools import SEGMENTOR, own_config  # noqa: E402
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
    """A classifier's weights are loaded if their names begin with ``backbone.``. Otherwise they are
    rejected in one line, even by mmengine's loader, which only warns for other models."""
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


#: train.py of MMDetection and MMSegmentation.
TOOLS = {p.__name__: Path(p.__file__).parent / '.mim/tools/train.py' for p in (mmdet, mmseg)}
BY_A_TOOL = {
    'Pretrained': dict(checkpoint='net.pth'),
    "Pretrained, prefix='backbone.'": dict(checkpoint='net.pth', prefix='backbone.'),
    'load_from': None,
}


@pytest.fixture(scope='module')
def cells():
    found = {}
    yield found
    print(f'\n{table("tools", list(BY_A_TOOL), list(TOOLS), found)}')


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data')
    images = dict(train=2, val=1)
    return dict(
        mmdet=boxes.write_boxes(folder / 'boxes', images),
        mmseg=masks.write_streets(folder / 'streets', **images),
    )


@pytest.mark.slow
@pytest.mark.parametrize('tool', TOOLS)
@pytest.mark.parametrize('way', BY_A_TOOL)
@pytest.mark.parametrize('library', ['torchvision', 'ResNet'])
def test_their_own_tools(library, way, tool, data, cells, tmp_path):
    """The loaded weights remain after an epoch with learning rate 0, or a one-line error says why
    they were not loaded."""
    if not TOOLS[tool].is_file():
        pytest.skip(f'{tool} comes without its tools')
    net = torchvision_net('vgg16')[0]
    other = {'layer1.0.conv1.weight': torch.zeros(2, 3, 3, 3)}
    torch.save(net.state_dict() if library == 'torchvision' else other, tmp_path / 'net.pth')
    base, options = {
        'mmdet': (boxes.CONFIGS / 'faster_rcnn_vgg16_animals.py', boxes.NARROW_FASTER_RCNN),
        'mmseg': (SEGMENTOR, masks.narrow('fcn32s_vgg16')),
    }[tool]
    init = BY_A_TOOL[way]
    options = {**options, 'optim_wrapper.optimizer.lr': 0.0}
    options |= {'load_from': 'net.pth'} if init is None else {}
    if init is not None:
        options['model.backbone.init_cfg'] = dict(type='Pretrained', **init)
    own_config(tmp_path / 'own.py', base, data[tool], options)
    done = run_tool(str(TOOLS[tool]), 'own.py', '--work-dir', 'run', cwd=tmp_path, check=False)
    if library == 'ResNet' or init is None:
        last = done.stderr.strip().splitlines()[-1]
        assert done.returncode == 1 and last.startswith('ValueError: '), done.stderr[-2000:]
        assert re.search(
            'no VGG found|begins with prefix|none (of its names )?begins with .backbone', last
        ), last
        assert not list(tmp_path.glob('run/*.pth'))
        cells[way, tool] = 'one line' if init is None else cells.get((way, tool), '')
        return
    assert done.returncode == 0, done.stderr[-3000:]
    # torchvision's weights expect standardised RGB, these configs use mean-subtracted BGR / 58.
    assert done.stdout.count('pre-processing differs: the weights of backbone') == 1
    found = torch.load(tmp_path / 'run/epoch_1.pth', weights_only=False)['state_dict']
    taken = [tensor for name, tensor in found.items() if name.startswith('backbone.')]
    given = [w for layer in net.features for w in layer.parameters()]
    assert len(taken) == len(given) and all(map(torch.equal, taken, given))
    cells[way, tool] = 'all layers'
