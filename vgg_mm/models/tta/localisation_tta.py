"""The full localisation test: dense boxes, merged and rated by class scores (Appendix A.2)."""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Optional, Union

import torch
import torch.nn as nn
from mmengine.config import Config
from mmengine.model import BaseTTAModel
from mmengine.structures import InstanceData
from mmpretrain.structures import DataSample

from vgg_mm.checkpoints import (
    load_by_name,
    noted_preprocessing,
    preprocessing_of,
    recorded_classes,
    weights_of,
)
from vgg_mm.checkpoints.weights import first_of, misfits
from vgg_mm.datasets.class_names import class_numbers
from vgg_mm.registry import MODELS
from vgg_mm.text import check_positive, positive_integers

from ..batch_work import pixels_in
from .merging import MATCH_THRESHOLD, merge_boxes
from .strips import Views, is_to_be_cut, places_by_shape, score_maps_in_strips

#: The test scales Q at which a net is used; None for all.
Scales = Optional[tuple[int, ...]]


class _Predictions(NamedTuple):
    """The nets' outputs for one image at one Q."""

    boxes: list[torch.Tensor]  # of each localiser: (num_boxes, positions, 4), in image pixels
    class_map: torch.Tensor  # (num_classes, positions): posteriors, the mean over classifiers
    posterior: torch.Tensor  # (num_classes,): dense evaluation at this Q


