"""One net, one protocol, images some at a time."""

from collections.abc import Iterator, Sequence
from typing import Optional

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmpretrain.structures import DataSample

from vgg_mm.models.batch_work import telling
from vgg_mm.models.tta import PaperTTA
from vgg_mm.progress import Progress

from .images import ImageReader, Prepared
from .inputs import BGR, ImageLike
from .prediction import Prediction, ScoreMap, compute_score_map

#: Images that share forward passes where their shapes agree. On a CPU few: a result every few
#: seconds is worth more than the little that larger batches save there.
GPU_BATCH, CPU_BATCH = 32, 4


class Predictor:
    """What :func:`load_predictor` makes.

    Args:
        tta: The protocol around the net.
        images: Reads images for it.
        classes: Names of all classes.
        cfg: The config that it was made from.
        notices: What the user should know, one line each.

    Attributes:
        progress: Of the images, told also within a batch; None: nobody asks.
    """

    progress: Optional[Progress] = None

    def __init__(
        self,
        tta: PaperTTA,
        images: ImageReader,
        classes: list[str],
        cfg: Config,
        notices: Sequence[str] = (),
    ):
        self.tta = tta
        self.images = images
        self.classes = classes
        self.cfg = cfg
        self.notices = list(notices)

    @property
    def scales(self) -> tuple[int, ...]:
        """Test scales Q."""
        return self.images.scales

    @torch.inference_mode()
    def evaluate(self, batch: list[Prepared]) -> list[Optional[DataSample]]:
        """Data samples with ``pred_score``, as ``tools/test.py --tta`` has them; None if broken."""
        whole = [one.packed for one in batch if not one.error]
        found = iter(self._test(pseudo_collate(whole), len(batch)) if whole else [])
        return [None if one.error else next(found) for one in batch]

    def _test(self, data: dict, images: int) -> list[DataSample]:
        tell = None if self.progress is None else self.progress.within(images)
        with telling(self.tta, self.tta.pixels(data), tell):
            return self.tta.test_step(data)

    def predict(
        self,
        images: Sequence[ImageLike],
        top: int,
        channel_order: str = BGR,
        with_maps: bool = False,
        shown: Optional[int] = None,
    ) -> Iterator[Prediction]:
        """A result for each image, as they come.

        Args:
            images: Paths or pixels.
            top: How many classes; all, if there are fewer.
            channel_order: Of pixels: 'bgr' or 'rgb'.
            with_maps: Whether to keep photos and score maps.
            shown: Class number that pictures show the map of; by default the most probable.
        """
        size = CPU_BATCH if next(self.tta.parameters()).device.type == 'cpu' else GPU_BATCH
        for batch in self.images.batches(images, size, channel_order, with_maps):
            for prepared, sample in zip(batch, self.evaluate(batch)):
                if sample is None:
                    yield Prediction(prepared.name, error=prepared.error)
                else:
                    yield self._prediction(prepared, sample, top, with_maps, shown)

    def _prediction(
        self,
        prepared: Prepared,
        sample: DataSample,
        top: int,
        with_map: bool,
        shown: Optional[int],
    ) -> Prediction:
        posterior = sample.pred_score.float().cpu()
        scores, labels = posterior.topk(min(top, len(posterior)))
        labels = labels.tolist()
        shown = labels[0] if shown is None else shown
        photo = prepared.photo if with_map else None
        return Prediction(
            image=prepared.name,
            labels=labels,
            classes=[self.classes[label] for label in labels],
            scores=scores.tolist(),
            posterior=posterior.numpy(),
            photo=None if photo is None else photo[..., ::-1].copy(),
            score_map=self.score_map(prepared) if with_map else None,
            shown=shown,
            shown_class=self.classes[shown],
            protocol=self.tta.protocols[0],
            scales=self.scales,
        )

    def score_map(self, prepared: Prepared) -> ScoreMap:
        """The score map at the largest Q, by one more forward pass, of the image as it is."""
        view = max(prepared.packed['inputs'], key=lambda view: min(view.shape[-2:]))
        return compute_score_map(self.tta.module, view, self.tta.max_pixels)
