"""The paper's test protocol as a test-time-augmentation model (Section 3.2)."""

from typing import Optional, Union

import torch
import torch.nn as nn
from mmengine.model import BaseTTAModel
from mmpretrain.structures import DataSample

from vgg_mm.registry import MODELS

PROTOCOLS = ('dense',)


@MODELS.register_module()
class PaperTTA(BaseTTAModel):
    """Dense evaluation at one or several test scales Q.

    For each Q: the whole rescaled image goes through the fully-convolutional net, the class score
    map is averaged over its positions, the soft-max is taken, and the posteriors of the image and
    of its horizontal flip are averaged. Posteriors are then averaged over all Q. Soft-max comes
    after the average over positions and before the averages over flips and scales.

    The input is what the transform ``vgg_mm.TestScales`` makes of an image: uint8 tensors
    (3, H, W), one per Q.

    Args:
        module: The classifier, an :class:`mmpretrain.ImageClassifier` with a :class:`ConvHead`.
        protocol: 'dense'.
        flip: Whether the horizontal flip takes part.
        max_pixels: Most pixels in one forward pass, which bounds memory; images of equal shape
            share a pass up to it.
        data_preprocessor: As in mmengine's ``BaseTTAModel``.

    Raises:
        ValueError: if the protocol is unknown or the head has no score map.
    """

    def __init__(
        self,
        module: Union[dict, nn.Module],
        protocol: str = 'dense',
        flip: bool = True,
        max_pixels: int = 2**22,
        data_preprocessor: Optional[dict] = None,
    ):
        super().__init__(module, data_preprocessor)
        if protocol not in PROTOCOLS:
            raise ValueError(
                f'PaperTTA: unknown protocol {protocol!r}; choose one of {", ".join(PROTOCOLS)}'
            )
        if not hasattr(getattr(self.module, 'head', None), 'score_map'):
            raise ValueError(
                'PaperTTA: dense evaluation needs a head with a score map; '
                "set head=dict(type='vgg_mm.ConvHead', ...)"
            )
        self.protocol = protocol
        self.flip = flip
        self.max_pixels = max_pixels

    def test_step(self, data: dict) -> list[DataSample]:
        """Predict a batch.

        Args:
            data: As mmengine's ``pseudo_collate`` makes it: ``inputs``, a list (one entry a Q) of
                lists (one entry an image) of uint8 tensors (3, H, W); ``data_samples``, a list of
                :class:`DataSample`, one an image.

        Returns:
            The data samples with ``pred_score``, the posterior (num_classes,), and ``pred_label``.
        """
        images = list(zip(*data['inputs']))
        samples = data.get('data_samples') or [DataSample() for _ in images]
        posteriors = self.merge_preds(self._posteriors(images))
        for sample, posterior in zip(samples, posteriors):
            sample.set_pred_score(posterior).set_pred_label(posterior.argmax())
        # Hooks that draw predictions expect one image a sample in the batch.
        data['inputs'] = [views[-1] for views in images]
        return samples

    def merge_preds(self, data_samples_list: list[list[torch.Tensor]]) -> list[torch.Tensor]:
        """Average each image's posteriors over its test scales."""
        return [torch.stack(posteriors).mean(0) for posteriors in data_samples_list]

    def _posteriors(self, images: list[tuple[torch.Tensor, ...]]) -> list[list[torch.Tensor]]:
        """The posterior of every image at every Q; views of equal shape share a forward pass."""
        by_shape: dict[torch.Size, list[tuple[int, int]]] = {}
        for i, views in enumerate(images):
            for j, view in enumerate(views):
                by_shape.setdefault(view.shape, []).append((i, j))
        posteriors: list[list] = [[None] * len(views) for views in images]
        for shape, places in by_shape.items():
            images_per_pass = max(1, self.max_pixels // (shape[-2] * shape[-1]))
            for first in range(0, len(places), images_per_pass):
                group = places[first : first + images_per_pass]
                batch = torch.stack([images[i][j] for i, j in group])
                for (i, j), posterior in zip(group, self._dense(batch)):
                    posteriors[i][j] = posterior
        return posteriors

    def _dense(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 (N, 3, H, W) -> posteriors (N, num_classes)."""
        inputs = self.module.data_preprocessor(dict(inputs=images), training=False)['inputs']
        posterior = self._averaged_softmax(inputs)
        if self.flip:
            posterior = (posterior + self._averaged_softmax(inputs.flip(-1))) / 2
        return posterior

    def _averaged_softmax(self, inputs: torch.Tensor) -> torch.Tensor:
        scores = self.module.head.score_map(self.module.extract_feat(inputs))
        return scores.float().mean(dim=(2, 3)).softmax(dim=1)
