"""What may have been meant by a word that is not known."""

import difflib
from collections.abc import Iterable
from typing import Any, Optional


def suggest(word: Any, known: Iterable[str], similar_to: Optional[Iterable[str]] = None) -> str:
    """'did you mean ...?', or all words that are known.

    Args:
        word: That is not known.
        known: The words that are.
        similar_to: Those among which a similar one is looked for; None: ``known``.
    """
    known = list(known)
    candidates = known if similar_to is None else list(similar_to)
    similar = difflib.get_close_matches(str(word), candidates, n=1)
    return f'did you mean {similar[0]!r}?' if similar else f'there are {", ".join(known)}'
