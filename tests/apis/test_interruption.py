"""An interruption ends the work whenever it comes."""

import signal
import sys
import time

import pytest

from vgg_mm.apis.subprocess_tools import interruptible


@pytest.mark.parametrize('how', [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interruption_in_a_finalizer_is_not_lost(how):
    class Finalized:
        def __del__(self):
            signal.raise_signal(how)
            time.sleep(0)

    handlers = [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGHUP)]
    hook = sys.unraisablehook
    with pytest.raises(KeyboardInterrupt), interruptible():
        Finalized()
        time.sleep(30)
    assert [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGHUP)] == handlers
    assert sys.unraisablehook is hook
