"""An interruption ends the work whenever it comes."""

import signal
import sys
import time

import pytest

from vgg_mm.apis.subprocess_tools import interruptible

#: As in a terminal; what starts tests in the background may ignore some of them.
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
def test_ctrl_c_is_not_lost_where_others_are_ignored(ignored, terminal):
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)
    with pytest.raises(KeyboardInterrupt), interruptible():
        Finalized(signal.SIGINT)
        time.sleep(30)


def test_what_is_ignored_stays_so(terminal):
    """nohup ignores the end of the terminal."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with interruptible():
        signal.raise_signal(signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
