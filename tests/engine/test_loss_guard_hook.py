"""The loss guard's messages for failing runs; it does not change other runs."""

import math
import re
from copy import deepcopy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn as nn
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch.optim import SGD

import vgg_mm  # noqa: F401  (registers its parts)
from tests.conftest import A_DIGITS, run_tool, short_run
from vgg_mm.engine import Bf16OptimWrapper, LossGuardHook
from vgg_mm.engine.hooks import loss_guard_hook
from vgg_mm.engine.hooks.loss_guard_hook import _loss_of_guessing
from vgg_mm.engine.layer_statistics import layer_statistics, suspects

NARROW = (
    'model.backbone.base_channels=4',
    'model.head.in_channels=32',
    'model.head.fc_channels=32',
)


def classifier(arch='A', norm=None, **options):
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(
            dict(
                type='ImageClassifier',
                data_preprocessor=dict(mean=[120.0] * 3, std=[1.0] * 3),
                backbone=dict(
                    type='vgg_mm.VGG', arch=arch, base_channels=8, norm_cfg=norm, **options
                ),
                head=dict(
                    type='vgg_mm.ConvHead', num_classes=10, in_channels=64, fc_channels=32,
                    kernel_size=2, **options,
                ),
            )
        )  # fmt: skip
        model.init_weights()
    return model.train()


def batch():
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 64, 64), dtype=np.uint8)
    samples = [DataSample().set_gt_label(i) for i in range(4)]
    return dict(inputs=torch.from_numpy(images), data_samples=samples)


def test_statistics_equal_plain_torch():
    """Outputs before each ReLU and the gradients of weights equal those of plain torch."""
    model = classifier()
    model.head.dropout.p = 0.0
    input_rms, statistics = layer_statistics(model, batch())
    x = batch()['inputs'].float() - 120.0
    assert input_rms == pytest.approx(x.square().mean().sqrt().item(), rel=1e-5)
    outputs = []
    for block, convolutions in enumerate((1, 1, 2, 2, 2), start=1):
        for number in range(1, convolutions + 1):
            name = f'conv{block}_{number}'
            conv = getattr(model.backbone, name)
            x = nn.functional.conv2d(x, conv.weight, conv.bias, padding=1)
            outputs.append((name, conv, x.square().mean().sqrt().item()))
            x = x.relu()
        x = nn.functional.max_pool2d(x, 2)
    x = x.flatten(1)
    for name in ('fc6', 'fc7', 'fc8'):
        layer = getattr(model.head, name)
        x = nn.functional.linear(x, layer.weight, layer.bias)
        outputs.append((name, layer, x.square().mean().sqrt().item()))
        x = x.relu() if name != 'fc8' else x
    nn.functional.cross_entropy(x, torch.arange(4)).backward()
    assert [s.layer for s in statistics] == [name for name, _, _ in outputs]
    for found, (_, layer, activation) in zip(statistics, outputs):
        assert found.activation == pytest.approx(activation, rel=1e-4)
        gradient = layer.weight.grad.square().mean().sqrt().item()
        assert found.gradient == pytest.approx(gradient, rel=1e-4)
        assert found.weight == pytest.approx(layer.weight.square().mean().sqrt().item(), rel=1e-5)


def test_statistics_leave_the_model_unchanged():
    model = classifier(norm=dict(type='BN'))
    kept = torch.full_like(model.head.fc8.bias, 7.0)
    model.head.fc8.bias.grad = kept
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    layer_statistics(model, batch())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.head.fc8.bias.grad is kept and (kept == 7).all()
    assert model.head.fc7.bias.grad is None


@pytest.mark.parametrize(
    'arch, init, expected',
    [
        ('E', 'normal_std', 'activations vanish from conv'),
        ('A', 'glorot', None),
        ('E', 'glorot', None),
    ],
)
def test_suspect_layers(arch, init, expected):
    found = suspects(*layer_statistics(classifier(arch, init_cfg=init), batch()))
    if expected is None:
        assert not found
    else:
        assert found[0].startswith(expected)


def test_frozen_layers_have_no_gradients_that_vanish():
    model = classifier(init_cfg='glorot')
    model.backbone.frozen_stages = 3
    model.train()
    assert not model.backbone.conv3_1.weight.requires_grad
    assert not suspects(*layer_statistics(model, batch()))


def test_the_model_can_be_copied_while_it_is_watched(tmp_path):
    runner = runner_with(classifier())
    runner.not_to_copy = open(tmp_path / 'log', 'w')  # noqa: SIM115
    hook = LossGuardHook()
    hook.before_train(runner)
    torch.save(runner.model, tmp_path / 'net.pth')
    copies = deepcopy(runner.model), torch.load(tmp_path / 'net.pth', weights_only=False)
    for model in copies:
        data = model.data_preprocessor(batch(), training=True)
        assert model(**data, mode='loss')['loss'].isfinite()
    runner.not_to_copy.close()


def test_not_finite_names_the_first_layer():
    model = classifier()
    model.backbone.conv3_1.weight.data[0, 0, 0, 0] = math.nan
    assert suspects(*layer_statistics(model, batch())) == [
        'the weights are not finite from conv3_1 on, since an earlier step'
    ]


class Log(list):
    warning = list.append


def runner_with(model):
    return SimpleNamespace(model=model, iter=0, max_iters=10000, logger=Log(), hooks=[])


def watch(hook, runner, losses):
    hook.before_train(runner)
    for iteration, loss in enumerate(losses):
        runner.iter = iteration
        hook.after_train_iter(runner, 0, batch(), dict(loss=torch.tensor(loss)))


