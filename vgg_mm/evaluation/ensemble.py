"""Averages of the soft-max posteriors of several nets (Section 4.4)."""

import os
from collections.abc import Sequence
from math import inf
from typing import Any, NamedTuple, Optional

import numpy as np

from vgg_mm.text import first_few

from .posteriors import Posteriors, load_posteriors, wrong_images
from .test_record import TestRecord, scale_texts

#: Top-k errors that are counted where there are k classes.
TOP_K = (1, 5)

#: Maximum number of images or classes in an error.
MAX_NAMED = 3

#: Protocol of an ensemble whose members were tested in different ways.
MIXED = 'mixed'


class Member(NamedTuple):
    """A file of posteriors, and the protocol to use of it (None: any that all have)."""

    path: str
    protocol: Optional[str] = None


class Ensemble(NamedTuple):
    """The average of some nets under one protocol.

    ``posteriors.scores`` has one entry, that protocol's; ``members`` are the nets' own results.
    """

    posteriors: Posteriors
    record: TestRecord
    members: list[TestRecord]


def ensembles(
    members: Sequence[Member], weights: Optional[Sequence[float]] = None, name: Optional[str] = None
) -> list[Ensemble]:
    """Average the posteriors in files that ``tools/test.py --out FILE.npz`` wrote.

    Images are matched by name. An image without posteriors (NaN) in one member has none in the
    ensemble.

    Args:
        members: Two at least. Where each names its protocol there is one ensemble; otherwise one
            for each protocol that all of them have.
        weights: One for each member, positive; None: equal.
        name: Name of the ensembles; None: those of the nets, joined by plus signs.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: in one line, if files are incompatible or arguments are invalid.
    """
    if len(members) < 2:
        raise ValueError(f'an ensemble needs two files at least, got {len(members)}')
    if weights is None:
        weights = [1.0] * len(members)
    if len(weights) != len(members):
        raise ValueError(f'ensemble: {len(weights)} weights for {len(members)} files')
    if not all(0 < weight < inf for weight in weights):
        raise ValueError(f'ensemble: weights must be positive, got {" ".join(map(str, weights))}')
    contents = [_read(members[0])]
    for member in members[1:]:
        both = f'{members[0].path} and {member.path}'
        contents.append(_in_order_of(contents[0], _read(member), both))
    paths = [member.path for member in members]
    protocols = [member.protocol for member in members if member.protocol]
    if len(protocols) == len(members):
        return [_average(paths, protocols, contents, weights, name)]
    common = [p for p in contents[0].scores if all(p in content.scores for content in contents)]
    if not common:
        lists = '; '.join(f'{m.path}: {", ".join(c.scores)}' for m, c in zip(members, contents))
        raise ValueError(f'no protocol in common ({lists}); to mix them, name one for each file')
    return [
        _average(paths, [protocol] * len(paths), contents, weights, name) for protocol in common
    ]


def _read(member: Member) -> Posteriors:
    """The file, without unused protocols: ImageNet's have 200 MB each."""
    content = load_posteriors(member.path)
    if member.protocol is None:
        return content
    if member.protocol not in content.scores:
        raise ValueError(
            f'{member.path} has no protocol {member.protocol!r}; it has {", ".join(content.scores)}'
        )
    return content._replace(scores={member.protocol: content.scores[member.protocol]})


def _in_order_of(first: Posteriors, other: Posteriors, both: str) -> Posteriors:
    """``other`` with its images in the order of ``first``; ``both`` names the two files."""
    _require_same_set('classes', first.classes, other.classes, both)
    for i, (one, two) in enumerate(zip(first.classes, other.classes)):
        if one != two:
            raise ValueError(
                f'{both} have their classes in different orders: class {i} is {one!r} and {two!r}'
            )
    _require_same_set('images', first.names, other.names, both)
    position = {name: i for i, name in enumerate(other.names)}
    order = np.array([position[name] for name in first.names])
    for i in np.flatnonzero(other.labels[order] != first.labels).tolist():
        one, two = first.classes[first.labels[i]], first.classes[other.labels[order[i]]]
        image = first.names[i]
        raise ValueError(f'{both} disagree on the label of {image!r}: {one!r} and {two!r}')
    return first._replace(
        scores={protocol: scores[order] for protocol, scores in other.scores.items()},
        info=other.info,
    )


