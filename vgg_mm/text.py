"""Words for messages and labels."""

from collections.abc import Sequence


def first_few(texts: Sequence[str], most: int, separator: str = ', ') -> str:
    """'a, b, c, and 4 more': the first ``most``, and how many follow."""
    more = [f'and {len(texts) - most:,} more'] if len(texts) > most else []
    return separator.join([*texts[:most], *more])


def printable(text: str) -> str:
    """One line that every terminal and font can show, also of file names that are no text."""
    text = text.encode('utf-8', 'backslashreplace').decode()
    return ''.join(
        c if c.isprintable() else c.encode('unicode_escape').decode('ascii') for c in text
    )


def shortened(text: str, length: int, keep_end: bool = False) -> str:
    """A text of at most so many characters, with a sign where some are left out."""
    if len(text) <= length:
        return text
    return f'…{text[1 - length :]}' if keep_end else f'{text[: length - 1]}…'
