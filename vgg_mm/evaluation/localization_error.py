"""The figure of merit of ILSVRC's localisation task (Appendix A.2)."""

from collections.abc import Sequence
from typing import Any, Union

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from torchvision.ops import box_iou

from vgg_mm.datasets.transforms.loading import LOAD_ERROR
from vgg_mm.datasets.transforms.rescale import BOXES
from vgg_mm.registry import METRICS
from vgg_mm.text import positive_integers

from .test_record import wilson_interval

#: Prefix of the metric's keys.
PREFIX = 'localisation'

CLASS_KNOWN = 'error_class_known'


@METRICS.register_module()
class LocalizationError(BaseMetric):
    """Share of images whose object is not found, in percent.

    - ``localisation/error_class_known``: the box for the true class has no IoU above ``iou_thr``
      with any true box (the paper's Table 8, with a central crop).
    - ``localisation/error_top5``: none of the first five guesses, each a class with a box, has both
      the true class and such a box (Table 9); where the full test was made.

    Predictions and true boxes are in the same coordinates, the crop's or the photo's: IoU does not
    depend on which. Images that could not be read count as errors.

    Args:
        topk: The k.
        iou_thr: IoU that a right box exceeds, in [0, 1).
        kwargs: As in mmengine's ``BaseMetric``.

    Raises:
        ValueError: if an argument is invalid; while testing, if an image has no true boxes.
    """

    default_prefix = PREFIX

    def __init__(
        self, topk: Union[int, Sequence[int]] = (1, 5), iou_thr: float = 0.5, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.topk = positive_integers('LocalizationError: topk', topk)
        if not isinstance(iou_thr, (int, float)) or not 0 <= iou_thr < 1:
            raise ValueError(f'LocalizationError: iou_thr must be in [0, 1), got {iou_thr!r}')
        self.iou_thr = iou_thr

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep, for each image, whether its guesses are right."""
        for sample in data_samples:
            if BOXES not in sample or 'pred_bboxes' not in sample:
                missing = BOXES if BOXES not in sample else 'pred_bboxes'
                raise ValueError(
                    f'LocalizationError: a test image has no {missing}: this needs '
                    "PackInputs(algorithm_keys=('gt_bboxes',)) and a vgg_mm.LocalisationHead"
                )
            readable = not sample.get(LOAD_ERROR)
            label, true = int(sample['gt_label']), _tensor(sample[BOXES])
            known = _tensor(sample['pred_bboxes'])
            if not len(true):
                raise ValueError('LocalizationError: a test image has no true boxes')
            if label >= len(known) > 1:
                raise ValueError(
                    f'LocalizationError: a test image is of class {label}, the net has boxes for '
                    f'{len(known)} classes'
                )
            of_class = known[label if len(known) > 1 else 0]
            result = {CLASS_KNOWN: readable and self._finds(of_class, true)}
            guesses = sample.get('pred_instances')
            if guesses is not None:
                self._check_number(len(guesses['labels']), sample)
                pairs = zip(_tensor(guesses['labels']), _tensor(guesses['bboxes']))
                right = [readable and c == label and self._finds(box, true) for c, box in pairs]
                result.update({f'error_top{k}': any(right[:k]) for k in self.topk})
            self.results.append(result)

    def _check_number(self, guesses: int, sample: dict) -> None:
        """There are as many guesses as the largest k, or one of each class."""
        k = max(self.topk)
        if guesses < min(k, len(sample.get('pred_score', ()))):
            raise ValueError(
                f'LocalizationError: error_top{k} needs {k} guesses of each image, the net makes '
                f'{guesses}: set tta_model.topk={k}, or test_evaluator.topk={guesses}'
            )

    def _finds(self, box: torch.Tensor, true: torch.Tensor) -> bool:
        return bool((box_iou(box[None], true) > self.iou_thr).any())

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        metrics, lines = {}, []
        for name in results[0]:
            wrong = sum(not result[name] for result in results)
            metrics[name] = 100 * wrong / len(results)
            low, high = wilson_interval(wrong, len(results))
            lines.append(
                f'  {name}: {metrics[name]:.1f} % [{100 * low:.1f}, {100 * high:.1f}], '
                f'{wrong} of {len(results)} images'
            )
        title = f'localisation error at IoU {self.iou_thr:g}, with its 95 % interval:'
        print_log('\n'.join([title, *lines]), 'current')
        return metrics


def _tensor(values: Union[torch.Tensor, np.ndarray]) -> torch.Tensor:
    return torch.as_tensor(values, dtype=torch.float64, device='cpu')
