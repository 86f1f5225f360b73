"""--cfg-options accepts OpenMMLab's syntax and rejects unknown keys with one line."""

import logging

import pytest
from mmengine.config import Config
from mmengine.logging import MMLogger

from tests.conftest import A_DIGITS
from vgg_mm.apis.cfg_options import merge_options, parse_cfg_options


def merged(*options):
    cfg = Config.fromfile(A_DIGITS)
    cfg.optim_wrapper.clip_grad = None
    merge_options(cfg, parse_cfg_options(options))
    return cfg


@pytest.mark.parametrize(
    'option, value',
    [
        ('a=1e-3', 1e-3),
        ('a=[1,2]', [1, 2]),
        ('a=(1,2)', (1, 2)),
        ('a=[conv1_1,conv1_2]', ['conv1_1', 'conv1_2']),
        ('a=None', None),
        ('a=/data/my photos/x', '/data/my photos/x'),
        ('a=torchvision://vgg16?x=1', 'torchvision://vgg16?x=1'),
        ("a='/my (new) run, 2/[x]'", '/my (new) run, 2/[x]'),
        ('a="it\'s"', "it's"),
        ("a=dict(type='BN', requires_grad=False)", dict(type='BN', requires_grad=False)),
        ("a={'head.fc8': dict(lr_mult=10)}", {'head.fc8': dict(lr_mult=10)}),
        ("a=[dict(type='A', scale=(-1, 2)), 'b, c']", [dict(type='A', scale=(-1, 2)), 'b, c']),
    ],
)
def test_values(option, value):
    found = parse_cfg_options([option])
    assert found == {'a': value} and type(found['a']) is type(value)


def test_new_keys():
    cfg = merged(
        'model.backbone.norm_cfg.type=BN',
        'optim_wrapper.paramwise_cfg.custom_keys.head.lr_mult=10',
        'optim_wrapper.clip_grad.max_norm=5',
        'optim_wrapper.accumulative_counts=2',
        'default_hooks.ema.type=EMAHook',
        'train_dataloader.drop_last=True',
        "model.head.loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1)",
        'val_cfg.fp16=True',
        'model.head.loss.class_weight=[0.5,2]',
    )
    assert cfg.model.head.loss.class_weight == [0.5, 2]
    assert cfg.model.backbone.norm_cfg == dict(type='BN')
    assert cfg.optim_wrapper.paramwise_cfg.custom_keys == dict(head=dict(lr_mult=10))
    assert cfg.optim_wrapper.clip_grad == dict(max_norm=5)
    assert cfg.model.head.loss.label_smooth_val == 0.1


def test_no_warning_about_missing_registries(caplog):
    """MMPretrain's scope has no registries of strategies, functions and inferencers."""
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    try:
        merged('default_hooks.own.type=NobodysHook', 'default_hooks.own.interval=1')
    finally:
        logger.removeHandler(caplog.handler)
    assert not [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    'option, message',
    [
        ('lr=0.1', "the config has no 'lr'; did you mean 'optim_wrapper.optimizer.lr'?"),
        (
            'optim_wrapper.lr=1',
            "has no parameter 'lr'; did you mean 'optim_wrapper.optimizer.lr'?",
        ),
        (
            'optim_wrapper.optimizer.learning_rate=1',
            "optimizer has no parameter 'learning_rate'",
        ),
        ('model.backbone.depht=16', "model.backbone has no parameter 'depht'"),
        (
            'model.backone.depth=16',
            "model has no parameter 'backone'; did you mean 'model.backbone'?",
        ),
        ('train_dataloader.batchsize=2', "did you mean 'train_dataloader.batch_size'?"),
        ('train_cfg.max_epoch=2', "did you mean 'train_cfg.max_epochs'?"),
        ('model.backbone.init_cfg.type=Kaiming', "model.backbone.init_cfg is 'glorot'"),
        (
            'train_dataloader.dataset.pipeline.9.scale=2',
            "the config has no '9'; available: 0, 1, 2",
        ),
        ("model.head.loss=dict(type='A'", 'is not a Python value'),
    ],
)
def test_invalid_options(option, message):
    with pytest.raises(ValueError) as caught:
        merged('model.backbone.init_cfg=glorot', option)
    assert str(caught.value).startswith(f'cfg_options {option.partition("=")[0]}: ')
    assert message in str(caught.value)
