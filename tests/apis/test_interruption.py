"""An interruption stops the work at any moment."""

import signal
import sys
import time

import pytest

from vgg_mm.apis.subprocess_tools import interruptible

#: As in a terminal; a test run in the background may ignore some of these signals.
HANDLERS = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}


class Finalized:
    def __init__(self, signal_number):
        self.signal_number = signal_number

    def __del__(self):
        signal.raise_signal(self.signal_number)
        time.sleep(0)


@pytest.fixture
def terminal():
    before = {number: signal.signal(number, handler) for number, handler in HANDLERS.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize('how', HANDLERS)
def test_interruption_in_a_finalizer_is_not_lost(how, terminal):
    hook = sys.unraisablehook
    with pytest.raises(KeyboardInterrupt), interruptible():
        Finalized(how)
        time.sleep(30)
    assert {number: signal.getsignal(number) for number in HANDLERS} == HANDLERS
    assert sys.unraisablehook is hook


@pytest.mark.parametrize('ignored', [[signal.SIGTERM], [signal.SIGTERM, signal.SIGHUP]])
def test_ctrl_c_is_not_lost_if_other_signals_are_ignored(ignored, terminal):
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)
    with pytest.raises(KeyboardInterrupt), interruptible():
        Finalized(signal.SIGINT)
        time.sleep(30)


def test_ignored_signals_stay_ignored(terminal):
    """nohup ignores SIGHUP."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with interruptible():
        signal.raise_signal(signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
