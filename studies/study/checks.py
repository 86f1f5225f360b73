"""Reading values from a study file, with a one-line error for each invalid value."""

from collections.abc import Iterable
from typing import Any, Optional

from vgg_mm.text import suggest

MISSING = object()


class YamlMapping:
    """A mapping of the file.

    Args:
        where: Beginning of error messages: the file and the place in it.
        content: The mapping.
        known: All allowed keys.

    Raises:
        ValueError: if it is no mapping, or has an unknown key.
    """

    def __init__(self, where: str, content: Any, known: Iterable[str]):
        self.where = where
        known = list(known)
        if not isinstance(content, dict):
            raise ValueError(
                f'{where}: expected a mapping with {", ".join(known)}, got {content!r}'
            )
        for key in content:
            check_known(where, 'key', key, known)
        self.content = content

    def get(self, key: str, kind: type, default: Any = MISSING) -> Any:
        """The value of a key.

        Raises:
            ValueError: if it is missing and there is no default, or of another type.
        """
        value = self.content.get(key, default)
        if value is MISSING:
            raise ValueError(f'{self.where}: {key} is missing')
        if value is default:
            return value
        fits = isinstance(value, (int, float) if kind is float else kind)
        if not fits or (isinstance(value, bool) and kind is not bool):
            expected = {str: 'a text', int: 'a whole number', float: 'a number', bool: 'true or '
                        'false', list: 'a list', dict: 'a mapping'}[kind]  # fmt: skip
            raise ValueError(f'{self.where}: {key} must be {expected}, got {value!r}')
        return value

    def number(self, key: str, least: int) -> int:
        """A whole number of at least ``least``."""
        value = self.get(key, int)
        if value < least:
            raise ValueError(f'{self.where}: {key} must be at least {least}, got {value}')
        return value

    def numbers(self, key: str, least: int) -> tuple[int, ...]:
        """A list of different whole numbers of at least ``least``, or a single one."""
        value = self.content.get(key, MISSING)
        values = value if isinstance(value, list) else [value]
        if value is MISSING:
            raise ValueError(f'{self.where}: {key} is missing')
        whole = all(isinstance(v, int) and not isinstance(v, bool) for v in values)
        if not values or not whole or min(values) < least or len(set(values)) < len(values):
            raise ValueError(
                f'{self.where}: {key} must be different whole numbers of at least {least}, got '
                f'{value!r}'
            )
        return tuple(values)

    def word(self, key: str, words: Iterable[str], default: Optional[str] = None) -> Optional[str]:
        """The value of a key, one of the given words."""
        value = self.content.get(key, default)
        if value is not None:
            check_known(self.where, key, value, list(words))
        return value


def check_known(where: str, what: str, value: Any, known: list[str]) -> None:
    """Raise ValueError for an unknown value, with a suggestion."""
    if value not in known:
        raise ValueError(f'{where}: unknown {what} {value!r}; {suggest(value, known)}')