@MODELS.register_module()
class LocalisationTTA(BaseTTAModel):
    """Boxes predicted at every position of the map, merged greedily, rated by a classifier.

    At each test scale Q the localisation net predicts a box at every position of fc6's window.
    Boxes are carried back to the image: window (i, j) begins 32 i pixels below and 32 j right of
    the corner of the image rescaled to Q. Those of all Q, and of all nets, form one set (paper,
    A.2: "we first take the union of their sets of bounding box predictions, and then run the
    merging procedure on the union"), which :func:`~vgg_mm.models.tta.merging.merge_boxes` merges.
    A prediction counts with the posterior of the class at its position, from the classification
    net; a merged box with their sum.

    The ``topk`` classes that dense evaluation of the classification net ranks first (over all Q)
    each get their merged box with the highest sum, cut at the image's edges. Per-class regressors
    give other boxes for each class, single-class regressors the same.

    Input is what ``vgg_mm.TestScales`` makes of an image, as for :class:`PaperTTA`; data samples
    need ``ori_shape``.

    Args:
        module: The localisation net, an ``ImageClassifier`` with a :class:`LocalisationHead`.
        classifiers: Classification nets, at least one, each ``dict(config=..., checkpoint=...)``,
            where config is a path or the dict of a model, and, if not all, ``scales``: the Q at
            which it takes part. Their posteriors are averaged.
        localisers: More localisation nets, given in the same way.
        scales: The Q at which ``module`` takes part; all by default.
        topk: Number of guesses for an image.
        threshold: Boxes that match worse are not merged; 0 merges equal boxes only.
        max_pixels: Maximum number of pixels in one forward pass; larger images go through in
            strips, whole if the net has norms that see the whole map.
        data_preprocessor: As in mmengine's ``BaseTTAModel``.

    Raises:
        FileNotFoundError, ValueError: in one line, if a net cannot be loaded or an argument is
            invalid.
    """

    def __init__(
        self,
        module: Union[dict, nn.Module],
        classifiers: Sequence[dict],
        localisers: Sequence[dict] = (),
        scales: Union[int, Sequence[int], None] = None,
        topk: int = 5,
        threshold: float = MATCH_THRESHOLD,
        max_pixels: int = 2**20,
        data_preprocessor: Union[dict, None] = None,
    ):
        super().__init__(module, data_preprocessor)
        check_positive('LocalisationTTA', topk=topk, max_pixels=max_pixels)
        if not isinstance(threshold, (int, float)) or not threshold >= 0:
            raise ValueError(
                f'LocalisationTTA: threshold must be a number from 0, got {threshold!r}'
            )
        if not classifiers:
            raise ValueError('LocalisationTTA: classifiers must contain a classification net')
        self.topk, self.threshold, self.max_pixels = topk, threshold, max_pixels
        rated = [_load_net(m, f'tta_model.classifiers.{i}') for i, m in enumerate(classifiers)]
        found = [_load_net(m, f'tta_model.localisers.{i}') for i, m in enumerate(localisers)]
        self.classifiers = nn.ModuleList(one.net for one in rated)
        self.localisers = nn.ModuleList(one.net for one in found)
        self._classifier_scales = [one.scales for one in rated]
        self._localiser_scales = [_scales(scales, 'tta_model'), *(one.scales for one in found)]
        self._loaded = [*rated, *found]
        self._orders: dict[nn.Module, list[int]] = {}
        self._check_heads()

    def _check_heads(self) -> None:
        nets = [self.module, *self.localisers, *self.classifiers]
        first = self.module.head
        for position, net in enumerate(nets):
            localises = position <= len(self.localisers)
            if hasattr(net.head, 'decode') != localises or not hasattr(net.head, 'score_map'):
                needed = 'LocalisationHead' if localises else 'ConvHead'
                raise ValueError(
                    f'LocalisationTTA: a {"localiser" if localises else "classifier"} has a '
                    f'{type(net.head).__name__}, it needs a vgg_mm.{needed}'
                )
            for name in ('kernel_size', 'num_classes'):
                if getattr(net.head, name) != getattr(first, name):
                    raise ValueError(
                        f'LocalisationTTA: the nets differ in {name}: {getattr(first, name)} and '
                        f'{getattr(net.head, name)}'
                    )

    def match_classes(self, classes: Sequence[str]) -> list[str]:
        """Put the outputs of ``classifiers`` and ``localisers`` into the order of these classes.

        Args:
            classes: Names of the classes of labels and ``module``.

        Returns:
            A line for each net whose checkpoint records another order.

        Raises:
            ValueError: in one line, if a checkpoint records other classes.
        """
        lines, self._orders = [], {}
        for net, where, _, recorded in self._loaded:
            recorded = classes if recorded is None else recorded
            order = class_numbers(classes, recorded)
            if order == list(range(len(classes))):
                continue
            numbers = [number for number in order if number is not None]
            if len(set(numbers)) < len(classes):
                name = next((c for c, number in zip(classes, order) if number is None), classes[0])
                raise ValueError(
                    f'{where} was trained on other classes ({recorded[0]!r}, ...): {name!r} is '
                    'none of them; if they mean the same, in order: '
                    '--cfg-options default_hooks.class_check.names=False'
                )
            self._orders[net] = numbers
            lines.append(f'{where} was trained on the classes in another order: matched by name')
        return lines

    def _members(self, q: int) -> tuple[list[Any], list[Any]]:
        """The localisers and the classifiers that are used at test scale q."""
        localisers = _looking([self.module, *self.localisers], self._localiser_scales, q)
        classifiers = _looking(self.classifiers, self._classifier_scales, q)
        if localisers and not classifiers:
            raise ValueError(
                f'LocalisationTTA: no classifier looks at Q={q}, at which boxes are predicted; '
                'add it to tta_model.classifiers.0.scales'
            )
        return localisers, classifiers

    def test_step(self, data: dict) -> list[DataSample]:
        """Predict a batch.

        Args:
            data: As in :meth:`PaperTTA.test_step`.

        Returns:
            The data samples with ``pred_score``, the posterior (num_classes,); ``pred_label``;
            ``pred_instances``, the guesses, best first, with ``bboxes`` (k, 4) x1 y1 x2 y2 in
            pixels of the photo, ``labels`` and ``scores`` (k,); and, where there is a ``gt_label``,
            ``pred_bboxes`` (1, 4), the box of that class.

        Raises:
            ValueError: if an image is smaller than a crop, or no net is used at one of the Q.
        """
        images: list[Views] = list(zip(*data['inputs']))
        samples = data.get('data_samples') or [DataSample() for _ in images]
        predictions: list[list[_Predictions]] = [[] for _ in images]
        for places in places_by_shape(images).values():
            views = torch.stack([images[i][j] for i, j in places])
            sizes = [samples[i].ori_shape for i, _ in places]
            for (i, _), prediction in zip(places, self._predict(views, sizes)):
                predictions[i].append(prediction)
        results = [self.merge_preds(p, s) for p, s in zip(predictions, samples)]
        # Hooks that draw predictions expect one image a sample in the batch.
        data['inputs'] = [views[-1] for views in images]
        return results

    def pixels(self, data: dict) -> int:
        """Number of pixels that go through all nets for a batch, as :meth:`test_step` takes it."""
        views = [view for scale in data['inputs'] for view in scale]
        return sum(
            pixels_in(view) * sum(map(len, self._members(min(view.shape[-2:])))) for view in views
        )

    def _predict(self, views: torch.Tensor, sizes: Sequence[tuple[int, int]]) -> list[_Predictions]:
        """uint8 (N, 3, H, W) of images of these (height, width)."""
        height, width = views.shape[-2:]
        localisers, classifiers = self._members(min(height, width))
        if not classifiers:
            return []
        scores = [self._in_order(net, self._map(net, views).float()) for net in classifiers]
        class_maps = torch.stack([s.softmax(dim=1) for s in scores]).mean(0).flatten(2)
        posteriors = torch.stack([s.mean(dim=(2, 3)).softmax(dim=1) for s in scores]).mean(0)
        boxes = []
        for net in localisers:
            parameters = self._map(net, views).unflatten(1, (net.head.num_boxes, -1))
            found = net.head.decode(parameters).flatten(2, 3)
            boxes.append(found if net.head.num_boxes == 1 else self._in_order(net, found))
        factors = views.new_tensor(
            [[w / width, h / height] * 2 for h, w in sizes], dtype=torch.float64
        )
        return [
            _Predictions(
                [b[i] * factors[i].to(b.device) for b in boxes], class_maps[i], posteriors[i]
            )
            for i in range(len(views))
        ]

    def _in_order(self, net: nn.Module, outputs: torch.Tensor) -> torch.Tensor:
        """(N, classes, ...) of a net -> in the order of the labels' classes."""
        order = self._orders.get(net)
        return outputs if order is None else outputs[:, order]

    def _map(self, net: Any, views: torch.Tensor) -> torch.Tensor:
        """fc8's outputs of a net at every position: (N, outputs, h, w)."""
        inputs = net.data_preprocessor(dict(inputs=views), training=False)['inputs']
        height, width = inputs.shape[-2:]
        if is_to_be_cut(net, inputs, self.max_pixels):
            axis = 3 if width >= height else 2
            strips = [score_maps_in_strips(net, image[None], self.max_pixels) for image in inputs]
            return torch.cat([torch.cat(list(parts), dim=axis) for parts in strips])
        parts = inputs.split(max(1, self.max_pixels // (height * width)))
        return torch.cat([net.head.score_map(net.extract_feat(part)) for part in parts])

    def merge_preds(self, predictions: list[_Predictions], sample: DataSample) -> DataSample:
        """Merge what is predicted at all Q for one image; see :meth:`test_step`."""
        if not any(prediction.boxes for prediction in predictions):
            raise ValueError(
                'LocalisationTTA: no localisation net looks at any Q of the pipeline; see '
                'tta_model.scales'
            )
        posterior = torch.stack([prediction.posterior for prediction in predictions]).mean(0)
        labels = posterior.topk(min(self.topk, len(posterior))).indices
        boxes = torch.stack([self._best_box(predictions, c, sample) for c in labels.tolist()])
        guesses = InstanceData(bboxes=boxes, labels=labels, scores=posterior[labels])
        sample.set_pred_score(posterior).set_pred_label(posterior.argmax())
        sample.set_field(guesses, 'pred_instances')
        if 'gt_label' in sample:
            known = self._best_box(predictions, int(sample.gt_label), sample)
            sample.set_field(known[None], 'pred_bboxes')
        return sample

    def _best_box(
        self, predictions: list[_Predictions], label: int, sample: DataSample
    ) -> torch.Tensor:
        """(4,): the merged box of a class with the highest sum of class scores."""
        boxes, scores = [], []
        for prediction in predictions:
            for found in prediction.boxes:
                boxes.append(found[label if len(found) > 1 else 0])
                scores.append(prediction.class_map[label])
        merged, sums = merge_boxes(
            torch.cat(boxes).cpu().numpy(), torch.cat(scores).cpu().numpy(), self.threshold
        )
        height, width = sample.ori_shape
        best = torch.as_tensor(merged[sums.argmax()], dtype=torch.float32)
        return best.clamp(min=0).minimum(torch.tensor([width, height] * 2))


def _looking(nets: Iterable[Any], scales: Iterable[Scales], q: int) -> list[Any]:
    """The nets that are used at test scale q."""
    return [net for net, own in zip(nets, scales) if own is None or q in own]


class _Member(NamedTuple):
    """A net, the setting that it comes from, its Q, and the classes that its checkpoint records."""

    net: nn.Module
    where: str
    scales: Scales
    classes: Optional[Sequence[str]]


def _load_net(spec: Any, where: str) -> _Member:
    """A net of ``classifiers`` or ``localisers`` with its weights."""
    known = {'config', 'checkpoint', 'scales'}
    if not isinstance(spec, Mapping) or not {'config'} <= set(spec) <= known:
        raise ValueError(f'{where} must be dict(config=..., checkpoint=...[, scales=...])')
    checkpoint = spec.get('checkpoint')
    if not checkpoint:
        raise ValueError(
            f'{where}.checkpoint is not set: give the trained net, '
            f'--cfg-options {where}.checkpoint=FILE'
        )
    config = spec['config']
    if not isinstance(config, Mapping):
        if not os.path.isfile(config):
            raise FileNotFoundError(f'{where}.config not found: {config}')
        config = Config.fromfile(config).model
    net = MODELS.build(dict(config))
    loaded = load_by_name(checkpoint, map_location='cpu')
    weights, target = weights_of(loaded), net.state_dict()
    problems = list(misfits(weights, target).values())
    problems += [f'{name} is missing' for name in target.keys() - weights.keys()]
    if problems:
        raise ValueError(f'{where}: {checkpoint} is of another net: {first_of(sorted(problems))}')
    for name, tensor in target.items():
        tensor.copy_(weights[name].reshape(tensor.shape))
    expected = noted_preprocessing(loaded)
    if expected is not None and preprocessing_of(net.data_preprocessor) is not None:
        expected.put_into(net.data_preprocessor)
    return _Member(net, where, _scales(spec.get('scales'), where), recorded_classes(loaded))


def _scales(scales: Union[int, Sequence[int], None], where: str) -> Scales:
    """Q as a tuple; None stays."""
    if scales is None:
        return None
    return positive_integers(f'{where}.scales: test scales Q', scales)
