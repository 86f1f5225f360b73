"""One net, one protocol, image after image."""

import os
from collections.abc import Callable, Sequence
from typing import NamedTuple, Optional

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmpretrain.structures import DataSample

from vgg_mm.datasets import LoadImage
from vgg_mm.models.tta import PaperTTA

from .inputs import BGR, ImageLike, as_bgr
from .prediction import Prediction
from .score_map import ScoreMap, compute_score_map


class Prepared(NamedTuple):
    """An image on its way into the net.

    ``name`` is its path; ``photo`` uint8 (H, W, 3) BGR; ``packed`` what the pipeline made of it.
    """

    name: str
    photo: np.ndarray
    packed: dict


class Predictor:
    """What :func:`load_predictor` makes.

    Args:
        tta: The protocol around the net.
        load: First step of the pipeline, which reads a file.
        pipeline: The other steps.
        classes: Names of all classes.
        scales: Test scales Q.
        cfg: The config that it was made from.
        notices: What the user should know, one line each.
    """

    def __init__(
        self,
        tta: PaperTTA,
        load: LoadImage,
        pipeline: Callable[[dict], dict],
        classes: list[str],
        scales: tuple[int, ...],
        cfg: Config,
        notices: Sequence[str] = (),
    ):
        self.tta = tta
        self.load = load
        self.pipeline = pipeline
        self.classes = classes
        self.scales = tuple(scales)
        self.cfg = cfg
        self.notices = list(notices)

    def read(self, image: ImageLike, name: str, channel_order: str = BGR) -> dict:
        """What the pipeline begins with: ``img``, uint8 (H, W, 3) BGR, and so on.

        Args:
            image: A path, or pixels as :func:`as_bgr` takes them.
            name: What errors call it.
            channel_order: Of an array: 'bgr' or 'rgb'.

        Raises:
            OSError, ValueError: in one line with the name, if the image cannot be read.
        """
        if isinstance(image, (str, os.PathLike)):
            return self.load(dict(img_path=os.fspath(image)))
        try:
            img = as_bgr(image, channel_order)
        except ValueError as error:
            raise ValueError(f'{name}: {error}') from error
        return dict(img=img, img_path=name, img_shape=img.shape[:2], ori_shape=img.shape[:2])

    def prepare(self, image: ImageLike, name: str, channel_order: str = BGR) -> Prepared:
        """Read and rescale an image; arguments and errors are those of :meth:`read`.

        Raises:
            ValueError: if the rescaled image is too large.
        """
        results = self.read(image, name, channel_order)
        return Prepared(name, results['img'], self.pipeline(results))

    @torch.inference_mode()
    def evaluate(self, prepared: list[Prepared]) -> list[DataSample]:
        """The data samples of images with ``pred_score``, as ``tools/test.py --tta`` has them."""
        return self.tta.test_step(pseudo_collate([one.packed for one in prepared]))

    def score_map(self, prepared: Prepared) -> ScoreMap:
        """The score map at the largest Q, by one more forward pass, of the image as it is."""
        view = max(prepared.packed['inputs'], key=lambda view: min(view.shape[-2:]))
        return compute_score_map(self.tta.module, view, self.tta.max_pixels)

    def predict(
        self, prepared: Prepared, top: int, with_map: bool = False, shown: Optional[int] = None
    ) -> Prediction:
        """The result for one image.

        Args:
            prepared: The image.
            top: How many classes; all, if there are fewer.
            with_map: Whether to keep photo and score map.
            shown: Class number that pictures show the map of; by default the most probable.
        """
        (sample,) = self.evaluate([prepared])
        posterior = sample.pred_score.float().cpu()
        scores, labels = posterior.topk(min(top, len(posterior)))
        labels = labels.tolist()
        shown = labels[0] if shown is None else shown
        return Prediction(
            image=prepared.name,
            labels=labels,
            classes=[self.classes[label] for label in labels],
            scores=scores.tolist(),
            posterior=posterior.numpy(),
            photo=prepared.photo[..., ::-1].copy() if with_map else None,
            score_map=self.score_map(prepared) if with_map else None,
            shown=shown,
            shown_class=self.classes[shown],
            protocol=self.tta.protocols[0],
            scales=self.scales,
        )
