"""Reading of configs: in pure Python, without DATA_ROOT, with little in them."""

from copy import deepcopy
from pathlib import Path

import pytest
from mmengine.config import Config
from mmpretrain.registry import DATA_SAMPLERS, DATASETS, HOOKS, METRICS, MODELS, TRANSFORMS

from tests.conftest import A_DIGITS, D_DIGITS
from vgg_mm.apis.config import (
    check_data_folders,
    load_config,
    make_resumable,
    name_types,
    read_config,
)
from vgg_mm.apis.testing import test_config as config_of_test
from vgg_mm.apis.training import training_config

PURE = """
from mmengine.config import read_base
from mmengine.dataset import DefaultSampler
from mmengine.hooks import CheckpointHook
from mmpretrain.datasets import CustomDataset, PackInputs
from mmpretrain.evaluation import Accuracy
from mmpretrain.models import ImageClassifier
from torch.optim import SGD

from vgg_mm.datasets import CentralCrop, LoadImage, ScaleJitter, TestScales
from vgg_mm.models import VGG, ConvHead, PaperTTA

with read_base():
    from .base import *

model = dict(
    type=ImageClassifier,
    backbone=dict(type=VGG, arch='A', base_channels=4, in_channels=1),
    head=dict(type=ConvHead, num_classes=10, in_channels=32, fc_channels=8, kernel_size=2),
)
train_dataloader = dict(
    batch_size=4,
    sampler=dict(type=DefaultSampler, shuffle=True),
    dataset=dict(
        type=CustomDataset, data_root='photos', data_prefix='train',
        pipeline=[dict(type=LoadImage), dict(type=ScaleJitter, scale=(64, 96)),
                  dict(type=PackInputs)],
    ),
)
test_dataloader = dict(
    batch_size=4,
    dataset=dict(
        type=CustomDataset, data_root='photos', data_prefix='val',
        pipeline=[dict(type=LoadImage), dict(type=CentralCrop, scale=80, crop_size=64),
                  dict(type=PackInputs)],
    ),
)
test_cfg = dict()
test_evaluator = dict(type=Accuracy)
train_cfg = dict(by_epoch=True, max_epochs=1)
optim_wrapper = dict(optimizer=dict(type=SGD, lr=0.1))
tta_model = dict(type=PaperTTA, protocol='dense')
tta_pipeline = [dict(type=LoadImage), dict(type=TestScales, scales='several'),
                dict(type=PackInputs)]
default_hooks = dict(checkpoint=dict(type=CheckpointHook, interval=1))
"""


@pytest.fixture
def pure(tmp_path):
    (tmp_path / 'base.py').write_text("default_scope = 'mmpretrain'\n")
    (tmp_path / 'pure.py').write_text(PURE)
    return tmp_path / 'pure.py'


@pytest.mark.parametrize('dumped', [False, True])
def test_configs_in_pure_python_are_as_others(pure, dumped, tmp_path):
    """Imported classes, or their paths, as in the file that mmengine writes of them."""
    if dumped:
        Config.fromfile(pure).dump(tmp_path / 'dumped.py')
        pure = tmp_path / 'dumped.py'
    cfg = training_config(pure, broken_images='skip')
    make_resumable(cfg)
    assert cfg.train_dataloader.sampler.type == 'vgg_mm.ResumableSampler'
    steps = cfg.train_dataloader.dataset.dataset.pipeline
    assert steps[0].type == 'vgg_mm.LoadImage' and steps[0].in_channels == 1
    assert steps[0].on_error == 'skip' and steps[-1].type == 'PackInputs'
    cfg = config_of_test(pure, 'x.pth', tta=True, out='p.npz', broken_images='count')
    assert cfg.test_dataloader.dataset.pipeline[1].trained_at == (64, 96)
    info = cfg.test_evaluator[-1].info
    assert (info.net, info.width, info.scale) == ('A', 4, (64, 96))
    assert info.test_scales == (64, 80, 96)


