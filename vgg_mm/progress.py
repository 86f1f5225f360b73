"""Progress of long work: lines early and at regular intervals."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Optional, TypeVar

#: Seconds before the first line.
FIRST_SECONDS = 30

#: Seconds without a line after which the next one is due.
SILENCE = 60

#: If the rest takes fewer seconds, nothing is printed.
SOON = 5

#: Seconds between two changes of a line on a terminal.
LIVE = 0.5

T = TypeVar('T')


def to_stderr(text: str) -> None:
    """A line on standard error."""
    print(text, file=sys.stderr, flush=True)


class Progress:
    """Reports the finished part of some work, and the remaining time.

    Args:
        total: Total amount.
        say: Called with each line; None: lines on standard error, or one that changes if that is a
            terminal.
        what: What is counted.
    """

    def __init__(
        self, total: int, say: Optional[Callable[[str], None]] = None, what: str = 'images'
    ) -> None:
        self.total, self.what = total, what
        self._say = say or to_stderr
        self._is_live = say is None and sys.stderr.isatty()
        self._shown = ''
        self.done = 0.0
        self.begin()

    def begin(self) -> None:
        """Start measuring the time."""
        self._started = self._said_at = time.monotonic()
        self._begun_at, self._said = self.done, False

    def noted(self) -> None:
        """Note that a line was written elsewhere."""
        self._said, self._said_at = True, time.monotonic()

    def is_due(self, early: bool = False) -> bool:
        """Whether a line is due, or requested ``early``; it then counts as written."""
        silence = SILENCE if self._said else FIRST_SECONDS
        if not early and time.monotonic() - self._said_at < silence:
            return False
        self.noted()
        return True

    def seconds_left(self) -> float:
        """Remaining seconds at the pace so far."""
        done = self.done - self._begun_at
        return (time.monotonic() - self._started) / done * (self.total - self.done) if done else 0

    def left(self) -> str:
        """The same as text."""
        return f'about {duration(self.seconds_left())} left'

    def set(self, done: float, early: bool = False) -> None:
        """Set the finished amount, also within an item; prints a line if due."""
        self.done = done = max(self.done, done)
        if done >= self.total or done <= self._begun_at:
            return
        if self._is_live:
            if time.monotonic() - self._said_at >= LIVE:
                self.noted()
                self._show(self._text())
        elif self.seconds_left() >= SOON and self.is_due(early and not self._said):
            self._say(self._text())

    def within(self, size: int) -> Callable[[float], None]:
        """A function to call with the finished share of the next ``size``."""
        before = self.done
        return lambda share: self.set(before + share * size)

    def _text(self) -> str:
        return f'{int(self.done):,} of {self.total:,} {self.what}, {self.left()}'

    def _show(self, text: str) -> None:
        print(f'\r{text.ljust(len(self._shown))}', end='', file=sys.stderr, flush=True)
        self._shown = text

    def end(self) -> None:
        """Remove the line that changes."""
        if self._shown:
            self._show('')
            print(end='\r', file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """'12 seconds', '9 minutes' or '2.5 hours'."""
    if seconds < 90:
        return f'{seconds:.0f} seconds'
    return f'{seconds / 60:.0f} minutes' if seconds < 5400 else f'{seconds / 3600:.1f} hours'


def short_duration(minutes: float) -> str:
    """'8.0 min', '5.3 h' or '14.2 d'."""
    if minutes < 120:
        return f'{minutes:.1f} min'
    hours = minutes / 60
    return f'{hours:.1f} h' if hours < 48 else f'{hours / 24:.1f} d'


def with_progress(
    items: Iterable[T], progress: Progress, size: Callable[[T], int] = lambda item: 1
) -> Iterator[T]:
    """The items, each counted when the next one is requested.

    Args:
        items: What is worked on.
        progress: Of them.
        size: How many an item counts as.
    """
    done = progress.done
    try:
        for item in items:
            yield item
            done += size(item)
            progress.set(done)
    finally:
        progress.end()
