"""Progress lines, with a simulated clock."""

import io
from types import SimpleNamespace

import pytest

from vgg_mm import progress as module
from vgg_mm.progress import Progress, with_progress


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(time=0.0)
    monkeypatch.setattr(module.time, 'monotonic', lambda: now.time)
    return now


def slow(items, clock, seconds):
    for item in items:
        clock.time += seconds
        yield item


def test_first_after_half_a_minute_then_after_a_minute_of_silence(clock):
    said = []
    items = slow('abcdefgh', clock, 20)
    assert [*with_progress(items, Progress(8, said.append))] == [*'abcdefgh']
    assert said == [
        '2 of 8 images, about 2 minutes left',
        '5 of 8 images, about 60 seconds left',
    ]
    said.clear()
    assert list(with_progress(slow('ab', clock, 14), Progress(2, said.append))) == ['a', 'b']
    assert said == []  # finished within half a minute


def test_within_a_batch(clock):
    said = []
    progress = Progress(1200, said.append)
    within = progress.within(4)
    for tenth in range(1, 10):
        clock.time += 60
        within(tenth / 10)
    assert said[0] == '0 of 1,200 images, about 50.0 hours left'
    assert said[-1].startswith('3 of 1,200')
    progress.set(4)
    progress.set(1)  # a smaller number does not reduce the count
    assert progress.done == 4


def test_items_with_sizes(clock):
    said = []
    chunks = slow(['aa', 'bbb'], clock, 40)
    list(with_progress(chunks, Progress(10, said.append, 'letters'), len))
    assert said == ['2 of 10 letters, about 3 minutes left']


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_one_line_on_a_terminal(clock, monkeypatch):
    screen = Terminal()
    monkeypatch.setattr('sys.stderr', screen)
    list(with_progress(slow('abc', clock, 2), Progress(3)))
    text = screen.getvalue()
    assert '\n' not in text
    first, second, blank, end = text.split('\r')[1:]
    assert first == '1 of 3 images, about 4 seconds left'
    assert second == '2 of 3 images, about 2 seconds left'
    assert blank.strip() == end == '' and len(blank) == len(second)


def test_an_error_clears_the_line(clock, monkeypatch):
    screen = Terminal()
    monkeypatch.setattr('sys.stderr', screen)

    def fails():
        yield from slow('ab', clock, 2)
        raise ValueError('broken')

    with pytest.raises(ValueError, match='broken'):
        list(with_progress(fails(), Progress(3)))
    assert screen.getvalue().endswith(' \r')