def test_the_classifier_may_be_a_part_of_the_backbone():
    """MMPretrain's configs of VGG have it there, under a head that knows no number of classes."""
    model = classifier('E', init_cfg='normal_std')
    model.backbone.classifier = model.head
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model.head = MODELS.build(dict(type='ClsHead', loss=dict(type='CrossEntropyLoss')))
    assert _loss_of_guessing(model) == pytest.approx(math.log(10))
    del model.backbone.classifier
    assert _loss_of_guessing(model) is None


def test_a_loss_at_chance_is_reported_once():
    runner = runner_with(classifier('E', init_cfg='normal_std'))
    watch(LossGuardHook(patience=20, window=10), runner, [2.3 + 0.01 * (i % 2) for i in range(60)])
    (line,) = runner.logger
    assert line.startswith(
        'after 20 iterations the loss is still ln(num_classes) = 2.303, that of guessing; '
        'activations vanish from conv'
    )
    assert 'default_hooks.staged_init.checkpoint' in line


@pytest.mark.parametrize('final', [2.2, 2.4])
def test_a_loss_that_moved_is_not_reported(final):
    runner = runner_with(classifier())
    watch(LossGuardHook(patience=20, window=10), runner, np.linspace(2.303, final, 40))
    assert not runner.logger


def test_stopping_at_chance():
    runner = runner_with(classifier())
    with pytest.raises(RuntimeError, match='to continue anyway.*at_chance=warn'):
        watch(LossGuardHook(patience=20, window=10, at_chance='stop'), runner, [2.303] * 20)


def test_a_loss_that_is_not_finite():
    runner = runner_with(classifier())
    with pytest.raises(RuntimeError, match=r'the loss is nan at iteration 3 \(before: 2, 40\)'):
        watch(LossGuardHook(), runner, [2.0, 40.0, math.nan])
    watch(LossGuardHook(not_finite='warn'), runner, [math.inf, math.nan])
    assert len(runner.logger) == 1
    watch(
        LossGuardHook(not_finite='off', at_chance='off', patience=1, window=1), runner, [math.inf]
    )
    assert len(runner.logger) == 1


def test_norms_that_wait_for_other_processes_are_not_run(monkeypatch):
    """The net is not called: one process alone would wait in SyncBatchNorm for ever."""
    model = nn.SyncBatchNorm.convert_sync_batchnorm(classifier(norm=dict(type='BN')))
    monkeypatch.setattr(loss_guard_hook, 'get_world_size', lambda: 2)
    with pytest.raises(RuntimeError, match='not examined, since SyncBatchNorm waits for all'):
        watch(LossGuardHook(), runner_with(model), [math.nan])


@pytest.mark.parametrize('wrong', [dict(not_finite='ignore'), dict(window=0), dict(patience=10)])
def test_bad_arguments(wrong):
    with pytest.raises(ValueError, match='^LossGuardHook: '):
        LossGuardHook(**wrong)


def test_a_run_that_explodes(few_digits, tmp_path):
    """The tool ends with a one-line error and no checkpoint; its advice makes the run work."""
    options = short_run(
        few_digits, tmp_path, 3, *NARROW, 'optim_wrapper.optimizer.lr=1e20',
        'optim_wrapper.clip_grad=None', 'train_dataloader.num_workers=0',
    )  # fmt: skip
    done = run_tool('train.py', A_DIGITS, *options, cwd=tmp_path, check=False)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith('error:')]
    # After such a step, weights or activations are not finite, or activations explode.
    what = 'the weights are not finite|activations (not finite|explode)'
    assert re.search(rf'the loss is (nan|inf) at iteration 2 .*; ({what})', line)
    assert not list(tmp_path.glob('*.pth'))
    # The options in the message work as they are printed.
    advice = re.findall(r'optim_wrapper\.[\w.]+=[\w.+-]+', line)
    assert [one.partition('=')[0] for one in advice] == [
        'optim_wrapper.optimizer.lr', 'optim_wrapper.clip_grad.max_norm'
    ]  # fmt: skip
    options[options.index('optim_wrapper.optimizer.lr=1e20')] = 'optim_wrapper.optimizer.lr=0.01'
    done = run_tool('train.py', A_DIGITS, *options, advice[1], cwd=tmp_path)
    assert 'Saving checkpoint at 3 epochs' in done.stdout


def test_the_diagnosis_uses_the_runs_settings():
    """It uses the run's autocast, and the weights before the step, which gave the loss."""
    model = classifier()
    for conv in (model.backbone.conv2_1, model.backbone.conv3_1):
        conv.weight.data *= 1e25
    dtypes = set()
    model.backbone.conv1_1.register_forward_hook(lambda m, a, out: dtypes.add(out.dtype))
    wrapper = Bf16OptimWrapper(SGD(model.parameters(), lr=0.1, momentum=0.5))
    runner = SimpleNamespace(
        model=model, iter=0, max_iters=10000, logger=Log(), hooks=[], optim_wrapper=wrapper
    )
    hook = LossGuardHook()
    hook.before_train(runner)
    hook.before_train_iter(runner, 0, batch())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(RuntimeError, match='at iteration 1; activations .*from conv') as caught:
        model.train_step(batch(), wrapper)
    assert 'optimizer.lr=0.01) or limit gradients (optim_wrapper.clip_grad' in str(caught.value)
    assert dtypes == {torch.bfloat16}
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
