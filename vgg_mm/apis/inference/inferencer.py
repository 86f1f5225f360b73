"""The paper's protocols behind the interface of MMPretrain's inferencers."""

import os
from collections.abc import Iterator, Sequence
from typing import Any, Optional, Union

import numpy as np
import torch
from mmengine.config import Config
from mmpretrain.apis import ImageClassificationInferencer
from mmpretrain.structures import DataSample
from mmpretrain.visualization import UniversalVisualizer

from vgg_mm.apis.runner import AUTO
from vgg_mm.datasets.transforms.loading import LOAD_ERROR
from vgg_mm.text import check_positive

from .images import ImageLike, Prepared, as_rgb, as_sources, name, picture_paths
from .predictor import load_predictor


class VGGInferencer(ImageClassificationInferencer):
    """MMPretrain's inferencer for image classification by the paper's protocols (Section 3.2).

    >>> inferencer = VGGInferencer(pretrained='work_dirs/vgg16_jitter_clothing/epoch_16.pth')
    >>> inferencer('photo.jpg')
    [{'pred_scores': array([...]), 'pred_label': 6, 'pred_score': 0.83, 'pred_class': 'shoes'}]

    It takes what MMPretrain's takes: paths, BGR arrays, and lists of them; also folders with
    sub-folders and patterns. An image that cannot be read does not stop the others: its result is
    ``{'error': reason}`` (with ``return_datasamples``, a sample with ``load_error`` and no
    prediction). Drawing (``show_dir`` and so on) is MMPretrain's; for score maps see
    :func:`vgg_mm.apis.predict`. Notices on the net, such as the assumed pre-processing,
    are printed on standard error when it is loaded.

    Args:
        model: Config, its file, or a model's name in MMPretrain's lists; by default the config in
            the checkpoint, or one recognised from its weights.
        pretrained: Checkpoint file, folder of a run, URL or ``torchvision://vgg16``, no code in
            it is run. True, the default: the published weights of the model named.
        device, classes, protocol, scales, kernels: As of :func:`vgg_mm.apis.predict`.

    Raises:
        FileNotFoundError, ValueError: as :func:`vgg_mm.apis.predict`.
    """

    def __init__(
        self,
        model: Union[str, os.PathLike, Config, None] = None,
        pretrained: Union[str, os.PathLike, bool] = True,
        device: Union[str, torch.device, None] = None,
        classes: Optional[Sequence[str]] = None,
        protocol: str = 'dense',
        scales: Union[int, Sequence[int], None] = None,
        kernels: str = AUTO,
    ):
        # The parent's constructor would look for the model among MMPretrain's.
        if not pretrained or pretrained is True and model is None:
            raise ValueError(
                'VGGInferencer: give pretrained=CHECKPOINT, or a model that has published weights, '
                f'got model={model!r}, pretrained={pretrained!r}'
            )
        self.predictor = load_predictor(
            pretrained, model, protocol, scales, device, classes, kernels
        )
        self.predictor.net.print_notices()
        self.config = self.predictor.cfg
        self.model = self.predictor.tta
        self.pipeline = self.predictor.images.pipeline
        self.classes = self.predictor.classes
        self.visualizer: Any = None

    def _inputs_to_list(self, inputs: Union[ImageLike, Sequence[ImageLike]]) -> list[ImageLike]:
        return as_sources(inputs)

    def preprocess(self, inputs: list[ImageLike], batch_size: int = 1) -> Iterator[list[Prepared]]:
        """Read the images, ``batch_size`` at a time."""
        check_positive('VGGInferencer', batch_size=batch_size)
        return self.predictor.images.batches(inputs, batch_size)

    def forward(self, inputs: list[Prepared]) -> list[DataSample]:
        """A data sample for each image, in order."""
        return [
            DataSample(metainfo={LOAD_ERROR: one.error}) if sample is None else sample
            for one, sample in zip(inputs, self.predictor.evaluate(inputs))
        ]

    def visualize(
        self,
        ori_inputs: list[ImageLike],
        preds: list[DataSample],
        show: bool = False,
        show_dir: Optional[str] = None,
        **kwargs: Any,
    ) -> Optional[list[Optional[np.ndarray]]]:
        """MMPretrain's pictures, of the pixels that the net saw; None for broken images.

        Those of a folder are in ``show_dir`` as the images are in their folder.
        """
        if not show and show_dir is None:
            return None
        self.visualizer = self.visualizer or UniversalVisualizer()
        names = [name(image, i) for i, image in enumerate(ori_inputs)]
        files = [None] * len(names) if show_dir is None else picture_paths(names, show_dir)
        drawn: list[Optional[np.ndarray]] = []
        for image, called, sample, file in zip(ori_inputs, names, preds, files):
            if LOAD_ERROR in sample:
                drawn.append(None)
                continue
            photo = as_rgb(self.predictor.images.read(image, called)['img'])
            self.visualizer.visualize_cls(
                photo, sample, self.classes, draw_gt=False, show=show, name=called, out_file=file,
                **kwargs,
            )  # fmt: skip
            drawn.append(self.visualizer.get_image())
        if show:
            self.visualizer.close()
        return drawn

    def postprocess(
        self,
        preds: list[DataSample],
        visualization: Optional[list[Optional[np.ndarray]]],
        return_datasamples: bool = False,
    ) -> list[Union[dict, DataSample]]:
        """MMPretrain's result for each image, or the reason why there is none."""
        if return_datasamples:
            return preds
        return [
            dict(error=sample.get(LOAD_ERROR))
            if LOAD_ERROR in sample
            else super(VGGInferencer, self).postprocess([sample], None)[0]
            for sample in preds
        ]
