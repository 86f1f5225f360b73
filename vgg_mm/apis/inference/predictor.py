"""A net in one of the paper's protocols, with the pipeline for it: images some at a time."""

import os
from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any, Optional, Union

import torch
from mmengine.config import Config, ConfigDict
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import DefaultScope
from mmpretrain.registry import TRANSFORMS
from mmpretrain.structures import DataSample

from vgg_mm.apis.config import innermost
from vgg_mm.apis.runner import AUTO
from vgg_mm.apis.tta import find_step, training_scale
from vgg_mm.checkpoints import write_atomically
from vgg_mm.datasets.class_names import class_numbers
from vgg_mm.datasets.transforms.rescale import WORDS
from vgg_mm.installation import argument, check_choice, command
from vgg_mm.models.batch_work import telling
from vgg_mm.models.tta import PaperTTA
from vgg_mm.models.tta.paper_tta import DENSE, MULTI_CROP
from vgg_mm.progress import Progress
from vgg_mm.text import first_few, is_positive, positive_integers

from .images import BGR, CHANNEL_ORDERS, ImageLike, ImageReader, Prepared, name, picture_paths
from .load import LEFT_OUT, Checkpoint, TrainedNet, default_pipeline, load_net
from .prediction import Prediction, ScoreMap, check_has_map, compute_score_map
from .report import make_folder

#: Arguments of PaperTTA that the config's ``tta_model`` decides.
TTA_ARGUMENTS = ('grid', 'crop_size', 'flip', 'max_pixels')

#: Images that share forward passes where their shapes agree. On a CPU few: a result every few
#: seconds is worth more than the little that larger batches save there.
GPU_BATCH, CPU_BATCH = 32, 4


def load_predictor(
    checkpoint: Union[Checkpoint, bool, None],
    config: Union[str, os.PathLike, Config, None] = None,
    protocol: str = DENSE,
    scales: Union[int, Sequence[int], None] = None,
    device: Union[str, torch.device, None] = None,
    classes: Optional[Sequence[str]] = None,
    kernels: str = AUTO,
) -> 'Predictor':
    """:func:`load_net`, whose arguments and errors these are, as a :class:`Predictor`."""
    net = load_net(checkpoint, config, device, classes, kernels)
    if not net.classes:
        unused = ''.join(f' ({one})' for one in net.notices if one.startswith(LEFT_OUT))
        raise ValueError(
            f'{checkpoint} is a net without fc8 and cannot classify{unused}: '
            f'{command("finetune")} trains one, {command("features")} --layer pool5 gives features'
        )
    return Predictor(net, protocol, scales)


