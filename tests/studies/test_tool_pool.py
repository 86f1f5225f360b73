"""Several commands run at a time, and are ended together."""

import io
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from study import tool_pool
from study.tool_pool import ToolPool

HEEDLESS = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(os.getpid(), flush=True)
time.sleep(600)
"""


def python(code):
    return [sys.executable, '-S', '-E', '-c', code]


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def runs(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_two_commands_run_at_a_time(tmp_path):
    """Each waits for a file of the other, so that one alone would never end."""
    code = (
        'import pathlib, time\n'
        'pathlib.Path({own!r}).touch()\n'
        'while not pathlib.Path({other!r}).exists(): time.sleep(0.01)\n'
    )
    paths = [str(tmp_path / name) for name in 'ab']
    with ToolPool(2) as pool:
        calls = [
            pool.submit(python(code.format(own=own, other=other)), io.StringIO())
            for own, other in (paths, paths[::-1])
        ]
        assert [call.result(60) for call in calls] == [None, None]


def test_output_and_error_are_those_of_the_command():
    log = io.StringIO()
    with ToolPool(1) as pool:
        code = "import sys; print('hello', flush=True); sys.exit('error: no such thing')"
        failed = pool.submit(python(code), log)
        with pytest.raises(RuntimeError, match='^no such thing$'):
            failed.result(60)
    assert log.getvalue().splitlines() == ['hello', 'error: no such thing']


def test_commands_that_ignore_sigterm_are_killed(monkeypatch):
    monkeypatch.setattr(tool_pool, 'GRACE', 0.2)
    log = io.StringIO()
    with pytest.raises(KeyboardInterrupt), ToolPool(1) as pool:
        first = pool.submit(python(HEEDLESS), log)
        waiting = pool.submit(python(HEEDLESS), log)
        wait_for(log.getvalue)
        raise KeyboardInterrupt
    with pytest.raises(RuntimeError, match='ended by SIGKILL'):
        first.result(0)
    assert waiting.cancelled()
    assert not runs(int(log.getvalue()))


def test_ctrl_c_before_submit_returns(monkeypatch):
    """The command has started: it is ended, too."""
    log = io.StringIO()

    class Interrupted(ThreadPoolExecutor):
        def submit(self, *args):
            super().submit(*args)
            wait_for(log.getvalue)
            raise KeyboardInterrupt

    monkeypatch.setattr(tool_pool, 'ThreadPoolExecutor', Interrupted)
    code = 'import os, time; print(os.getpid(), flush=True); time.sleep(600)'
    with pytest.raises(KeyboardInterrupt), ToolPool(1) as pool:
        pool.submit(python(code), log)
    assert not runs(int(log.getvalue()))
