"""The classification errors that the paper reports (its Tables 3 to 7) as data."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Optional

from vgg_mm.datasets.transforms.rescale import paper_test_scales

from .test_record import scale_texts

#: (S_min, S_max) of training (Section 3.1).
Scale = tuple[int, int]
S256, S384, JITTER = (256, 256), (384, 384), (256, 512)


class PaperResult(NamedTuple):
    """A row of the paper's tables: errors in percent on ILSVRC-2012.

    ``top1`` and ``top5`` are those on the 50,000 validation images, ``test_top5`` is that on the
    test images; None where the paper gives none. ``members`` are those of a fusion, named as
    :class:`~vgg_mm.evaluation.ensemble.Ensemble` names them; its ``scale`` is None and its
    ``test_scales`` are empty where they differ in them. A row of other authors has no
    ``protocol``.
    """

    net: str
    scale: Optional[Scale]
    test_scales: tuple[int, ...]
    protocol: str
    top1: Optional[float]
    top5: Optional[float]
    test_top5: Optional[float] = None
    members: tuple[str, ...] = ()


def _one_net(
    protocol: str, several: bool, rows: Iterable[tuple[str, Scale, float, float]]
) -> tuple[PaperResult, ...]:
    """Rows of (net, S, top-1, top-5); Q follows from S."""
    return tuple(
        PaperResult(net, scale, paper_test_scales(scale, several), protocol, top1, top5)
        for net, scale, top1, top5 in rows
    )


#: Table 3 (Section 4.1): one test scale.
TABLE_3 = _one_net(
    'dense',
    False,
    (
        ('A', S256, 29.6, 10.4),
        ('A-LRN', S256, 29.7, 10.5),
        ('B', S256, 28.7, 9.9),
        ('C', S256, 28.1, 9.4),
        ('C', S384, 28.1, 9.3),
        ('C', JITTER, 27.3, 8.8),
        ('D', S256, 27.0, 8.8),
        ('D', S384, 26.8, 8.7),
        ('D', JITTER, 25.6, 8.1),
        ('E', S256, 27.3, 9.0),
        ('E', S384, 26.9, 8.7),
        ('E', JITTER, 25.5, 8.0),
    ),
)

#: Table 4 (Section 4.2): several test scales.
TABLE_4 = _one_net(
    'dense',
    True,
    (
        ('B', S256, 28.2, 9.6),
        ('C', S256, 27.7, 9.2),
        ('C', S384, 27.8, 9.2),
        ('C', JITTER, 26.3, 8.2),
        ('D', S256, 26.6, 8.6),
        ('D', S384, 26.5, 8.6),
        ('D', JITTER, 24.8, 7.5),
        ('E', S256, 26.9, 8.7),
        ('E', S384, 26.7, 8.6),
        ('E', JITTER, 24.8, 7.5),
    ),
)


_BEST_TWO = [row for row in TABLE_4 if row.net in ('D', 'E') and row.scale == JITTER]

#: Table 5 (Section 4.3): the protocols, S in [256;512]; the dense rows are those of Table 4.
TABLE_5 = tuple(
    row
    for net_rows in zip(
        _BEST_TWO,
        _one_net('multi_crop', True, (('D', JITTER, 24.6, 7.5), ('E', JITTER, 24.6, 7.4))),
        _one_net('dense+multi_crop', True, (('D', JITTER, 24.4, 7.2), ('E', JITTER, 24.4, 7.1))),
    )
    for row in net_rows
)


def _fusion(
    net: str,
    members: Sequence[PaperResult],
    protocol: str,
    top1: float,
    top5: float,
    test_top5: Optional[float],
) -> PaperResult:
    first = members[0]
    same = all(row[1:3] == first[1:3] for row in members)
    scale, test_scales = first[1:3] if same else (None, ())
    names = tuple(' '.join([row.net, *scale_texts(row)]) for row in members)
    return PaperResult(net, scale, test_scales, protocol, top1, top5, test_top5, names)


#: Each at its three test scales.
_SUBMISSION = [row for row in TABLE_4 if row.net in ('C', 'D', 'E') and row.scale != JITTER]
_SUBMISSION.append(_BEST_TWO[0])

#: Table 6 (Section 4.4): fusion of nets. The seven nets are the submission to ILSVRC-2014.
TABLE_6 = (
    _fusion('submission (7 nets)', _SUBMISSION, 'dense', 24.7, 7.5, 7.3),
    _fusion('D + E', _BEST_TWO, 'dense', 24.0, 7.1, 7.0),
    _fusion('D + E', _BEST_TWO, 'multi_crop', 23.9, 7.2, None),
    _fusion('D + E', _BEST_TWO, 'dense+multi_crop', 23.7, 6.8, 6.8),
)

#: Errors of other authors in Table 7: as :class:`PaperResult` has them.
_OTHERS: dict[str, tuple[Optional[float], Optional[float], Optional[float]]] = {
    'GoogLeNet (1 net)': (None, None, 7.9),
    'GoogLeNet (7 nets)': (None, None, 6.7),
    'MSRA (11 nets)': (None, None, 8.1),
    'MSRA (1 net)': (27.9, 9.1, 9.1),
    'Clarifai (multiple nets)': (None, None, 11.7),
    'Clarifai (1 net)': (None, None, 12.5),
    'Zeiler & Fergus (6 nets)': (36.0, 14.7, 14.8),
    'Zeiler & Fergus (1 net)': (37.5, 16.0, 16.1),
    'OverFeat (7 nets)': (34.0, 13.2, 13.6),
    'OverFeat (1 net)': (35.7, 14.2, None),
    'Krizhevsky et al. (5 nets)': (38.1, 16.4, 16.4),
    'Krizhevsky et al. (1 net)': (40.7, 18.2, None),
}

#: Table 7 (Section 4.5): the state of the art; the first three rows are of Tables 5 and 6.
TABLE_7 = (
    TABLE_6[3],
    TABLE_5[-1]._replace(test_top5=7.0),
    TABLE_6[0],
    *(PaperResult(net, None, (), '', *errors) for net, errors in _OTHERS.items()),
)
