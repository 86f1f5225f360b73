"""Text functions for messages and labels, and a check of sizes."""

import difflib
from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any


def first_few(texts: Sequence[str], most: int, separator: str = ', ') -> str:
    """'a, b, c, and 4 more': the first ``most``, and how many follow."""
    more = [f'and {len(texts) - most:,} more'] if len(texts) > most else []
    return separator.join([*texts[:most], *more])


def is_positive(value: Any) -> bool:
    """Whether it is a positive integer, also one of NumPy's; True is none."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) > 0


def check_positive(owner: str, **sizes: Any) -> None:
    """Raise a ValueError that names the first of the sizes that is not a positive integer."""
    for name, value in sizes.items():
        if not is_positive(value):
            raise ValueError(f'{owner}: {name} must be a positive integer, got {value!r}')


def positive_integers(what: str, values: Any) -> tuple[int, ...]:
    """One positive integer or several, also NumPy's, as Python's.

    Raises:
        ValueError: in one line, beginning with ``what``, if they are not, or there are none.
    """
    found = tuple(values) if isinstance(values, Iterable) else (values,)
    if not found or not all(map(is_positive, found)):
        raise ValueError(f'{what} must be positive integers, got {values!r}')
    return tuple(map(int, found))


def printable(text: str) -> str:
    """One line that every terminal and font can show, also of file names that are no text."""
    text = text.encode('utf-8', 'backslashreplace').decode()
    return ''.join(
        c if c.isprintable() else c.encode('unicode_escape').decode('ascii') for c in text
    )


def shortened(text: str, length: int, keep_end: bool = False) -> str:
    """Printable text of at most ``length`` characters, with an ellipsis where some are left out."""
    text = printable(text)
    if len(text) <= length:
        return text
    return f'…{text[1 - length :]}' if keep_end else f'{text[: length - 1]}…'


def suggest(word: Any, known: Iterable[str]) -> str:
    """'did you mean ...?' with the nearest known word, else 'available: ' and all of them.

    Args:
        word: The unknown word.
        known: The known words.
    """
    known = list(known)
    near = nearest(word, known)
    return f'did you mean {near!r}?' if near else f'available: {", ".join(known)}'


def nearest(word: Any, known: Iterable[str]) -> str:
    """The known word that is most like this one; empty if none is."""
    return next(iter(difflib.get_close_matches(str(word), list(known), n=1)), '')
