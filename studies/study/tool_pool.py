"""Several tools in parallel, each in a process of its own."""

import os
import signal
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from threading import Event
from typing import Any, Optional, TextIO

from vgg_mm.apis.subprocess_tools import GRACE, run_tool


class ToolPool:
    """Runs at most ``size`` commands in parallel; an error in its ``with`` block ends them."""

    def __init__(self, size: int):
        self._threads = ThreadPoolExecutor(size)
        self._calls: list[_Call] = []
        self._is_ended = Event()

    def submit(self, command: Sequence[str], log: TextIO) -> 'Future[None]':
        """Run a command when a slot is free; its output goes to ``log``, which the caller closes.

        The future has the RuntimeError of :func:`run_tool` if the command fails.
        """
        call = _Call(command, log, self._is_ended)
        self._calls.append(call)  # first: it may start, and Ctrl-C come, before submit returns
        return self._threads.submit(call.run)

    def __enter__(self) -> 'ToolPool':
        return self

    def __exit__(self, kind: Optional[type], *_: Any) -> None:
        if kind is not None:
            self._end()
        self._threads.shutdown()

    def _end(self) -> None:
        """End running commands; kill them if they do not end in time, or at a second Ctrl-C."""
        self._is_ended.set()
        self._threads.shutdown(wait=False, cancel_futures=True)
        kill_at = time.monotonic() + GRACE
        while left := [call for call in self._calls if call.is_running]:
            for call in left:
                call.end(kill=time.monotonic() > kill_at)
            try:
                time.sleep(0.1)
            except KeyboardInterrupt:
                kill_at = 0


class _Call:
    """A command that runs in a process, waited for in a thread, unless the pool ended before."""

    def __init__(self, command: Sequence[str], log: TextIO, is_ended: Event):
        self.command = command
        self.log = log
        self.is_running = False
        self._is_ended = is_ended
        self._process: Optional[int] = None
        self._told = False

    def run(self) -> None:
        self.is_running = True
        try:
            if not self._is_ended.is_set():
                run_tool(self.command, lambda line: None, self.log, on_start=self._note)
        finally:
            self.is_running = False

    def _note(self, process: int) -> None:
        self._process = process

    def end(self, kill: bool) -> None:
        """Ask it once to end, or kill it, from another thread; no effect if it has not started."""
        if self._process is None or (self._told and not kill):
            return
        self._told = True
        with suppress(ProcessLookupError):  # it has just ended by itself
            os.killpg(self._process, signal.SIGKILL if kill else signal.SIGTERM)