@pytest.mark.parametrize('path', [A_DIGITS, D_DIGITS])
def test_names_of_types_come_back(path):
    """Every type of a config as its class, then by its name again."""
    cfg = read_config(path)
    expected = deepcopy(cfg._cfg_dict)
    parts = (MODELS, DATASETS, TRANSFORMS, HOOKS, METRICS, DATA_SAMPLERS)

    def to_classes(node):
        if isinstance(node, dict):
            kind = node.get('type')
            found = next(filter(None, (one.get(kind) for one in parts)), None) if kind else None
            node.update({'type': found} if found else {})
        for child in node.values() if isinstance(node, dict) else node:
            if isinstance(child, (dict, list)):
                to_classes(child)

    to_classes(cfg._cfg_dict)
    assert not isinstance(cfg.model.type, str)
    assert name_types(cfg)._cfg_dict == expected


def test_a_config_without_data_root(pure):
    """The one root of all data sets is replaced, and nothing else gets one."""
    cfg = load_config(pure, cfg_options=['DATA_ROOT=2024'])
    roots = [cfg[f'{name}_dataloader'].dataset.data_root for name in ('train', 'test')]
    assert roots == ['2024', '2024'] and 'data_root' not in cfg.model
    pure.write_text(PURE.replace("'photos'", "'others'", 1))
    with pytest.raises(
        ValueError, match='no DATA_ROOT in use, .*several: others, photos.: set train'
    ):
        load_config(pure, cfg_options=['DATA_ROOT=x'])


def test_a_data_root_that_no_data_set_reads_from(pure, capsys):
    """As in a file that mmengine wrote, whose first line alone was edited."""
    pure.write_text(f"{PURE}\nDATA_ROOT = 'edited'\n")
    check_data_folders(load_config(pure), [])
    assert capsys.readouterr().err == (
        "notice: DATA_ROOT is 'edited', from which no data set reads: data_root is photos\n"
    )
    cfg = load_config(pure, cfg_options=dict(DATA_ROOT=Path('given')))
    assert cfg.train_dataloader.dataset.data_root == cfg.DATA_ROOT == 'given'
    check_data_folders(cfg, [])
    assert not capsys.readouterr().err


def test_paths_are_texts(pure):
    for given, found in (('2024', '2024'), ("'my runs'", 'my runs'), ('a,b', 'a,b')):
        assert load_config(pure, cfg_options=[f'work_dir={given}']).work_dir == found
    assert load_config(pure, cfg_options=['work_dir=None']).work_dir == 'work_dirs/pure'


def test_a_test_set_without_a_pipeline_gets_the_protocols(pure):
    options = {'test_dataloader.dataset.pipeline': []}
    cfg = config_of_test(pure, 'x.pth', tta=True, cfg_options=options)
    assert cfg.test_dataloader.dataset.pipeline == cfg.tta_pipeline
    with pytest.raises(ValueError, match='needs vgg_mm.LoadImage as the first step .*, got none'):
        config_of_test(pure, 'x.pth', broken_images='count', cfg_options=options)


def test_a_config_that_neither_resumes_nor_loads(pure):
    cfg = training_config(pure)
    assert not cfg.get('resume') and cfg.get('load_from') is None


def test_the_rate_scales_once_with_the_images_of_a_step():
    options = {'optim_wrapper.accumulative_counts': 4}
    cfg = training_config(A_DIGITS, cfg_options=options)
    base = cfg.auto_scale_lr.base_batch_size
    scaled = training_config(A_DIGITS, cfg_options=options, auto_scale_lr=True)
    assert scaled.auto_scale_lr.base_batch_size == base / 4
    # A config that a run wrote, and one that says so itself.
    again = training_config(scaled, auto_scale_lr=True)
    assert again.auto_scale_lr.base_batch_size == base / 4
    own = {**options, 'auto_scale_lr.enable': True}
    assert training_config(A_DIGITS, cfg_options=own).auto_scale_lr.base_batch_size == base / 4
