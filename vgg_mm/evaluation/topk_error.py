"""The paper's figure of merit."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.logging import print_log
from mmpretrain.evaluation import Accuracy

from vgg_mm.datasets.transforms.loading import LOAD_ERROR
from vgg_mm.registry import METRICS

from .posteriors import wrong_images


@METRICS.register_module()
class TopKError(Accuracy):
    """Top-k error in addition to MMPretrain's accuracy, both in percent.

    Gives ``error/top1`` and ``error/top5`` as well as ``accuracy/top1`` and ``accuracy/top5``. The
    top-k error is the share of images whose true class is not among the k most probable (paper,
    Section 4). Of several protocols tested at once each has its own: ``dense/error/top1``.

    Images that could not be read, if testing continues, count as errors and are listed; so do
    those with posteriors of NaN. Equal posteriors are ranked by class number.

    Args:
        topk: The k; arguments as in MMPretrain's ``Accuracy``. Where there are no more than k
            classes, only images without posteriors are top-k errors.
    """

    default_prefix = ''  # the keys below carry their own

    def __init__(self, topk=(1, 5), **kwargs):
        # thrs=None: a posterior that underflows to 0 still has its rank.
        super().__init__(topk=topk, thrs=None, **kwargs)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        super().process(data_batch, data_samples)
        for result, sample in zip(self.results[-len(data_samples) :], data_samples):
            label, classes = int(result['gt_label']), len(result['pred_score'])
            if not 0 <= label < classes:
                raise ValueError(
                    f'TopKError: a test image is of class {label}, the net has {classes} classes'
                )
            protocols = sample.get('pred_scores') or {}
            result['pred_scores'] = {name: score.cpu() for name, score in protocols.items()}
            result[LOAD_ERROR] = sample.get(LOAD_ERROR)

    def compute_metrics(self, results: list) -> dict[str, float]:
        errors = [result[LOAD_ERROR] for result in results if result[LOAD_ERROR]]
        readable = [result for result in results if not result[LOAD_ERROR]]
        if errors:
            print_log(
                f'{len(errors)} of {len(results)} images could not be read and count as errors:\n'
                + '\n'.join(errors),
                'current',
            )
        if not readable:
            raise ValueError(f'none of the {len(results)} test images could be read: {errors[0]}')
        labels = np.array([int(result['gt_label']) for result in readable])
        metrics, undefined = {}, 0
        for name in readable[0]['pred_scores'] or ('',):
            found = [r['pred_scores'].get(name, r['pred_score']) for r in readable]
            scores = torch.stack(found).float().numpy()
            undefined = max(undefined, int(np.isnan(scores).any(1).sum()))
            prefix = f'{name}/' if name else ''
            errors_of = {}
            for k in self.topk:
                among = min(k, scores.shape[1])
                wrong = len(errors) + int(wrong_images(scores, labels, among).sum())
                errors_of[f'top{k}'] = 100 * wrong / len(results)
            metrics.update({f'{prefix}error/{k}': v for k, v in errors_of.items()})
            metrics.update({f'{prefix}accuracy/{k}': 100 - v for k, v in errors_of.items()})
        if undefined:
            print_log(f'{undefined} of {len(results)} images have posteriors of NaN', 'current')
        return metrics