def _require_same_set(kind: str, one: list[str], two: list[str], both: str) -> None:
    for here, there, which in ((one, set(two), 'first'), (two, set(one), 'second')):
        if only := [repr(entry) for entry in here if entry not in there]:
            raise ValueError(
                f'{both} have different {kind}, {len(one)} and {len(two)}: '
                f'only in the {which}: {first_few(only, MAX_NAMED)}'
            )


def _average(
    paths: Sequence[str],
    protocols: Sequence[str],
    contents: Sequence[Posteriors],
    weights: Sequence[float],
    name: Optional[str],
) -> Ensemble:
    """The weighted average; the images are in the same order everywhere."""
    files = list(zip(map(os.path.realpath, paths), protocols))
    for path, protocol, file in zip(paths, protocols, files):
        if files.count(file) > 1:
            raise ValueError(f'{path} is given twice with the protocol {protocol!r}')
    first = contents[0]
    total = np.zeros((len(first.names), len(first.classes)))
    records = []
    for protocol, content, weight in zip(protocols, contents, weights):
        scores = content.scores[protocol]
        total += np.float64(weight / sum(weights)) * scores
        records.append(_record(content.info, protocol, scores, first.labels))
    protocol = protocols[0] if len(set(protocols)) == 1 else MIXED

    def common(field: str) -> Any:
        values = {getattr(record, field) for record in records}
        return values.pop() if len(values) == 1 else None

    info = dict(
        net=name or ' + '.join(record.net for record in records),
        width=common('width'),
        scale=common('scale'),
        test_scales=common('test_scales'),
        data=records[0].data,
        imagenet=all(record.imagenet for record in records),
        members=_titles(paths, records, weights, with_protocols=protocol == MIXED),
        checkpoint=' + '.join(paths),
    )
    # Counted as they are stored, so that reading the file gives the same errors.
    scores = total.astype(np.float32)
    return Ensemble(
        first._replace(scores={protocol: scores}, info=info),
        _record(info, protocol, scores, first.labels),
        records,
    )


def _record(info: dict, protocol: str, scores: np.ndarray, labels: np.ndarray) -> TestRecord:
    """The errors of a net or an ensemble; '?' is a net that the file does not name."""
    return TestRecord(
        net=info.get('net') or '?',
        width=info.get('width') or 0,
        scale=tuple(info.get('scale') or ()) or None,
        test_scales=tuple(info.get('test_scales') or ()),
        protocol=protocol,
        images=len(labels),
        wrong={
            k: int(wrong_images(scores, labels, k).sum()) for k in TOP_K if k <= scores.shape[1]
        },
        data=info.get('data') or '',
        imagenet=bool(info.get('imagenet')),
        config=info.get('config') or '',
        checkpoint=info.get('checkpoint') or '',
        members=list(info.get('members') or ()),
    )


def _titles(
    paths: Sequence[str],
    records: Sequence[TestRecord],
    weights: Sequence[float],
    with_protocols: bool,
) -> list[str]:
    """Each member in a line: 'D [256;512] 256,384,512', with its weight where they differ."""
    titles = []
    for path, record, weight in zip(paths, records, weights):
        if record.members:
            title = f'({" + ".join(record.members)})'
        else:
            net = path if record.net == '?' else record.net
            title = ' '.join([net, *scale_texts(record)])
        if with_protocols:
            title += f' {record.protocol}'
        titles.append(title if len({*weights}) == 1 else f'{weight:g} x {title}')
    return titles
