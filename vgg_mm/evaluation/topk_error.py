"""The paper's figure of merit."""

from mmpretrain.evaluation import Accuracy

from vgg_mm.registry import METRICS


@METRICS.register_module()
class TopKError(Accuracy):
    """Top-k error beside MMPretrain's accuracy, both in percent.

    Gives ``error/top1`` and ``error/top5`` as well as ``accuracy/top1`` and ``accuracy/top5``. The
    top-k error is the share of images whose true class is not among the k most probable (paper,
    Section 4).

    Args:
        topk: The k; arguments as in MMPretrain's ``Accuracy``.
    """

    default_prefix = None  # the keys below carry their own

    def __init__(self, topk=(1, 5), **kwargs):
        # thrs=None: a posterior that underflows to 0 still has its rank.
        super().__init__(topk=topk, thrs=None, **kwargs)

    def compute_metrics(self, results: list) -> dict[str, float]:
        accuracies = super().compute_metrics(results)
        metrics = {f'error/{name}': max(0.0, 100 - value) for name, value in accuracies.items()}
        metrics.update({f'accuracy/{name}': value for name, value in accuracies.items()})
        return metrics
