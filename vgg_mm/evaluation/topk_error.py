"""The paper's figure of merit."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from mmpretrain.evaluation import Accuracy

from vgg_mm.datasets.transforms.loading import LOAD_ERROR
from vgg_mm.registry import METRICS


@METRICS.register_module()
class TopKError(Accuracy):
    """Top-k error in addition to MMPretrain's accuracy, both in percent.

    Gives ``error/top1`` and ``error/top5`` as well as ``accuracy/top1`` and ``accuracy/top5``. The
    top-k error is the share of images whose true class is not among the k most probable (paper,
    Section 4). Of several protocols tested at once each has its own: ``dense/error/top1``.

    Images that could not be read, if testing continues, count as errors and are listed.

    Args:
        topk: The k; arguments as in MMPretrain's ``Accuracy``. Where there are no more than k
            classes, the top-k error is 0.
    """

    default_prefix = ''  # the keys below carry their own

    def __init__(self, topk=(1, 5), **kwargs):
        # thrs=None: a posterior that underflows to 0 still has its rank.
        super().__init__(topk=topk, thrs=None, **kwargs)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        super().process(data_batch, data_samples)
        for result, sample in zip(self.results[-len(data_samples) :], data_samples):
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
        metrics = {}
        for name in readable[0]['pred_scores'] or ('',):
            scores = [r['pred_scores'].get(name, r['pred_score']) for r in readable]
            protocol = [dict(r, pred_score=self._padded(s)) for r, s in zip(readable, scores)]
            share = len(readable) / len(results)
            accuracies = {k: v * share for k, v in super().compute_metrics(protocol).items()}
            prefix = f'{name}/' if name else ''
            metrics.update({f'{prefix}error/{k}': max(0.0, 100 - v) for k, v in accuracies.items()})
            metrics.update({f'{prefix}accuracy/{k}': v for k, v in accuracies.items()})
        return metrics

    def _padded(self, score: torch.Tensor) -> torch.Tensor:
        """With classes that are never right, where there are fewer than k: nothing is beyond k."""
        missing = max(self.topk) - score.shape[-1]
        return F.pad(score, (0, missing), value=-math.inf) if missing > 0 else score
