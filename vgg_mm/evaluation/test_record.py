"""The record of every test: one line in WORK_DIR/test_results.jsonl."""

import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Optional, Union

#: Name of the file in a work directory; a line a tested protocol, later lines replace earlier ones.
RECORDS_FILE = 'test_results.jsonl'

#: Names of ImageNet's class folders.
WORDNET_ID = re.compile(r'n\d{8}')


@dataclass(frozen=True)
class TestRecord:
    """One row of a table: a net (or an ensemble), how it was tested, and its errors.

    Args:
        net: Name in the paper's Table 1, or of the ensemble.
        width: ``base_channels``; 64 in the paper.
        scale: (S_min, S_max) of training; None if unknown.
        test_scales: Q, smallest first.
        protocol: 'centre crop', or one of ``vgg_mm.PaperTTA``'s.
        images: Number of test images.
        wrong: k -> number of images whose true class is not among the k most probable.
        data: Test images: their folder.
        imagenet: Whether these are ILSVRC-2012's 1000 classes.
        seconds_per_image: Wall time of the test, start-up aside; 0 for an ensemble.
        protocols_together: How many protocols shared that time.
        config, checkpoint: Their paths; of an ensemble the files of its members.
        members: What an ensemble averages: nets, with S and Q.
    """

    net: str
    width: int
    scale: Optional[tuple[int, int]]
    test_scales: tuple[int, ...]
    protocol: str
    images: int
    wrong: dict[int, int]
    data: str
    imagenet: bool
    seconds_per_image: float = 0.0
    protocols_together: int = 1
    config: str = ''
    checkpoint: str = ''
    members: list[str] = field(default_factory=list)

    __test__ = False  # not a test case

    @property
    def key(self) -> tuple:
        """The fields that distinguish rows; equal ones are newer results of the same row."""
        return (
            self.net, self.width, self.scale, self.test_scales, self.protocol, self.data,
            tuple(self.members), self.checkpoint if self.members else '',
        )  # fmt: skip

    def error(self, k: int) -> float:
        """Top-k error in percent."""
        return 100 * self.wrong[k] / self.images

    def interval(self, k: int) -> tuple[float, float]:
        """95 % confidence interval of :meth:`error` (Wilson's), in percent."""
        low, high = wilson_interval(self.wrong[k], self.images)
        return 100 * low, 100 * high


def wilson_interval(count: int, total: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of ``count`` of ``total`` trials (Wilson 1927), in [0, 1]."""
    from scipy.stats import binomtest  # imported where a test has ended, not at every start

    low, high = binomtest(count, total).proportion_ci(method='wilson')
    return float(low), float(high)


def scale_texts(record: Any) -> tuple[str, str]:
    """S and Q as in the paper's tables, '[256;512]' and '256,384,512'.

    Of a :class:`TestRecord`, or of one of the paper's results. Where they are unknown '?'; nothing
    for an ensemble whose members differ in them.
    """
    unknown = '' if record.members else '?'
    low, high = record.scale or (unknown, unknown)
    scale = str(low) if low == high else f'[{low};{high}]'
    return scale, ','.join(map(str, record.test_scales)) or unknown


def is_imagenet(classes: Sequence[str]) -> bool:
    """Whether these are ILSVRC-2012's 1000 classes: folders named by WordNet, or MMPretrain's."""
    by_wordnet = all(WORDNET_ID.fullmatch(name) for name in classes)
    return len(classes) == 1000 and (by_wordnet or classes[0].startswith('tench'))


def add_records(work_dir: Union[str, os.PathLike], records: Iterable[TestRecord]) -> str:
    """Append to the work directory's file; returns its path."""
    os.makedirs(work_dir, exist_ok=True)
    path = os.path.join(work_dir, RECORDS_FILE)
    with open(path, 'a', encoding='utf-8') as file:
        file.writelines(json.dumps(asdict(record)) + '\n' for record in records)
    return path


def read_records(
    path: Union[str, os.PathLike], is_wanted: Callable[[TestRecord], bool] = lambda record: True
) -> list[TestRecord]:
    """The newest wanted record of each row in a file that :func:`add_records` wrote.

    Raises:
        ValueError: naming the file and line, if a line is no record.
    """
    records: dict[tuple, TestRecord] = {}
    with open(path, 'rb') as file:
        for number, line in enumerate(file, 1):
            try:
                record = _record(json.loads(line))
                if is_wanted(record):
                    records[record.key] = record
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise ValueError(f'{path}, line {number}: not a test record ({error})') from error
    return list(records.values())


def _record(fields: dict) -> TestRecord:
    """JSON has neither tuples nor whole numbers as keys."""
    fields = dict(fields)
    fields['scale'] = tuple(fields['scale']) if fields['scale'] else None
    fields['test_scales'] = tuple(fields['test_scales'])
    fields['wrong'] = {int(k): n for k, n in fields['wrong'].items()}
    record = TestRecord(**fields)
    if not (record.images > 0 and all(0 <= n <= record.images for n in record.wrong.values())):
        raise ValueError(f'{record.wrong} wrong of {record.images} images')
    return record
