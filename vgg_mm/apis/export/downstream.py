"""Segmentors of MMSegmentation and SSD of MMDetection as what is to be exported."""

import json
from typing import Any, NamedTuple, Optional

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from vgg_mm.architectures import STRIDE
from vgg_mm.checkpoints import Preprocessing, preprocessing_of, recorded_classes
from vgg_mm.version import __version__

from ..downstream import check_package
from ..inference.load import load_weights
from .graph import NormalisingGraph

#: Side of a segmentor's images unless another is given, in pixels.
SEGMENTORS_SIZE = 512

#: Of a segmentor and of SSD: what the graph computes, with its shape.
SEGMENTORS_OUTPUTS = {
    'scores': '(N, classes, H, W), before the soft-max',
    'posterior': '(N, classes, H, W), the soft-max of the scores',
}
SSDS_OUTPUTS = {
    'boxes': '(N, boxes, 4 + classes), before nms: x1, y1, x2, y2 in pixels of the input, then the '
    'soft-max of the classes, the background left out',
}

NO_TWO_STAGES = (
    'is a detector of two stages: what RoIAlign and nms of mmcv do has no form in ONNX that '
    "torch's exporter knows; MMDeploy, which brings these operators, exports such detectors; SSD "
    'and segmentors are exported here'
)


class ObjectNet(NamedTuple):
    """A segmentor or SSD in evaluation mode; else as :class:`~.source.Classifier`.

    ``crop`` is the side in pixels that a graph takes by default; ``fixed`` whether there is no
    other; ``outputs`` what it can compute, the first by default.
    """

    model: Any
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    crop: int
    fixed: bool
    outputs: dict[str, str]

    @property
    def channel_order(self) -> str:
        return 'RGB' if self.preprocessing.to_rgb else 'BGR'

    @property
    def in_channels(self) -> int:
        return len(self.preprocessing.mean)

    @property
    def smallest(self) -> int:
        """Side in pixels of the smallest image that the net takes."""
        return self.crop if self.fixed else STRIDE

    def metadata(self) -> dict[str, str]:
        """What a reader of the exported file has to know, as text (lists as JSON)."""
        return dict(
            made_by=f'vgg_mm {__version__}',
            arch=self.model.backbone.arch,
            classes=json.dumps(self.classes, ensure_ascii=False),
            channel_order=self.channel_order,
            mean=json.dumps(self.preprocessing.mean),
            std=json.dumps(self.preprocessing.std),
        )


def load_object_net(checkpoint: str, content: dict, cfg: Config) -> ObjectNet:
    """Build a segmentor or SSD with its weights, without running code from the checkpoint.

    Args:
        checkpoint: What it is called.
        content: What is in it.
        cfg: Its config.

    Raises:
        ValueError, ImportError: in one line, if a package is missing or the net cannot be exported.
    """
    check_package(cfg, checkpoint)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(cfg.model).eval().requires_grad_(False)
    notice = load_weights(model, content, checkpoint)
    if notice:
        print(f'notice: {notice}')
    preprocessing = preprocessing_of(model.data_preprocessor)
    if preprocessing is None:
        raise ValueError(
            f'the pre-processing of {checkpoint} is not known: its data_preprocessor is a '
            f'{type(model.data_preprocessor).__name__}'
        )
    classes = tuple(map(str, recorded_classes(content) or ()))
    if cfg.default_scope == 'mmseg':
        return ObjectNet(model, classes, preprocessing, SEGMENTORS_SIZE, False, SEGMENTORS_OUTPUTS)
    side = _ssds_side(model)
    if side is None:
        raise ValueError(f'{checkpoint} ({type(model).__name__}) {NO_TWO_STAGES}')
    return ObjectNet(model, classes, preprocessing, side, True, SSDS_OUTPUTS)


def _ssds_side(model: Any) -> Optional[int]:
    """The side of SSD's images; None of other detectors."""
    from mmdet.models.dense_heads import SSDHead

    head = getattr(model, 'bbox_head', None)
    return head.prior_generator.input_size if isinstance(head, SSDHead) else None


class ObjectGraph(NormalisingGraph):
    """A segmentor or SSD with its pre-processing.

    Input: (N, 3, H, W) float32, values 0 to 255, channels in the net's order; without the
    pre-processing, already normalised. Output: one of the net's ``outputs``.

    Args:
        net: Its model is not copied.
        output: What is computed.
        preprocessing: Whether mean and standard deviation are part of the graph.
    """

    priors: torch.Tensor
    model: Any

    multiple = STRIDE

    def __init__(self, net: ObjectNet, output: str, preprocessing: bool):
        super().__init__(net, output, preprocessing)
        self.model = net.model
        if output == 'boxes':
            self.register_buffer('priors', _priors(net))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        image = self.normalised(image)
        if self.output == 'boxes':
            return self._boxes(image)
        size = (image.shape[2], image.shape[3])
        scores = self.model.encode_decode(image, [dict(img_shape=size)])
        return scores.softmax(1) if self.output == 'posterior' else scores

    def _boxes(self, image: torch.Tensor) -> torch.Tensor:
        head = self.model.bbox_head
        scores, deltas = head(self.model.extract_feat(image))
        count, width = image.shape[0], head.cls_out_channels
        scores = torch.cat([s.permute(0, 2, 3, 1).reshape(count, -1, width) for s in scores], 1)
        deltas = torch.cat([d.permute(0, 2, 3, 1).reshape(count, -1, 4) for d in deltas], 1)
        boxes = _decoded(self.priors, deltas, head.bbox_coder, image.shape[2:])
        return torch.cat([boxes, scores.softmax(-1)[..., :-1]], -1)


def _priors(net: ObjectNet) -> torch.Tensor:
    """SSD's default boxes, (boxes, 4), in the order of its outputs."""
    image = torch.zeros(1, 3, net.crop, net.crop)
    with torch.inference_mode():
        sizes = [feature.shape[-2:] for feature in net.model.extract_feat(image)]
    return torch.cat(net.model.bbox_head.prior_generator.grid_priors(sizes, device='cpu'))


def _decoded(
    priors: torch.Tensor, deltas: torch.Tensor, coder: Any, size: torch.Size
) -> torch.Tensor:
    """The boxes that deltas, (N, boxes, 4), make of the priors: mmdet's, of plain operations.

    mmdet's own takes another path in an export.
    """
    deltas = deltas * deltas.new_tensor(coder.stds) + deltas.new_tensor(coder.means)
    sides = priors[:, 2:] - priors[:, :2]
    centres = (priors[:, :2] + priors[:, 2:]) / 2 + sides * deltas[..., :2]
    limit = abs(torch.log(torch.tensor(16 / 1000))).item()
    halves = sides * deltas[..., 2:].clamp(-limit, limit).exp() / 2
    boxes = torch.cat([centres - halves, centres + halves], -1)
    if not coder.clip_border:
        return boxes
    return boxes.clamp(min=0).minimum(boxes.new_tensor([size[1], size[0]] * 2))
