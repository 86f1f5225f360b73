"""The paper's schedule: training stops after three drops of the learning rate on plateaus."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import OptimWrapper
from mmengine.optim.scheduler import MultiStepLR, ReduceOnPlateauLR

import vgg_mm  # noqa: F401  (registers its parts)
from vgg_mm.engine import StopAfterDropsHook


def plateau(optimizer, **options):
    return ReduceOnPlateauLR(
        optimizer, monitor='accuracy/top1', rule='greater', factor=0.1, **options
    )


class Run:
    """Passes validation accuracies to the scheduler and the hook, as a runner does."""

    def __init__(self, hook, patience=2):
        parameter = torch.nn.Parameter(torch.zeros(1))
        self.optim_wrapper = OptimWrapper(torch.optim.SGD([parameter], lr=1e-2))
        self.param_schedulers = [plateau(self.optim_wrapper, patience=patience)]
        self.train_loop = SimpleNamespace(stop_training=False)
        self.logger = SimpleNamespace(info=lambda text: self.lines.append(text))
        self.lines, self.epoch, self.hook = [], 0, hook
        hook.before_train(self)

    def validate(self, accuracy):
        """Returns the learning rate of the next epoch."""
        self.epoch += 1
        self.param_schedulers[0].step({'accuracy/top1': accuracy})
        self.hook.after_val_epoch(self)
        return self.optim_wrapper.param_groups[0]['lr']


def epochs_until_stop(run, accuracies):
    rates = []
    for accuracy in accuracies:
        rates.append(run.validate(accuracy))
        if run.train_loop.stop_training:
            return rates
    raise AssertionError('not stopped')


def test_three_drops_then_the_end():
    run = Run(StopAfterDropsHook(3))
    rates = epochs_until_stop(run, [50.0] * 40)
    # One epoch sets the best value, three without improvement precede each drop, two are at the
    # last rate.
    assert len(rates) == 1 + 3 * 3 + 2
    assert rates[0] == 1e-2 and rates[-1] == pytest.approx(1e-5)
    assert run.lines == [
        'stopping after epoch 12: the learning rate was dropped 3 times, and 2 validations brought '
        'no improvement on accuracy/top1 50'
    ]


def test_improvement_postpones_the_end():
    run = Run(StopAfterDropsHook(3))
    accuracies = [50.0] * 11 + [60.0, 70.0, 80.0] + [80.0] * 10
    assert len(epochs_until_stop(run, accuracies)) == 16


def test_number_of_drops():
    assert len(epochs_until_stop(Run(StopAfterDropsHook(1)), [50.0] * 40)) == 1 + 3 + 2


def test_state_is_that_of_the_scheduler():
    """A resumed run with a new hook and the restored scheduler stops at the same epoch."""
    run = Run(StopAfterDropsHook(3))
    for _ in range(7):
        run.validate(50.0)
    resumed = Run(StopAfterDropsHook(3))
    resumed.optim_wrapper.load_state_dict(run.optim_wrapper.state_dict())
    resumed.param_schedulers[0].load_state_dict(run.param_schedulers[0].state_dict())
    resumed.epoch = run.epoch
    assert 7 + len(epochs_until_stop(resumed, [50.0] * 40)) == 12


def test_another_schedule_is_an_error():
    run = SimpleNamespace(param_schedulers=[])
    with pytest.raises(ValueError, match='needs param_scheduler=dict'):
        StopAfterDropsHook(3).before_train(run)
    wrapper = OptimWrapper(torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-2))
    run.param_schedulers = [MultiStepLR(wrapper, milestones=[1])]
    with pytest.raises(ValueError, match='drops=None'):
        StopAfterDropsHook(3).before_train(run)
    StopAfterDropsHook(None).before_train(run)
    with pytest.raises(ValueError, match='drops must be 0 or more, got -1'):
        StopAfterDropsHook(-1)


def test_a_validation_without_training_has_no_schedule():
    """mmengine then leaves the setting as it is in the config."""
    setting = dict(type='ReduceOnPlateauLR', factor=0.1, patience=1, monitor='accuracy/top1')
    StopAfterDropsHook(3).after_val_epoch(SimpleNamespace(param_schedulers=setting))


def test_a_frozen_part_in_front():
    """The rate of the first group is 0, as by ``lr_mult=0``."""
    run = Run(StopAfterDropsHook(1))
    groups = [dict(params=[torch.nn.Parameter(torch.zeros(1))], lr=rate) for rate in (0.0, 1e-2)]
    run.optim_wrapper = OptimWrapper(torch.optim.SGD(groups, lr=1e-2))
    run.param_schedulers = [plateau(run.optim_wrapper, patience=2)]
    assert len(epochs_until_stop(run, [50.0] * 40)) == 1 + 3 + 2


def test_a_rate_that_cannot_drop_further():
    run = Run(StopAfterDropsHook(3))
    run.param_schedulers = [plateau(run.optim_wrapper, patience=2, min_value=1e-3)]
    assert len(epochs_until_stop(run, [50.0] * 40)) == 1 + 3 + 2
