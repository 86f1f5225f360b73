"""Retrieval: the images whose features point the same way."""

import numpy as np

#: Queries whose similarities are in memory at a time.
CHUNK = 1024


def nearest(index: np.ndarray, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest by cosine similarity, the nearest first.

    Args:
        index: (M, dimension), rows of length 1 (or 0).
        queries: (N, dimension), likewise.
        k: At most M.

    Returns:
        Places in ``index`` and cosines in [-1, 1], both (N, k).
    """
    places, cosines = [], []
    for first in range(0, len(queries), CHUNK):
        similar = queries[first : first + CHUNK] @ index.T
        best = np.argpartition(-similar, k - 1, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(similar, best, axis=1), axis=1, kind='stable')
        best = np.take_along_axis(best, order, axis=1)
        places.append(best)
        cosines.append(np.take_along_axis(similar, best, axis=1))
    return np.concatenate(places), np.concatenate(cosines)
