"""The tools in processes of their own, as a user runs them; signals and processor cores."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Optional, TextIO

from vgg_mm.installation import root_folder

#: Seconds that interrupted processes get to end by themselves; torch's launcher gives its own 30.
GRACE = 45


def available_cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def tool_command(name: str, *args: str, processes: Optional[int] = None) -> list[str]:
    """The command that runs ``tools/NAME``.

    Args:
        name: File name of the tool.
        args: Its arguments.
        processes: Number of processes for torch's launcher; None: once, without a launcher.
    """
    tool = os.path.join(root_folder(), 'tools', name)
    if processes is None:
        return [sys.executable, tool, *args]
    # --standalone: a free port, so that several can run at the same time.
    launcher = ['-m', 'torch.distributed.run', '--standalone', f'--nproc_per_node={processes}']
    return [sys.executable, *launcher, tool, *args, '--launcher', 'pytorch']


def run_tool(
    command: Sequence[str],
    on_line: Callable[[str], None],
    log: Optional[TextIO] = None,
    on_start: Optional[Callable[[int], None]] = None,
    pass_fds: Sequence[int] = (),
) -> None:
    """Run a command and wait for its end; an exception while waiting ends its processes, too.

    Args:
        command: What to run.
        on_line: Called with each line of its output (both streams).
        log: Where the output is written as well.
        on_start: Called with the number of its process.
        pass_fds: Open files that it inherits.

    Raises:
        RuntimeError: if it fails, with its error line.
    """
    error = ''
    # A session of its own: Ctrl-C reaches this process alone, which then ends all of the others.
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors='replace',
        start_new_session=True,
        pass_fds=pass_fds,
    )
    try:
        if on_start is not None:
            on_start(process.pid)
        for line in process.stdout:
            if log is not None:
                log.write(line)
                log.flush()
            if line.strip() and (line.startswith('error: ') or not error.startswith('error: ')):
                error = line.strip()
            on_line(line)
        process.wait()
    finally:
        _end(process)
        process.stdout.close()
    if process.returncode < 0:
        raise RuntimeError(f'ended by {signal.Signals(-process.returncode).name}')
    if process.returncode:
        raise RuntimeError(error.removeprefix('error: ') or f'exit status {process.returncode}')


def _end(process: subprocess.Popen) -> None:
    """End a running process and those that it started; kill them if they do not end."""
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(GRACE)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def message_of(line: str) -> str:
    """The message of a line of mmengine's log, without time, level and seconds per iteration."""
    return re.sub(r' +(data_)?time: [\d.]+', '', line.split(' - ')[-1]).rstrip()


@contextmanager
def interruptible() -> Iterator[None]:
    """Let the end of a job or of its terminal be an interruption like Ctrl-C (main thread only).

    Python drops an exception raised while it runs a finalizer; an interruption that meets one is
    repeated shortly after.
    """
    signals = [signal.SIGTERM, signal.SIGHUP]
    # nohup ignores the terminal's end on purpose.
    signals = [s for s in signals if signal.getsignal(s) is not signal.SIG_IGN]
    before = {number: signal.signal(number, _interrupt) for number in signals}
    # Where both are ignored, Ctrl-C alone interrupts.
    again_by = signals[0] if signals else signal.SIGINT
    report_dropped, repeats = sys.unraisablehook, []

    def repeat(dropped: Any) -> None:
        if issubclass(dropped.exc_type, KeyboardInterrupt):
            again = threading.Timer(0.05, os.kill, [os.getpid(), again_by])
            repeats.append(again)
            again.start()
        else:
            report_dropped(dropped)

    sys.unraisablehook = repeat
    try:
        yield
    finally:
        sys.unraisablehook = report_dropped
        for again in repeats:
            again.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt
