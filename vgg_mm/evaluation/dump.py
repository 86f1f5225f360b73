"""Predictions on disk, in the data set's own order."""

import os
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric, DumpResults
from mmengine.logging import print_log

from vgg_mm.datasets.class_names import own_classes
from vgg_mm.datasets.transforms.loading import LOAD_ERROR
from vgg_mm.installation import command
from vgg_mm.registry import METRICS

from .posteriors import Posteriors
from .test_record import is_imagenet


@METRICS.register_module()
class DumpPredictions(DumpResults):
    """mmengine's ``DumpResults`` for test sets that are not read in their own order."""

    def compute_metrics(self, results: list) -> dict:
        return super().compute_metrics(
            _in_order(results, [sample.get('sample_idx', 0) for sample in results])
        )


def _in_order(results: list, numbers: list[int]) -> list:
    """Results in the order of their images' numbers.

    As they are where numbers occur twice: each part of a concatenation numbers its own images, and
    is read in order.
    """
    if len(set(numbers)) < len(numbers):
        return results
    return [result for _, result in sorted(zip(numbers, results), key=lambda pair: pair[0])]


def _distinct(names: Sequence[str]) -> list[str]:
    """The names, with (2), (3), ... after those of an image that is tested several times."""
    times: Counter[str] = Counter()
    distinct = []
    for name in names:
        times[name] += 1
        distinct.append(name if times[name] == 1 else f'{name} ({times[name]})')
    return distinct


@METRICS.register_module()
class DumpPosteriors(BaseMetric):
    """Write the posteriors of every image with its name, as :class:`Posteriors`.

    Args:
        path: The ``.npz`` file.
        protocols: The net's protocols -> their names in the file; where a prediction names none,
            it is that of the first.
        info: The ``info`` of :class:`Posteriors`. Images are named by their path
            below its ``data``, the folder of the test images.
    """

    def __init__(self, path: str, protocols: dict[str, str], info: dict, **kwargs: Any):
        super().__init__(**kwargs)
        self.path = path
        self.protocols = protocols
        self.info = info

    default_prefix = ''  # it gives no metrics

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        for sample in data_samples:
            if 'pred_score' not in sample:
                raise ValueError(
                    f'{self.path}: the net predicts no posteriors (boxes of a central crop, say); '
                    f'{command("test")} --out FILE.pkl writes every kind of prediction'
                )
            scores = sample.get('pred_scores') or {next(iter(self.protocols)): sample['pred_score']}
            arrays = {self.protocols[k]: score.float().cpu().numpy() for k, score in scores.items()}
            if sample.get(LOAD_ERROR):
                arrays = {name: np.full_like(array, np.nan) for name, array in arrays.items()}
            if 'gt_label' not in sample:
                raise ValueError(f'{self.path}: the test images have no labels')
            number = sample['sample_idx']
            name = str(number)  # of an image in memory
            if sample.get('img_path') is not None:
                name = os.path.relpath(sample['img_path'], self.info['data']).replace(os.sep, '/')
            self.results.append((number, name, int(sample['gt_label']), arrays))

    def compute_metrics(self, results: list) -> dict:
        results = _in_order(results, [row[0] for row in results])
        _, names, labels, arrays = zip(*results)
        scores = {name: np.stack([a[name] for a in arrays]) for name in arrays[0]}
        count = next(iter(scores.values())).shape[1]
        # A list of images without a list of classes numbers them.
        classes = list((self.dataset_meta or {}).get('classes') or map(str, range(count)))
        info = dict(self.info, imagenet=is_imagenet(own_classes(self.dataset_meta or {})))
        Posteriors(scores, np.array(labels), _distinct(names), classes, info).save(self.path)
        print_log(f'posteriors of {len(names)} images: {self.path}', 'current')
        return {}