class Predictor:
    """A net that predicts classes.

    Args:
        net: With its class names, also in ``classes``, and its config, ``cfg``.
        protocol: 'dense', 'multi_crop' or 'dense+multi_crop'.
        scales: Test scales Q; by default the config's.

    Attributes:
        tta: The protocol around the net.
        images: Reads images for it.
        progress: Progress of the images, also within a batch; None: not reported.

    Raises:
        ValueError: in one line, if protocol or scales are invalid.
    """

    def __init__(
        self, net: TrainedNet, protocol: str = DENSE, scales: Union[int, Sequence[int], None] = None
    ):
        options = tta_options(net.cfg)
        if MULTI_CROP not in protocol:
            options.pop('grid', None)
        self.net, self.classes, self.cfg = net, net.classes, net.cfg
        self.tta = PaperTTA(net.model, protocol=protocol, **options).eval()
        self.images = image_reader(net.cfg, scales, self.tta.crop_size)
        self.progress: Optional[Progress] = None

    @torch.inference_mode()
    def evaluate(self, batch: list[Prepared]) -> list[Optional[DataSample]]:
        """Data samples with ``pred_score``, as ``tools/test.py --tta`` has them; None if broken."""
        whole = [one.packed for one in batch if not one.error]
        samples: Iterator[DataSample] = iter(())
        if whole:
            data = pseudo_collate(whole)
            tell = None if self.progress is None else self.progress.within(len(batch))
            with telling(self.tta, self.tta.pixels(data), tell):
                samples = iter(self.tta.test_step(data))
        return [None if one.error else next(samples) for one in batch]

    def predict(
        self,
        images: list[ImageLike],
        top: int = 5,
        channel_order: str = BGR,
        heatmap: Optional[str] = None,
        score_maps: bool = False,
        shown_class: Optional[str] = None,
    ) -> Iterator[Prediction]:
        """A result for each image, as they come, with its picture written.

        Args:
            images: Paths or pixels.
            top, channel_order, heatmap, score_maps, shown_class: As of
                :func:`vgg_mm.apis.predict`, with its errors.
        """
        if not is_positive(top):
            raise ValueError(f'{argument("top")} must be a positive number of classes, got {top!r}')
        check_choice('channel_order', channel_order, CHANNEL_ORDERS)
        with_maps = score_maps or heatmap is not None
        if with_maps:
            check_has_map(self.tta.module)
        if shown_class is not None and heatmap is None:
            raise ValueError(
                f'{argument("shown_class", shown_class)} is for pictures: give '
                f'{argument("heatmap", "FOLDER")}'
            )
        shown = None if shown_class is None else self._class_number(shown_class)
        files = iter([''] * len(images))
        if heatmap is not None:
            make_folder(heatmap, argument('heatmap'))
            files = iter(picture_paths([name(one, i) for i, one in enumerate(images)], heatmap))
        self.net.print_notices()
        size = CPU_BATCH if next(self.tta.parameters()).device.type == 'cpu' else GPU_BATCH
        for batch in self.images.batches(images, size, channel_order, with_maps):
            for prepared, sample, file in zip(batch, self.evaluate(batch), files):
                if sample is None:
                    yield Prediction(prepared.name, error=prepared.error)
                    continue
                found = self._prediction(prepared.name, sample, top, shown)
                if with_maps:
                    found.photo, found.score_map = prepared.photo, self.score_map(prepared)
                if file:
                    write_atomically(file, found.png())
                    found.picture = file
                if not score_maps:
                    found.photo = found.score_map = None
                yield found

    def _prediction(
        self, name: str, sample: DataSample, top: int, shown: Optional[int]
    ) -> Prediction:
        posterior = sample.pred_score.float().cpu()
        scores, best = posterior.topk(min(top, len(posterior)))
        labels = best.tolist()
        shown = labels[0] if shown is None else shown
        return Prediction(
            image=name,
            labels=labels,
            classes=[self.classes[label] for label in labels],
            scores=scores.tolist(),
            posterior=posterior.numpy(),
            shown=shown,
            shown_class=self.classes[shown],
            protocol=self.tta.protocols[0],
            scales=self.images.scales,
        )

    def _class_number(self, name: str) -> int:
        (number,) = class_numbers([name], self.classes)
        if number is None:
            known = first_few(self.classes, 10)
            raise ValueError(
                f'{argument("shown_class")}: the net has no class {name!r}; available: {known}'
            )
        return number

    def score_map(self, prepared: Prepared) -> ScoreMap:
        """The score map at the largest Q, by one more forward pass, of the image as it is."""
        view = max(prepared.packed['inputs'], key=lambda view: min(view.shape[-2:]))
        return compute_score_map(self.tta.module, view, self.tta.max_pixels)


def tta_options(cfg: Config) -> dict[str, Any]:
    """The settings of the config's protocol, if it is one of the paper's."""
    found = cfg.get('tta_model') or {}
    if found.get('type') != 'vgg_mm.PaperTTA':
        return {}
    return {key: found[key] for key in TTA_ARGUMENTS if key in found}


def image_reader(
    cfg: Config, scales: Union[int, Sequence[int], None], smallest: int
) -> ImageReader:
    """What reads images as the config's protocol does.

    Args:
        cfg: Of the net.
        scales: Test scales Q; None: the config's.
        smallest: The least Q that the net takes.

    Raises:
        ValueError: in one line, if a Q is less, or the config has no pipeline for the protocols.
    """
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmpretrain')):
        load, *steps = [TRANSFORMS.build(step) for step in _pipeline(cfg, scales)]
    found = tuple(next(step.scales for step in steps if hasattr(step, 'scales')))
    if min(found) < smallest:
        raise ValueError(
            f'test scale Q={min(found)} is smaller than the crop; '
            f'Q must be at least {smallest} for this net'
        )
    return ImageReader(load, Compose(steps), found)


def _pipeline(cfg: Config, scales: Union[int, Sequence[int], None]) -> list[ConfigDict]:
    """The config's pipeline for the protocols, images loaded so that errors name them."""
    pipeline = deepcopy(list(cfg.get('tta_pipeline') or default_pipeline()))
    step = find_step(pipeline, 'vgg_mm.TestScales')
    if step is None:
        raise ValueError("the config's tta_pipeline has no vgg_mm.TestScales")
    if scales is not None:
        step.scales = positive_integers(argument('scales'), scales)
    elif step.scales in WORDS and 'trained_at' not in step:
        step.trained_at = training_scale(cfg)
        if step.trained_at is None:
            raise ValueError(
                'the config does not say at which scales to test (tta_pipeline, or '
                f'vgg_mm.ScaleJitter in its training pipeline); give Q with {argument("scales")}'
            )
    first = pipeline[0]
    if first.type.rpartition('.')[2] == 'LoadImageFromFile':
        first.type = 'vgg_mm.LoadImage'  # the same pixels
    if first.type != 'vgg_mm.LoadImage':
        raise ValueError(
            f"the config's tta_pipeline begins with {first.type}, not with vgg_mm.LoadImage"
        )
    channels = (innermost(cfg).get('backbone') or {}).get('in_channels', 3)
    if channels != 3:
        first.setdefault('in_channels', channels)
    return pipeline
